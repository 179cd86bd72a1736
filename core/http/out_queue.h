// What a connection still has to write: memory and file ranges in order. Both protocols fill it, the transport drains
// it. File bytes are never copied into it, so a blocked connection holds pins and a few header bytes only. Thread rule:
// the connection's loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/body.h"

namespace oxbow::http {

/// The unsent rest of one part. A file range when `fd` >= 0, else memory: `owned` or, when that is empty, `view`.
struct Segment {
  std::string owned;
  std::size_t owned_done = 0;
  std::string_view view;
  int fd = -1;
  std::uint64_t offset = 0;
  std::size_t length = 0;
  std::shared_ptr<const void> pin;

  bool is_file() const noexcept { return fd >= 0; }
  std::string_view memory() const noexcept { return owned.empty() ? view : std::string_view(owned).substr(owned_done); }
};

class OutQueue {
 public:
  void push_bytes(std::string bytes);
  /// Appends to the last segment when that is owned memory: frame headers and chunk marks do not become segments each.
  void append_bytes(std::string_view bytes);
  void push_memory(std::string_view bytes, std::shared_ptr<const void> pin);
  void push_file(int fd, std::uint64_t offset, std::size_t length, std::shared_ptr<const void> pin);

  bool empty() const noexcept { return bytes_ == 0; }
  std::size_t bytes() const noexcept { return bytes_; }
  std::size_t segments() const noexcept { return segments_.size() - first_; }
  const Segment& segment(std::size_t index) const noexcept { return segments_[first_ + index]; }

  /// Forgets the first `count` bytes, which have been written.
  void consume(std::size_t count);
  void clear();

 private:
  std::vector<Segment> segments_;
  std::size_t first_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace oxbow::http
