// The have streams of a crowd. A node tells its watchers at most every so often what came since. News wait at the
// watcher for its next event; one whose strategy waits for news is woken.
#include <algorithm>

#include "p2p/sim/crowd/engine.h"

namespace oxbow::p2p::sim {
namespace {

/// As the daemon's have streams: p2p/have_stream.cc.
bool differs_by_much(const Load& a, const Load& b) noexcept {
  const auto used = a.used > b.used ? a.used - b.used : b.used - a.used;
  return a.busy() != b.busy() || a.slots != b.slots || (a.waiting == 0) != (b.waiting == 0) ||
         used * 4 > std::max(a.slots, 4U);
}

}  // namespace

Load CrowdEngine::load_of(const Node& node) const {
  return {node.serving, slots_, static_cast<std::uint32_t>(node.waiting.size())};
}

void CrowdEngine::news(std::uint32_t index, std::uint32_t stripe, StripeNews::What what) {
  auto& node = nodes_[index];
  if (what == StripeNews::What::kArriving && !options_.cut_through) return;
  if (node.watchers.empty()) return;
  node.fresh.push_back({index + 1, stripe, what});
  if (node.line_queued) return;
  node.line_queued = true;
  const auto at = std::max(now_, node.line_at + options_.line_every);
  queue_.push(at + options_.network.far_latency, CrowdEvent::Kind::kLine, index);
}

void CrowdEngine::tell_line(std::uint32_t index) {
  auto& node = nodes_[index];
  node.line_queued = false;
  if (!node.alive) return;
  node.line_at = now_ - options_.network.far_latency;
  const auto load = load_of(node);
  if (differs_by_much(load, node.told_load)) {
    node.told_load = load;
    node.fresh.push_back(load_news(index));
  }
  // Watchers are anywhere in memory: they are fetched while others are told.
  constexpr std::size_t kAhead = 8;
  for (std::size_t i = 0; i < node.watchers.size(); ++i) {
    if (i + kAhead < node.watchers.size()) __builtin_prefetch(&mail_[node.watchers[i + kAhead]]);
    if (i + kAhead / 2 < node.watchers.size()) {
      const auto& next = mail_[node.watchers[i + kAhead / 2]].news;
      __builtin_prefetch(next.data() + next.size());
    }
    const auto to = node.watchers[i];
    auto& mail = mail_[to];
    for (const auto& one : node.fresh) mail.news.push_back(one);
    if (!mail.waits || mail.wake_queued) continue;
    mail.wake_queued = true;
    queue_.push(now_ + options_.news_within, CrowdEvent::Kind::kWake, to);
  }
  news_ += node.fresh.size() * node.watchers.size();
  node.fresh.clear();
}

StripeNews CrowdEngine::load_news(std::uint32_t index) const {
  const auto load = load_of(nodes_[index]);
  return {index + 1,
          0,
          StripeNews::What::kLoad,
          static_cast<std::uint16_t>(load.used),
          static_cast<std::uint16_t>(load.slots),
          static_cast<std::uint16_t>(load.waiting)};
}

/// The stream is open, and its first line, the map, has come.
void CrowdEngine::watch(std::uint32_t index, std::uint32_t target) {
  auto& node = nodes_[target];
  auto& watcher = nodes_[index];
  if (watcher.strategy == nullptr || !watcher.alive || !node.alive) return;
  if (!node.wants && !node.have.complete()) {
    events_.emplace_back(HaveEnded{target + 1, Error(Errc::kNotFound, "does not know the blob")});
    return consult(index);
  }
  if (std::ranges::find(node.watchers, index) == node.watchers.end()) node.watchers.push_back(index);
  HaveUpdate update;
  update.map = node.have;
  for (const auto id : node.fetches) {
    if (node.from_upstream == 0) break;
    if (options_.cut_through && network_.flow(id).from == kFromUpstream && network_.flow(id).flowing)
      update.arriving.push_back(transfers_[id].stripe);
  }
  update.load = load_of(node);
  events_.emplace_back(HaveChanged{target + 1, std::move(update)});
  consult(index);
}

void CrowdEngine::unwatch(std::uint32_t index, std::uint32_t target) {
  auto& watchers = nodes_[target].watchers;
  const auto found = std::ranges::find(watchers, index);
  if (found == watchers.end()) return;
  *found = watchers.back();
  watchers.pop_back();
}

}  // namespace oxbow::p2p::sim
