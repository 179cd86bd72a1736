#include <algorithm>
#include <bit>

#include "p2p/sim/lookup_kademlia.h"

namespace oxbow::p2p::sim {
namespace {

constexpr int kBits = 64;

}  // namespace

KademliaTables::Range KademliaTables::subtree(std::uint64_t id, int bits) const {
  if (bits == 0) return {0, static_cast<std::uint32_t>(history_.nodes().size())};
  const std::uint64_t rest = bits == kBits ? 0 : ~std::uint64_t{0} >> bits;
  const auto begin = history_.first_at(id & ~rest);
  const std::uint64_t last = id | rest;
  const auto end =
      last == ~std::uint64_t{0} ? static_cast<std::uint32_t>(history_.nodes().size()) : history_.first_at(last + 1);
  return {begin, end};
}

void KademliaTables::bucket(std::uint32_t node, int bits, std::vector<std::uint32_t>& into) const {
  const auto& self = history_.node(node);
  const auto range = subtree(self.id ^ (std::uint64_t{1} << (kBits - 1 - bits)), bits + 1);
  if (range.begin == range.end) return;
  const auto what = seed_ ^ Random(self.id ^ static_cast<std::uint64_t>(bits)).next();
  const HistoryTime at = -age_of(what, refresh_ms_, self.joined);
  const auto count = range.end - range.begin;
  const auto before = into.size();
  if (count <= 4 * k_) {
    for (auto other = range.begin; other < range.end; ++other) {
      if (history_.alive(other, at)) into.push_back(other);
    }
    if (into.size() - before > k_) {
      Random random(what + 1);
      for (std::uint32_t i = 0; i < k_; ++i)
        std::swap(into[before + i],
                  into[before + i + random.below(static_cast<std::uint32_t>(into.size() - before) - i)]);
      into.resize(before + k_);
    }
    return;
  }
  Random random(what + 1);
  for (std::uint32_t tries = 0; tries < 16 * k_ && into.size() - before < k_; ++tries) {
    const auto other = range.begin + random.below(count);
    if (!history_.alive(other, at)) continue;
    if (std::find(into.begin() + static_cast<std::ptrdiff_t>(before), into.end(), other) == into.end())
      into.push_back(other);
  }
}

int KademliaTables::depth(std::uint32_t node) const {
  const auto id = history_.node(node).id;
  int bits = 0;
  while (bits < kBits) {
    const auto range = subtree(id, bits);
    if (range.end - range.begin <= 1) break;
    ++bits;
  }
  return bits;
}

void KademliaTables::keep_closest(std::vector<std::uint32_t>& nodes, std::uint64_t key) const {
  std::ranges::sort(nodes, {}, [&](std::uint32_t node) { return history_.node(node).id ^ key; });
  if (nodes.size() > k_) nodes.resize(k_);
}

std::vector<std::uint32_t> KademliaTables::closest(std::uint32_t node, std::uint64_t key) const {
  const auto shared = std::countl_zero(history_.node(node).id ^ key);
  std::vector<std::uint32_t> out;
  // The bucket of the key's own subtree is nearest; then all deeper ones, in an order that only distances tell; then
  // the shallower ones, each farther than the one before.
  if (shared < kBits) bucket(node, shared, out);
  if (out.size() < k_) {
    const auto deepest = depth(node);
    for (int bits = shared + 1; bits < deepest; ++bits) bucket(node, bits, out);
  }
  for (int bits = shared - 1; bits >= 0 && out.size() < k_; --bits) bucket(node, bits, out);
  keep_closest(out, key);
  return out;
}

std::vector<std::uint32_t> KademliaTables::holders(std::uint64_t key) const {
  std::vector<std::uint32_t> out;
  for (int bits = kBits; bits >= 0; --bits) {
    const auto range = subtree(key, bits);
    if (bits > 0 && range.end - range.begin < k_) continue;
    out.clear();
    for (auto node = range.begin; node < range.end; ++node) {
      if (history_.alive(node, 0)) out.push_back(node);
    }
    if (out.size() >= k_) break;
  }
  keep_closest(out, key);
  return out;
}

}  // namespace oxbow::p2p::sim
