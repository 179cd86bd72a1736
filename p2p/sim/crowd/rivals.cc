// The rivals' rules. Each is idealised in its own favour where nothing is published: look-ups and the scheduler's
// answers take no time, and what others have is known at once.
#include <algorithm>
#include <chrono>
#include <numeric>

#include "p2p/sim/crowd/rival.h"

namespace oxbow::p2p::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kTreeFetches = 32;  // requests outstanding, in trees
constexpr auto kForEver = 3'600'000ms;      // in trees a request waits at the parent
constexpr std::uint32_t kSeeds = 8;         // Gantry: of a blob
constexpr std::uint32_t kWholeFetches = 4;  // of one blob from one peer: keeps its link busy
constexpr std::uint32_t kCandidates = 15;   // Dragonfly: looked at by the scheduler,
constexpr std::size_t kParents = 4;         // and named
constexpr std::uint32_t kPieces = 8;        // Dragonfly: at a time
constexpr std::size_t kConnections = 10;    // Kraken: of a torrent
constexpr std::uint32_t kPipeline = 3;      // Kraken: requests on one connection

std::uint64_t hash(std::uint64_t a, std::uint64_t b) { return Random(a * 0x9e3779b97f4a7c15ULL ^ b).next(); }
std::uint32_t pick(std::uint64_t number, std::uint32_t count) { return static_cast<std::uint32_t>(number % count); }

/// A static binary tree a stripe over all members: the nodes in an order that is the stripe's own, number n below
/// (n - 1) / 2.
class Tree final : public Rival {
 public:
  Tree(StrategyContext context, std::uint32_t self, const CrowdWorld& world)
      : Rival(std::move(context), self, world, kTreeFetches, kForEver) {}

 private:
  std::optional<Choice> choose() override {
    const auto stripe = *first_open();
    const std::uint64_t count = world_.nodes();
    // The order: node i is number (i * step + shift) modulo N.
    auto step = hash(stripe, 1) % count;
    while (std::gcd(step, count) != 1) step = (step + 1) % count;
    const auto shift = hash(stripe, 2) % count;
    const auto number = (self_ * step + shift) % count;
    if (number == 0) return Choice{stripe, kUpstream};
    const auto parent = (number - 1) / 2;
    return Choice{stripe,
                  peer(static_cast<std::uint32_t>((parent + count - shift) % count * inverse(step, count) % count))};
  }
  static std::uint64_t inverse(std::uint64_t value, std::uint64_t modulus) {
    std::int64_t a = static_cast<std::int64_t>(value);
    auto b = static_cast<std::int64_t>(modulus);
    std::int64_t x = 1;
    std::int64_t y = 0;
    while (b != 0) {
      const auto quotient = a / b;
      a = std::exchange(b, a - quotient * b);
      x = std::exchange(y, x - quotient * y);
    }
    const auto m = static_cast<std::int64_t>(modulus);
    return static_cast<std::uint64_t>((x % m + m) % m);
  }
};

/// Rack parent, row parent, owner; each a node by the stripe's hash.
class Hierarchy final : public Rival {
 public:
  Hierarchy(StrategyContext context, std::uint32_t self, const CrowdWorld& world)
      : Rival(std::move(context), self, world, kTreeFetches, kForEver) {}

 private:
  std::uint32_t parent_in(std::uint32_t group_nodes, std::uint32_t stripe) const {
    const auto first = self_ / group_nodes * group_nodes;
    const auto count = std::min(group_nodes, world_.nodes() - first);
    return first + pick(hash(stripe, first + std::uint64_t{group_nodes} * 7), count);
  }
  std::optional<Choice> choose() override {
    const auto stripe = *first_open();
    const auto owner = pick(hash(stripe, 3), world_.nodes());
    const auto row = parent_in(world_.row_nodes(), stripe);
    const auto rack = parent_in(world_.rack_nodes(), stripe);
    if (self_ == owner) return Choice{stripe, kUpstream};
    if (self_ == row) return Choice{stripe, peer(owner)};
    return Choice{stripe, peer(self_ == rack ? row : rack)};
  }
};

