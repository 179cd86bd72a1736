#include "core/http/out_queue.h"

#include "core/error.h"

namespace oxbow::http {
namespace {

/// A segment's memory is given back as a whole, so one that is always appended to would only grow.
constexpr std::size_t kJoinedBytes = 64UL * 1024;

}  // namespace

void OutQueue::push_bytes(std::string bytes) {
  if (bytes.empty()) return;
  auto& segment = segments_.emplace_back();
  segment.length = bytes.size();
  segment.owned = std::move(bytes);
  bytes_ += segment.length;
}

void OutQueue::append_bytes(std::string_view bytes) {
  if (bytes.empty()) return;
  if (segments() == 0 || segments_.back().owned.empty() || segments_.back().owned.size() >= kJoinedBytes) {
    push_bytes(std::string(bytes));
    return;
  }
  segments_.back().owned.append(bytes);
  segments_.back().length += bytes.size();
  bytes_ += bytes.size();
}

void OutQueue::push_memory(std::string_view bytes, std::shared_ptr<const void> pin) {
  if (bytes.empty()) return;
  auto& segment = segments_.emplace_back();
  segment.view = bytes;
  segment.length = bytes.size();
  segment.pin = std::move(pin);
  bytes_ += bytes.size();
}

void OutQueue::push_file(int fd, std::uint64_t offset, std::size_t length, std::shared_ptr<const void> pin) {
  if (length == 0) return;
  auto& segment = segments_.emplace_back();
  segment.fd = fd;
  segment.offset = offset;
  segment.length = length;
  segment.pin = std::move(pin);
  bytes_ += length;
}

void OutQueue::consume(std::size_t count) {
  OXBOW_INVARIANT(count <= bytes_);
  bytes_ -= count;
  while (count > 0) {
    auto& segment = segments_[first_];
    if (count >= segment.length) {
      count -= segment.length;
      segment = Segment{};  // the pin is released as soon as its bytes are out
      ++first_;
      continue;
    }
    segment.length -= count;
    if (segment.is_file())
      segment.offset += count;
    else if (segment.owned.empty())
      segment.view.remove_prefix(count);
    else
      segment.owned_done += count;
    count = 0;
  }
  if (bytes_ == 0) clear();
}

void OutQueue::clear() {
  segments_.clear();
  first_ = 0;
  bytes_ = 0;
}

}  // namespace oxbow::http
