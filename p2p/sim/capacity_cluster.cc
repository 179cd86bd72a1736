#include "p2p/sim/capacity_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "core/error.h"
#include "core/geometry.h"
#include "p2p/span_rank.h"

namespace oxbow::p2p::sim {
namespace {

/// Of storage/blob_evict.cc: what arrived last is what the reader is about to read.
constexpr std::uint32_t kWindowSpans = 8;

std::string node_name(std::uint32_t node) { return fmt::format("node-{:06}", node); }

}  // namespace

struct CacheCluster::Giant {
  std::uint64_t span_bytes = 0;
  std::uint64_t bytes = 0;
  std::vector<Key> keys;              ///< of the spans
  std::vector<std::uint32_t> copies;  ///< of the spans
  /// By node: the spans for which it stands near the front, with its place.
  std::vector<std::vector<std::pair<std::uint32_t, std::uint8_t>>> placed;

  std::uint64_t size_of(std::uint32_t span) const { return std::min(span_bytes, bytes - span * span_bytes); }
};

struct CacheCluster::Partial {
  using Ranked = std::pair<double, std::uint32_t>;  ///< rank, span
  std::vector<bool> present;
  std::vector<Ranked> evictable;    ///< a heap, lowest first
  std::vector<Ranked> only_copies;  ///< set aside while others may go
  std::vector<double> order;        ///< ranks of all spans; empty while nobody reads it
  std::uint64_t bytes = 0;
  std::optional<Ranked> told;  ///< its lowest, as Node::lowest has it

