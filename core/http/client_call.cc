#include "core/http/client_call.h"

#include <algorithm>

#include "core/http/client_session.h"

namespace oxbow::http {
namespace {

/// Small parts are joined up to this.
constexpr std::size_t kHeldPartBytes = 64UL * 1024;

}  // namespace

void CallState::give_head(int final_status) {
  head_given = true;
  const auto self = shared_from_this();
  if (sink_ != nullptr) sink_->on_head(final_status, head);
}

std::size_t CallState::give_data(std::span<const std::byte> bytes) {
  if (sink_ == nullptr) return bytes.size();
  if (delivering_ || !held_.empty()) {
    hold(bytes);
    return 0;
  }
  const auto self = shared_from_this();
  const auto taken = std::min(sink_->on_data(bytes), bytes.size());
  if (sink_ == nullptr) return bytes.size();
  if (taken < bytes.size()) hold(bytes.subspan(taken));
  return taken;
}

void CallState::hold(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (held_.empty() || held_.back().size() + text.size() > kHeldPartBytes) {
    held_.emplace_back().reserve(std::max(text.size(), std::min(kHeldPartBytes, text.size() * 4)));
  }
  held_.back().append(text);
}

void CallState::deliver() {
  if (delivering_) return;
  const auto self = shared_from_this();
  delivering_ = true;
  std::size_t freed = 0;
  while (sink_ != nullptr && !held_.empty()) {
    const auto rest = std::as_bytes(std::span(held_.front())).subspan(held_front_done_);
    const auto taken = std::min(sink_->on_data(rest), rest.size());
    if (sink_ == nullptr) break;
    freed += taken;
    held_front_done_ += taken;
    if (taken < rest.size()) break;
    held_.pop_front();
    held_front_done_ = 0;
  }
  delivering_ = false;
  if (sink_ == nullptr) held_.clear();
  if (session != nullptr) session->consume(*this, freed);
  if (sink_ != nullptr && held_.empty() && outcome_) tell(std::move(*outcome_));
}

void CallState::finish(Result<> outcome) {
  if (decided()) return;
  if (outcome && !held_.empty()) {
    outcome_ = std::move(outcome);
    return;
  }
  tell(std::move(outcome));
}

void CallState::tell(Result<> outcome) {
  const auto self = shared_from_this();
  auto* sink = std::exchange(sink_, nullptr);
  if (!delivering_) held_.clear();
  if (session != nullptr) session->release(*this);
  sink->on_done(std::move(outcome));
}

void CallState::cancel() {
  const bool over = decided();
  sink_ = nullptr;
  if (!delivering_) held_.clear();
  if (session == nullptr) return;
  over ? session->release(*this) : session->cancel(*this);
}

}  // namespace oxbow::http
