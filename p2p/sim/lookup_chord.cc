// Chord, iterative: the client asks one node after another for the closest one before the key that it knows. Successor
// lists are taken over at each stabilisation; one finger a stabilisation is looked up anew, so that a finger is as old
// as there are distinct ones.
#include <algorithm>
#include <bit>

#include "p2p/sim/lookup_scheme.h"

namespace oxbow::p2p::sim {
namespace {

constexpr int kBits = 64;
constexpr std::uint32_t kStepsMax = 256;
constexpr std::uint32_t kSampled = 64;  ///< nodes whose state is counted
constexpr double kMinuteMs = 60'000;

class ChordScheme final : public LookupScheme {
 public:
  ChordScheme(const LookupHistory& history, const LookupOptions& options, std::uint64_t seed)
      : history_(history), options_(options), seed_(seed), now_(history.members(0)) {
    finger_period_ms_ = std::int64_t{options.chord_stabilize_ms} * std::bit_width(history.size());
  }

  LookupOutcome look_up(std::uint64_t key, Random& random) override;
  double state_entries(Random& random) const override;
  /// Stabilisation asks the successor and notifies it; one look-up for a finger.
  double upkeep(double look_up_messages) const override {
    return kMinuteMs / options_.chord_stabilize_ms * (2 + look_up_messages);
  }

 private:
  std::uint64_t id(std::uint32_t node) const { return history_.node(node).id; }
  std::uint32_t finger(std::uint32_t node, int bit) const;
  std::vector<std::uint32_t> successors(std::uint32_t node) const;
  std::uint32_t closest_before(std::uint64_t key, std::uint32_t node, const std::vector<std::uint32_t>& successors,
                               const std::vector<std::uint32_t>& gone) const;

  const LookupHistory& history_;
  const LookupOptions& options_;
  const std::uint64_t seed_;
  const std::vector<std::uint32_t> now_;
  std::int64_t finger_period_ms_;
};

bool contains(const std::vector<std::uint32_t>& nodes, std::uint32_t node) {
  return std::ranges::find(nodes, node) != nodes.end();
}

std::uint32_t ChordScheme::finger(std::uint32_t node, int bit) const {
  const auto joined = history_.node(node).joined;
  const auto age = age_of(seed_ ^ id(node) ^ static_cast<std::uint64_t>(bit), finger_period_ms_, joined);
  return history_.successor(id(node) + (std::uint64_t{1} << bit), -age);
}

std::vector<std::uint32_t> ChordScheme::successors(std::uint32_t node) const {
  const auto age = age_of(seed_ ^ id(node) ^ kBits, options_.chord_stabilize_ms, history_.node(node).joined);
  std::vector<std::uint32_t> out;
  const auto most = std::min(options_.chord_successors, history_.size() - 1);
  for (auto next = history_.next(node, -age); out.size() < most && next != node; next = history_.next(next, -age))
    out.push_back(next);
  return out;
}

/// The closest one before the key that `node` knows and that is not known to be gone; `node` itself: none.
std::uint32_t ChordScheme::closest_before(std::uint64_t key, std::uint32_t node,
                                          const std::vector<std::uint32_t>& successors,
                                          const std::vector<std::uint32_t>& gone) const {
  const auto distance = [&](std::uint32_t other) { return id(other) - id(node); };
  const std::uint64_t limit = key - id(node);
  std::uint32_t best = node;
  const auto consider = [&](std::uint32_t other) {
    if (distance(other) < limit && distance(other) > distance(best) && !contains(gone, other)) best = other;
  };
  for (const auto other : successors) consider(other);
  for (int bit = kBits - 1; bit >= 0; --bit) {
    if ((std::uint64_t{1} << bit) >= limit) continue;
    if (distance(best) >= (std::uint64_t{1} << bit)) break;  // the fingers that follow are no farther than that
    consider(finger(node, bit));
  }
  return best;
}

LookupOutcome ChordScheme::look_up(std::uint64_t key, Random& random) {
  LookupOutcome out;
  std::uint32_t node = now_[random.below(static_cast<std::uint32_t>(now_.size()))];
  const auto client = node;
  const auto owner = history_.successor(key, 0);
  std::vector<std::uint32_t> gone;
  const auto ask = [&](std::uint32_t other) {
    if (other == client) return true;
    ++out.messages;
    if (history_.alive(other, 0)) {
      ++out.hops;
      out.ms += options_.round_trip_ms;
      return true;
    }
    ++out.dead;
    out.ms += options_.timeout_ms;
    gone.push_back(other);
    return false;
  };
  if (owner == client) return out;
  for (std::uint32_t step = 0; step < kStepsMax; ++step) {
    const auto list = successors(node);
    // The owner is the first in the list that lives and does not lie before the key.
    const std::uint64_t limit = key - id(node);
    const auto first = std::ranges::find_if(list, [&](auto other) { return !contains(gone, other); });
    if (first != list.end() && id(*first) - id(node) >= limit) {
      if (!ask(*first)) continue;
      out.other = *first != owner;
      return out;
    }
    const auto next = closest_before(key, node, list, gone);
    if (next == node) break;
    if (ask(next)) node = next;
  }
  out.failed = true;
  return out;
}

double ChordScheme::state_entries(Random& random) const {
  std::size_t entries = 0;
  for (std::uint32_t i = 0; i < kSampled; ++i) {
    const auto node = now_[random.below(static_cast<std::uint32_t>(now_.size()))];
    auto known = successors(node);
    for (int bit = 0; bit < kBits; ++bit) known.push_back(finger(node, bit));
    std::ranges::sort(known);
    known.erase(std::ranges::unique(known).begin(), known.end());
    std::erase(known, node);
    entries += known.size() + 1;  // and the predecessor
  }
  return static_cast<double>(entries) / kSampled;
}

}  // namespace

std::unique_ptr<LookupScheme> make_chord_scheme(const LookupHistory& history, const LookupOptions& options,
                                                std::uint64_t seed) {
  return std::make_unique<ChordScheme>(history, options, seed);
}

}  // namespace oxbow::p2p::sim