/// The whole blob from one peer: a DHT names some that have all of it. With nobody: Spegel goes upstream; with Gantry
/// the first 8 do, and the others wait.
class WholeBlob final : public Rival {
 public:
  WholeBlob(StrategyContext context, std::uint32_t self, const CrowdWorld& world, bool seeds)
      : Rival(std::move(context), self, world, kWholeFetches), seeds_(seeds) {}

 private:
  std::optional<Choice> choose() override {
    if (!source_) {
      const auto& holders = world_.completed();
      if (!holders.empty()) {
        const auto holder = peer(holders[random_.below(static_cast<std::uint32_t>(holders.size()))]);
        if (resting(holder)) return std::nullopt;
        source_ = holder;
      } else if (!seeds_ || is_seed()) {
        source_ = kUpstream;
      } else {
        return std::nullopt;
      }
    }
    if (resting(*source_)) return std::nullopt;
    return Choice{*first_open(), *source_};
  }
  void failed(SourceId, Errc) override { source_.reset(); }
  bool is_seed() const {
    const auto& started = world_.started();
    const auto last = started.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(kSeeds, started.size()));
    return std::find(started.begin(), last, self_) != last;
  }

  const bool seeds_;
  std::optional<SourceId> source_;
};

/// A central scheduler looks at 15 random peers of the task and names the 4 that upload least; they are replaced when
/// none of them has a missing piece. One node fetches from upstream.
class Scheduled final : public Rival {
 public:
  Scheduled(StrategyContext context, std::uint32_t self, const CrowdWorld& world)
      : Rival(std::move(context), self, world, kPieces) {}

 private:
  std::optional<Choice> choose() override {
    if (world_.started().front() == self_) return Choice{*first_open(), kUpstream};
    for (int round = 0; round < 2; ++round) {
      if (auto found = from_parents()) return found;
      if (round > 0 || now_ - named_ < 100ms) break;
      schedule();
    }
    return std::nullopt;
  }
  /// Any piece that a parent has; all in order would ask the same one for the same.
  std::optional<Choice> from_parents() {
    std::optional<Choice> chosen;
    std::uint32_t seen = 0;
    for (const auto& range : window_.ranges()) {
      for (auto stripe = range.begin; stripe < range.end; ++stripe) {
        if (!window_.open(stripe)) continue;
        std::optional<SourceId> best;
        for (const auto parent : parents_) {
          if (!world_.has(parent, stripe) || resting(peer(parent))) continue;
          if (!best || running_from(peer(parent)) < running_from(*best)) best = peer(parent);
        }
        if (best && random_.below(++seen) == 0) chosen = Choice{stripe, *best};
      }
    }
    return chosen;
  }
  void schedule() {
    named_ = now_;
    const auto& task = world_.started();
    std::vector<std::uint32_t> candidates;
    for (std::uint32_t draw = 0; draw < kCandidates; ++draw) {
      const auto one = task[random_.below(static_cast<std::uint32_t>(task.size()))];
      if (one != self_ && world_.alive(one) && std::ranges::find(candidates, one) == candidates.end())
        candidates.push_back(one);
    }
    const auto useful = [&](std::uint32_t one) {
      for (const auto& range : window_.ranges()) {
        for (auto stripe = range.begin; stripe < range.end; ++stripe) {
          if (window_.open(stripe) && world_.has(one, stripe)) return true;
        }
      }
      return false;
    };
    std::erase_if(candidates, [&](std::uint32_t one) { return !useful(one); });
    std::ranges::sort(candidates, {}, [&](std::uint32_t one) { return std::pair(world_.uploading(one), one); });
    if (candidates.size() > kParents) candidates.resize(kParents);
    if (!candidates.empty()) parents_ = std::move(candidates);
  }

