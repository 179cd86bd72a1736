#include "p2p/sim/selection_server.h"

#include <algorithm>
#include <cmath>

namespace oxbow::p2p::sim {

void SelectionServer::check() const { OXBOW_INVARIANT(running_.size() <= slots_ && waiting_.size() <= waiting_max_); }

void SelectionServer::advance(Micros now) {
  OXBOW_INVARIANT(now >= at_);
  if (!running_.empty())
    shared_ += static_cast<double>(now - at_) / static_cast<double>(alone_) / static_cast<double>(running_.size());
  at_ = now;
  ++version_;
}

SelectionServer::Offer SelectionServer::offer(Micros now, RequestId request) {
  if (running_.size() < slots_) {
    advance(now);
    running_.push_back({request, shared_ + 1});
    check();
    return Offer::kBegun;
  }
  if (waiting_.size() >= waiting_max_) return Offer::kFull;
  waiting_.push_back(request);
  check();
  return Offer::kWaits;
}

std::optional<Micros> SelectionServer::next_end() const {
  if (running_.empty()) return std::nullopt;
  const double left = std::max(0.0, running_.front().ends_at - shared_);
  return at_ +
         static_cast<Micros>(std::ceil(left * static_cast<double>(alone_) * static_cast<double>(running_.size())));
}

RequestId SelectionServer::end(Micros now) {
  OXBOW_INVARIANT(!running_.empty());
  advance(now);
  // Times are whole microseconds: the end may have been rounded up, never down.
  OXBOW_INVARIANT(shared_ + 1e-6 >= running_.front().ends_at);
  const auto request = running_.front().request;
  running_.pop_front();
  return request;
}

std::optional<RequestId> SelectionServer::begin_waiting(Micros now) {
  if (waiting_.empty() || running_.size() >= slots_) return std::nullopt;
  advance(now);
  const auto request = waiting_.front();
  waiting_.pop_front();
  running_.push_back({request, shared_ + 1});
  check();
  return request;
}

bool SelectionServer::give_up(RequestId request) { return std::erase(waiting_, request) > 0; }

Load SelectionServer::load() const {
  return {static_cast<std::uint32_t>(running_.size()), slots_, static_cast<std::uint32_t>(waiting_.size())};
}

std::deque<RequestId> SelectionServer::running() const {
  std::deque<RequestId> out;
  for (const auto& one : running_) out.push_back(one.request);
  return out;
}

}  // namespace oxbow::p2p::sim
