#include "p2p/sim/lookup_kademlia.h"

#include <algorithm>
#include <bit>

namespace oxbow::p2p::sim {
namespace {

constexpr std::uint32_t kRoundsMax = 256;
constexpr std::uint32_t kSampled = 64;  ///< nodes whose state is counted
constexpr double kMinuteMs = 60'000;

enum class Contact : std::uint8_t { kNew, kAnswered, kGone };

struct Listed {
  std::uint64_t distance;
  std::uint32_t node;
  Contact state = Contact::kNew;
};

/// Who is known in one look-up, nearest first.
class ShortList {
 public:
  void add(std::uint64_t distance, std::uint32_t node) {
    const auto at = std::ranges::lower_bound(all_, distance, {}, &Listed::distance);
    if (at != all_.end() && at->distance == distance) return;
    all_.insert(at, {distance, node});
  }
  /// The nearest that are not asked yet, at most `count`, among the `k` nearest that are not gone.
  std::vector<std::uint64_t> to_ask(std::uint32_t count, std::uint32_t k) const {
    std::vector<std::uint64_t> out;
    for (const auto& one : all_) {
      if (one.state == Contact::kGone) continue;
      if (k == 0 || out.size() == count) break;
      --k;
      if (one.state == Contact::kNew) out.push_back(one.distance);
    }
    return out;
  }
  Listed& at(std::uint64_t distance) { return *std::ranges::lower_bound(all_, distance, {}, &Listed::distance); }
  const Listed* nearest_answered() const {
    const auto found = std::ranges::find(all_, Contact::kAnswered, &Listed::state);
    return found == all_.end() ? nullptr : &*found;
  }

 private:
  std::vector<Listed> all_;
};

class KademliaScheme final : public LookupScheme {
 public:
  KademliaScheme(const LookupHistory& history, const LookupOptions& options, std::uint64_t seed, bool value)
      : history_(history),
        options_(options),
        value_(value),
        now_(history.members(0)),
        tables_(history, options.kademlia_k, options.kademlia_refresh_ms, seed) {}

  LookupOutcome look_up(std::uint64_t key, Random& random) override;
  double state_entries(Random& random) const override;
  /// Each bucket that holds anybody is refreshed by a look-up in it.
  double upkeep(double look_up_messages) const override {
    const auto buckets = std::bit_width(history_.size());
    return kMinuteMs / options_.kademlia_refresh_ms * buckets * look_up_messages;
  }

 private:
  std::uint32_t any_node(Random& random) const { return now_[random.below(static_cast<std::uint32_t>(now_.size()))]; }

  const LookupHistory& history_;
  const LookupOptions& options_;
  const bool value_;
  const std::vector<std::uint32_t> now_;
  const KademliaTables tables_;
};

LookupOutcome KademliaScheme::look_up(std::uint64_t key, Random& random) {
  LookupOutcome out;
  const auto client = any_node(random);
  const auto holders = tables_.holders(key);
  const auto holds = [&](std::uint32_t node) { return std::ranges::find(holders, node) != holders.end(); };
  if (value_ ? holds(client) : client == holders.front()) return out;
  ShortList list;
  const auto learn = [&](std::uint32_t from) {
    for (const auto node : tables_.closest(from, key)) {
      if (node != client) list.add(history_.node(node).id ^ key, node);
    }
  };
  learn(client);
  bool found = false;
  for (std::uint32_t round = 0; round < kRoundsMax && !found; ++round) {
    const auto asked = list.to_ask(options_.kademlia_alpha, options_.kademlia_k);
    if (asked.empty()) break;
    bool answered = false;
    for (const auto distance : asked) {
      auto& one = list.at(distance);
      const auto node = one.node;
      ++out.messages;
      const bool lives = history_.alive(node, 0);
      one.state = lives ? Contact::kAnswered : Contact::kGone;
      if (!lives) {
        ++out.dead;
        continue;
      }
      answered = true;
      found = found || (value_ && holds(node));
      learn(node);
    }
    // The others of a round need not wait for who is dead: only a round in which all are stands still.
    out.ms += answered ? options_.round_trip_ms : options_.timeout_ms;
    if (answered) ++out.hops;
  }
  const auto* nearest = list.nearest_answered();
  out.failed = value_ ? !found : nearest == nullptr;
  // The client itself may be the second nearest and counts like any other.
  out.other = !value_ && nearest != nullptr && nearest->node != holders.front();
  return out;
}

double KademliaScheme::state_entries(Random& random) const {
  std::vector<std::uint32_t> known;
  for (std::uint32_t i = 0; i < kSampled; ++i) {
    const auto node = any_node(random);
    const auto deepest = tables_.depth(node);
    for (int bits = 0; bits < deepest; ++bits) tables_.bucket(node, bits, known);
  }
  return static_cast<double>(known.size()) / kSampled;
}

}  // namespace

std::unique_ptr<LookupScheme> make_kademlia_scheme(const LookupHistory& history, const LookupOptions& options,
                                                   std::uint64_t seed, bool value) {
  return std::make_unique<KademliaScheme>(history, options, seed, value);
}

}  // namespace oxbow::p2p::sim