  std::vector<std::uint32_t> parents_;
  Time named_{-1'000};
};

/// A tracker names 10 neighbours at random; 3 requests on each connection, the rarest piece among them first. The
/// first 10 nodes are connected to the origin as well.
class Torrent final : public Rival {
 public:
  Torrent(StrategyContext context, std::uint32_t self, const CrowdWorld& world)
      : Rival(std::move(context), self, world, kPipeline * static_cast<std::uint32_t>(kConnections)) {}

 private:
  std::optional<Choice> choose() override {
    if (neighbours_.size() < kConnections || now_ - named_ > 3'000ms) announce();
    std::optional<Choice> best;
    std::uint32_t best_count = 0;
    std::uint32_t ties = 0;
    for (const auto& range : window_.ranges()) {
      for (auto stripe = range.begin; stripe < range.end; ++stripe) {
        if (!window_.open(stripe)) continue;
        std::uint32_t count = 0;
        std::optional<SourceId> source;
        for (const auto one : neighbours_) {
          if (!world_.has(one, stripe)) continue;
          ++count;
          if (resting(peer(one)) || running_from(peer(one)) >= kPipeline) continue;
          if (!source || random_.below(count) == 0) source = peer(one);
        }
        if (at_origin() && count == 0 && running_from(kUpstream) < kPipeline) source = kUpstream;
        if (!source || (best && count > best_count)) continue;
        ties = best && count == best_count ? ties + 1 : 1;
        if (random_.below(ties) != 0) continue;
        best = Choice{stripe, *source};
        best_count = count;
      }
    }
    return best;
  }
  bool at_origin() const {
    const auto& started = world_.started();
    const auto last = started.begin() + static_cast<std::ptrdiff_t>(std::min(kConnections, started.size()));
    return std::find(started.begin(), last, self_) != last;
  }
  void announce() {
    named_ = now_;
    std::erase_if(neighbours_, [this](std::uint32_t one) { return !world_.alive(one); });
    const auto& task = world_.started();
    // A connection that brings nothing makes room for another.
    if (neighbours_.size() >= kConnections) neighbours_.erase(neighbours_.begin());
    for (std::uint32_t draw = 0; draw < 4 * kConnections && neighbours_.size() < kConnections; ++draw) {
      const auto one = task[random_.below(static_cast<std::uint32_t>(task.size()))];
      if (one != self_ && std::ranges::find(neighbours_, one) == neighbours_.end()) neighbours_.push_back(one);
    }
  }

  std::vector<std::uint32_t> neighbours_;
  Time named_{-10'000};
};

}  // namespace

bool waits_at_source(CrowdPolicy policy) noexcept {
  return policy == CrowdPolicy::kTree || policy == CrowdPolicy::kHierarchy;
}

std::uint32_t slots_of(CrowdPolicy policy) noexcept {
  switch (policy) {
    case CrowdPolicy::kGantry:
      return 10 * kWholeFetches;  // ten blobs at a time
    case CrowdPolicy::kDragonfly:
      return 200;
    case CrowdPolicy::kKraken:
      return kPipeline * static_cast<std::uint32_t>(kConnections);
    default:
      return 0;
  }
}

std::unique_ptr<Strategy> make_rival(CrowdPolicy policy, StrategyContext context, std::uint32_t self,
                                     const CrowdWorld& world) {
  switch (policy) {
    case CrowdPolicy::kHierarchy:
      return std::make_unique<Hierarchy>(std::move(context), self, world);
    case CrowdPolicy::kTree:
      return std::make_unique<Tree>(std::move(context), self, world);
    case CrowdPolicy::kSpegel:
    case CrowdPolicy::kGantry:
      return std::make_unique<WholeBlob>(std::move(context), self, world, policy == CrowdPolicy::kGantry);
    case CrowdPolicy::kDragonfly:
      return std::make_unique<Scheduled>(std::move(context), self, world);
    case CrowdPolicy::kKraken:
      return std::make_unique<Torrent>(std::move(context), self, world);
    default:
      return nullptr;
  }
}

}  // namespace oxbow::p2p::sim