  void push(Ranked one) {
    evictable.push_back(one);
    std::ranges::push_heap(evictable, std::greater<>());
  }
  Ranked pop() {
    std::ranges::pop_heap(evictable, std::greater<>());
    const auto one = evictable.back();
    evictable.pop_back();
    return one;
  }
};

struct CacheCluster::Node {
  std::unique_ptr<CachePolicy> policy;
  std::vector<bool> has;  ///< whole items
  std::map<ItemId, Partial> partials;
  std::set<std::pair<Partial::Ranked, ItemId>> lowest;  ///< of each partial; kept when they are pooled
  std::uint64_t used_bytes = 0;
};

CacheCluster::CacheCluster(Options options, const std::vector<CacheItem>& items)
    : options_(std::move(options)), items_(items), copies_(items.size()), nodes_(options_.nodes) {
  for (auto& node : nodes_) {
    node.policy = options_.policy();
    node.has.resize(items.size());
  }
  for (ItemId item = 0; item < items.size(); ++item) {
    if (is_giant(item)) add_giant(item);
  }
}

CacheCluster::~CacheCluster() = default;

void CacheCluster::add_giant(ItemId item) {
  const Geometry geometry(items_[item].bytes);
  auto& giant = giants_[item];
  giant.span_bytes = geometry.span_bytes();
  giant.bytes = items_[item].bytes;
  giant.copies.resize(geometry.spans());
  giant.placed.resize(options_.nodes);
  std::vector<Member> members(options_.nodes);
  for (std::uint32_t node = 0; node < options_.nodes; ++node) members[node].name = node_name(node);
  const Ring ring(members);
  const auto digest = Digest::sha256(fmt::format("item {}", item));
  for (std::uint32_t span = 0; span < geometry.spans(); ++span) {
    giant.keys.push_back(key_of(digest, span));
    const auto walk = ring.walk(giant.keys.back(), kSpanRanksPlaced, [](std::uint32_t) { return true; });
    for (std::uint8_t place = 0; place < walk.size(); ++place) giant.placed[walk[place]].emplace_back(span, place);
  }
}

void CacheCluster::set_order(const Giant& giant, std::uint32_t node, Partial& partial) const {
  const Key name = key_of(node_name(node));
  partial.order.resize(giant.keys.size());
  for (std::uint32_t span = 0; span < giant.keys.size(); ++span) {
    partial.order[span] = options_.span_order == SpanOrder::kPlace ? -static_cast<double>(kSpanRanksPlaced)
                                                                   : span_rank(std::nullopt, giant.keys[span], name);
  }
  for (const auto& [span, place] : giant.placed[node])
    partial.order[span] = span_rank(std::optional<std::size_t>(place), giant.keys[span], name);
}

CacheCluster::Served CacheCluster::request(std::uint32_t number, ItemId item) {
  if (is_giant(item)) return request_giant(number, item);
  auto& node = nodes_[number];
  const auto bytes = items_[item].bytes;
  if (node.has[item]) {
    node.policy->hit(item);
    return {.local_bytes = bytes, .peer_bytes = 0, .upstream_bytes = 0};
  }
  Served served;
  (copies_[item] > 0 ? served.peer_bytes : served.upstream_bytes) = bytes;
  node.policy->insert(item);
  if (!make_room(number, item, bytes)) {
    node.policy->evict(item);
    return served;
  }
  node.has[item] = true;
  ++copies_[item];
  account(node, item, static_cast<std::int64_t>(bytes));
  return served;
}

CacheCluster::Served CacheCluster::request_giant(std::uint32_t number, ItemId item) {
  auto& node = nodes_[number];
  auto& giant = giants_.at(item);
  auto [found, is_new] = node.partials.try_emplace(item);
  auto& partial = found->second;
  if (is_new) {
    partial.present.resize(giant.keys.size());
    node.policy->insert(item);
  } else {
    node.policy->hit(item);
  }
  set_order(giant, number, partial);
  Served served;
  std::vector<std::uint32_t> window;
  for (std::uint32_t span = 0; span < giant.keys.size(); ++span) {
    const auto bytes = giant.size_of(span);
    if (partial.present[span]) {
      served.local_bytes += bytes;
      continue;
    }
    (giant.copies[span] > 0 ? served.peer_bytes : served.upstream_bytes) += bytes;
    if (!make_room(number, item, bytes)) continue;
    partial.present[span] = true;
    ++giant.copies[span];
    partial.bytes += bytes;
    account(node, item, static_cast<std::int64_t>(bytes));
    window.push_back(span);
    if (window.size() <= kWindowSpans) continue;
    partial.push({partial.order[window.front()], window.front()});
    note_lowest(node, item, partial);
    window.erase(window.begin());
  }
  for (const auto span : window) partial.push({partial.order[span], span});
  note_lowest(node, item, partial);
  partial.order = {};
  return served;
}

bool CacheCluster::make_room(std::uint32_t number, ItemId wanting, std::uint64_t bytes) {
  while (nodes_[number].used_bytes + bytes > options_.budget_bytes) {
    if (!evict_one(number, wanting)) return false;
  }
  return true;
}

/// The storage's order of preference, and before it, where it is on, that no last copy goes.
bool CacheCluster::evict_one(std::uint32_t number, ItemId wanting) {
  auto& node = nodes_[number];
  const bool spares = items_[wanting].bytes <= options_.budget_bytes;
  for (int protect = options_.last_copy ? 1 : 0; protect >= 0; --protect) {
    for (int sparing = spares ? 1 : 0; sparing >= 0; --sparing) {
      const auto victim =
          node.policy->victim([&](ItemId item) { return may_evict(node, item, wanting, sparing != 0, protect != 0); });
      if (!victim) continue;
      const bool pooled = options_.pooled && is_giant(*victim);
      const auto loser = pooled ? lowest_giant(node, *victim, wanting, sparing != 0, protect != 0) : *victim;
      evict(number, loser, loser == wanting);
      return true;
    }
  }
  return false;
}

bool CacheCluster::may_evict(Node& node, ItemId item, ItemId wanting, bool sparing, bool protect) {
  if (!is_giant(item)) return item != wanting && node.has[item] && (!protect || copies_[item] > 1);
  if (sparing && item == wanting) return false;
  auto& partial = node.partials.at(item);
  const auto& giant = giants_.at(item);
  if (!protect) {
    for (const auto& one : partial.only_copies) partial.push(one);
    partial.only_copies.clear();
  }
  while (protect && !partial.evictable.empty() && giant.copies[partial.evictable.front().second] == 1)
    partial.only_copies.push_back(partial.pop());
  note_lowest(node, item, partial);
  return !partial.evictable.empty();
}

void CacheCluster::note_lowest(Node& node, ItemId item, Partial& partial) const {
  if (!options_.pooled) return;
  const auto now = partial.evictable.empty() ? std::nullopt : std::optional(partial.evictable.front());
  if (now == partial.told) return;
  if (partial.told) node.lowest.erase({*partial.told, item});
  if (now) node.lowest.emplace(*now, item);
  partial.told = now;
}

/// Asking whether an item may go can change which of its spans is the lowest; then the order is looked at anew.
ItemId CacheCluster::lowest_giant(Node& node, ItemId victim, ItemId wanting, bool sparing, bool protect) {
  for (auto one = node.lowest.begin(); one != node.lowest.end();) {
    const auto asked = *one;
    const bool may = may_evict(node, asked.second, wanting, sparing, protect);
    if (node.partials.at(asked.second).told != asked.first) {
      one = node.lowest.begin();
    } else if (may) {
      return asked.second;
    } else {
      ++one;
    }
  }
  return victim;
}

void CacheCluster::evict(std::uint32_t number, ItemId item, bool keep_entry) {
  auto& node = nodes_[number];
  if (!is_giant(item)) {
    account(node, item, -static_cast<std::int64_t>(items_[item].bytes));
    node.has[item] = false;
    --copies_[item];
    node.policy->evict(item);
    return;
  }
  auto& giant = giants_.at(item);
  auto& partial = node.partials.at(item);
  const auto span = partial.pop().second;
  note_lowest(node, item, partial);
  OXBOW_INVARIANT(partial.present[span] && giant.copies[span] > 0);
  partial.present[span] = false;
  --giant.copies[span];
  const auto bytes = giant.size_of(span);
  partial.bytes -= bytes;
  account(node, item, -static_cast<std::int64_t>(bytes));
  if (partial.bytes > 0 || keep_entry) return;
  node.partials.erase(item);
  node.policy->evict(item);
}

void CacheCluster::account(Node& node, ItemId item, std::int64_t delta) {
  node.policy->resize(item, delta);
  node.used_bytes += static_cast<std::uint64_t>(delta);
  stored_bytes_ += static_cast<std::uint64_t>(delta);
  OXBOW_INVARIANT(node.used_bytes <= options_.budget_bytes);
}

CacheCluster::Copies CacheCluster::copies(ItemId item) const {
  Copies out;
  if (!is_giant(item)) {
    out.min = out.max = copies_[item];
    out.mean = copies_[item];
    out.kept_bytes = copies_[item] > 0 ? items_[item].bytes : 0;
    return out;
  }
  const auto& giant = giants_.at(item);
  out.min = std::numeric_limits<std::uint32_t>::max();
  for (std::uint32_t span = 0; span < giant.copies.size(); ++span) {
    const auto copies = giant.copies[span];
    out.min = std::min(out.min, copies);
    out.max = std::max(out.max, copies);
    out.mean +=
        static_cast<double>(copies) * static_cast<double>(giant.size_of(span)) / static_cast<double>(giant.bytes);
    if (copies > 0) out.kept_bytes += giant.size_of(span);
  }
  return out;
}

void CacheCluster::check() const {
  std::vector<std::uint32_t> whole(items_.size());
  std::map<ItemId, std::vector<std::uint32_t>> spans;
  std::uint64_t stored = 0;
  for (const auto& node : nodes_) {
    std::uint64_t used = 0;
    for (ItemId item = 0; item < items_.size(); ++item) {
      if (!node.has[item]) continue;
      ++whole[item];
      used += items_[item].bytes;
    }
    for (const auto& [item, partial] : node.partials) {
      auto& count = spans[item];
      count.resize(partial.present.size());
      for (std::uint32_t span = 0; span < partial.present.size(); ++span) count[span] += partial.present[span] ? 1 : 0;
      used += partial.bytes;
    }
    OXBOW_INVARIANT(used == node.used_bytes && used <= options_.budget_bytes);
    stored += used;
  }
  OXBOW_INVARIANT(stored == stored_bytes_ && whole == copies_);
  for (const auto& [item, count] : spans) OXBOW_INVARIANT(count == giants_.at(item).copies);
}

}  // namespace oxbow::p2p::sim
