#include "p2p/sim/churn.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <queue>

#include "core/error.h"
#include "p2p/sim/band.h"
#include "p2p/sim/churn_cluster.h"
#include "p2p/sim/popularity.h"

namespace oxbow::p2p::sim {
namespace {

constexpr Ms kEpoch = 1'000'000;  // everything that is there at the start has been there for long
constexpr Ms kWarmUp = 300'000;   // of churn and pulls, the same whatever the views' age, so that arms can be compared
constexpr Ms kSettle = 2'000;     // mirror's announcer: after a change of the view
constexpr Ms kGather = 200;       // before news are told
constexpr Ms kAgain = 300'000;    // everything again, at the latest
constexpr Ms kLate = 3'000;       // the client contract: headers by then
constexpr Ms kFailed = 30'000;    // containerd goes elsewhere

struct Event {
  enum class Kind : std::uint8_t {
    kPull,
    kNews,     ///< a node tells of a blob that it has got
    kView,     ///< nodes of an age look at their view
    kSettled,  ///< an age's view has stood for two seconds, or five minutes are over: everything is told
    kMoved,    ///< an age tells what has moved
    kRestarted,
    kNoticed,  ///< a holder finds out that one of its coordinators has restarted
  };
  Ms at = 0;
  std::uint64_t order = 0;
  Kind kind = Kind::kPull;
  std::uint32_t who = 0;   ///< node or age
  std::uint64_t what = 0;  ///< blob, or the number of a change of the view

  bool operator>(const Event& other) const noexcept { return at != other.at ? at > other.at : order > other.order; }
};

class ChurnRun {
 public:
  ChurnRun(const ChurnOptions& options, std::uint64_t seed)
      : options_(options),
        random_(seed),
        measured_(kEpoch + kWarmUp),
        end_(measured_ + options.measured_ms),
        world_(options, kEpoch, end_, random_),
        cluster_(options, world_, random_),
        popularity_(options.blobs, options.alpha) {}

  ChurnResult run(Progress* progress);

 private:
  struct Age {
    std::shared_ptr<const View> view = nullptr;
    std::shared_ptr<const View> told = nullptr;  ///< by which all that is held was last told (kMoved)
    std::uint64_t changes = 0;
  };

  void add(Ms at, Event::Kind kind, std::uint32_t who, std::uint64_t what = 0) {
    events_.push({at, next_order_++, kind, who, what});
  }
  void fill_caches();
  void plan();
  void handle(const Event& event);
  void look(std::uint32_t age, Ms now);
  void tell_everything(std::uint32_t age, Ms now);
  void restarted(NodeId node, Ms now);
  void pull(Ms now);
  void take(NodeId asker, BlobId blob, Ms now, const PullOutcome& outcome, bool elsewhere);

  const ChurnOptions& options_;
  Random random_;
  const Ms measured_;
  const Ms end_;
  ChurnWorld world_;
  ChurnCluster cluster_;
  const Popularity popularity_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::uint64_t next_order_ = 0;
  std::array<Age, ChurnWorld::kAges> ages_;
  std::vector<double> delays_ms_;
  std::uint64_t announced_before_ = 0;
  ChurnResult result_;
};

/// As if for long: each node holds what is popular, and has told so.
void ChurnRun::fill_caches() {
  for (NodeId node = 0; node < options_.nodes; ++node) {
    for (std::uint32_t tries = 0; tries < 4 * options_.held_per_node; ++tries) {
      if (cluster_.held(node) >= options_.held_per_node) break;
      cluster_.keep(node, popularity_.draw(random_));
    }
    cluster_.tell_all(node, kEpoch);
  }
}

void ChurnRun::plan() {
  for (std::uint32_t age = 0; age < ChurnWorld::kAges; ++age) {
    ages_[age].view = ages_[age].told = world_.view(age, kEpoch);
    for (Ms at = kEpoch + world_.view_every(); at < end_; at += world_.view_every()) add(at, Event::Kind::kView, age);
    add(kEpoch + kAgain, Event::Kind::kSettled, age, 0);
  }
  const double every = static_cast<double>(options_.measured_ms) / options_.pulls;
  for (double slot = kEpoch; slot < static_cast<double>(end_); slot += every)
    add(std::min(end_ - 1, static_cast<Ms>(slot + every * random_.uniform())), Event::Kind::kPull, 0);
  for (NodeId node = 0; node < world_.lives().size(); ++node) {
    const auto& life = world_.life(node);
    if (life.down_until < end_) add(life.down_until, Event::Kind::kRestarted, node);
    if (life.dies >= measured_ && life.dies < end_) ++result_.died;
    if (life.born >= measured_ && life.born < end_) ++result_.came;
  }
}

ChurnResult ChurnRun::run(Progress* progress) {
  fill_caches();
  plan();
  bool measuring = false;
  std::uint64_t handled = 0;
  while (!events_.empty() && events_.top().at < end_) {
    if (progress != nullptr && (++handled & 0xffU) == 0 && progress->cancelled()) return {};
    const auto event = events_.top();
    events_.pop();
    if (!measuring && event.at >= measured_) {
      measuring = true;
      announced_before_ = cluster_.announcements();
    }
    handle(event);
  }
  result_.announcements = cluster_.announcements() - announced_before_;
  result_.delay_p50_ms = quantile(delays_ms_, 0.5);
  result_.delay_p99_ms = quantile(delays_ms_, 0.99);
  OXBOW_INVARIANT(result_.from_peers + result_.upstream == result_.pulls);
  return result_;
}

void ChurnRun::handle(const Event& event) {
  switch (event.kind) {
    case Event::Kind::kPull:
      pull(event.at);
      break;
    case Event::Kind::kNews:
      cluster_.tell(event.who, static_cast<BlobId>(event.what), event.at);
      break;
    case Event::Kind::kView:
      look(event.who, event.at);
      break;
    case Event::Kind::kSettled:
      if (event.what == ages_[event.who].changes || options_.reannounce == ReannounceRule::kMoved)
        tell_everything(event.who, event.at);
      break;
    case Event::Kind::kMoved:
      cluster_.tell_moved(event.who, *ages_[event.who].told, *ages_[event.who].view, event.at);
      ages_[event.who].told = ages_[event.who].view;
      break;
    case Event::Kind::kRestarted:
      restarted(event.who, event.at);
      break;
    case Event::Kind::kNoticed:
      cluster_.tell(event.who, static_cast<BlobId>(event.what), event.at);
      break;
  }
}

/// Every change puts off, by the daemon's rule, what was due; even the five minutes.
void ChurnRun::look(std::uint32_t age, Ms now) {
  auto& one = ages_[age];
  const auto view = world_.view(age, now);
  if (view == one.view) return;
  ++one.changes;
  one.view = view;
  add(now + kSettle, options_.reannounce == ReannounceRule::kSettled ? Event::Kind::kSettled : Event::Kind::kMoved, age,
      one.changes);
}

void ChurnRun::tell_everything(std::uint32_t age, Ms now) {
  for (NodeId node = age; node < world_.lives().size(); node += ChurnWorld::kAges) {
    if (world_.up(node, now)) cluster_.tell_all(node, now);
  }
  add(now + kAgain, Event::Kind::kSettled, age, ages_[age].changes);
}

/// It tells what it holds. Those that told it something find out when they next say hello to it; by the daemon's rule
/// they tell all again once they have found no other restart for two seconds, which takes (e^2r - 1) / r with r of them
/// a second.
void ChurnRun::restarted(NodeId node, Ms now) {
  for (const auto& [holder, blob] : cluster_.told_to(node, ChurnWorld::age_of(node), now)) {
    if (holder == node) add(now + kSettle, Event::Kind::kNews, node, blob);
  }
  const Ms cycle = std::max<Ms>(5'000, 5'000 * static_cast<Ms>(options_.nodes) / 64);
  const double restarts = 1'000 * options_.batch * options_.nodes / options_.down_ms;
  const double gap_s = (std::exp(2 * restarts) - 1) / restarts;
  const Ms settle = options_.reannounce == ReannounceRule::kMoved
                        ? kSettle
                        : std::max(kSettle, static_cast<Ms>(1'000 * std::min(gap_s, 3'600.0)));
  for (std::uint32_t age = 0; age < ChurnWorld::kAges; ++age) {
    for (const auto& [holder, blob] : cluster_.told_to(node, age, now))
      add(now + settle + static_cast<Ms>(random_.uniform() * static_cast<double>(cycle)), Event::Kind::kNoticed, holder,
          blob);
  }
}

void ChurnRun::pull(Ms now) {
  constexpr int kTries = 16;
  for (int i = 0; i < kTries; ++i) {
    const auto asker = random_.below(static_cast<std::uint32_t>(world_.lives().size()));
    if (!world_.up(asker, now)) continue;
    const auto blob = popularity_.draw(random_);
    if (cluster_.holds(asker, blob)) continue;
    const bool elsewhere = cluster_.held_elsewhere(asker, blob, now);
    const auto outcome = options_.strategy == ChurnStrategy::kSwarm ? cluster_.pull_by_swarm(asker, blob, now)
                                                                    : cluster_.pull_by_fingers(asker, blob, now);
    add(now + outcome.delay_ms + options_.pull_ms + kGather, Event::Kind::kNews, asker, blob);
    if (now >= measured_) take(asker, blob, now, outcome, elsewhere);
    return;
  }
}

void ChurnRun::take(NodeId asker, BlobId blob, Ms now, const PullOutcome& outcome, bool elsewhere) {
  OXBOW_INVARIANT(outcome.upstream || !outcome.sources.empty());
  ++result_.pulls;
  result_.hit_dead += outcome.dead_asked > 0 ? 1 : 0;
  result_.dead_asked += outcome.dead_asked;
  result_.dead_first += outcome.dead_first ? 1 : 0;
  result_.hops += outcome.hops;
  result_.extra_hops += outcome.extra_hops;
  result_.delay_ms += static_cast<double>(outcome.delay_ms);
  delays_ms_.push_back(static_cast<double>(outcome.delay_ms));
  result_.late += outcome.delay_ms > kLate ? 1 : 0;
  result_.failed += outcome.delay_ms > kFailed ? 1 : 0;
  ++(outcome.upstream ? result_.upstream : result_.from_peers);
  result_.upstream_needless += outcome.upstream && elsewhere ? 1 : 0;
  const auto from = now + outcome.delay_ms;
  const bool died = std::ranges::any_of(outcome.sources, [&](NodeId source) {
    return world_.up(source, from) && !world_.up(source, from + options_.pull_ms);
  });
  result_.source_died += !outcome.upstream && died ? 1 : 0;
  for (const auto source : outcome.sources) OXBOW_INVARIANT(source != asker && cluster_.holds(source, blob));
}

}  // namespace

std::string_view to_string(ChurnStrategy strategy) noexcept {
  return strategy == ChurnStrategy::kSwarm ? "swarm" : "fingers";
}

std::string_view to_string(ChurnScenario scenario) noexcept {
  switch (scenario) {
    case ChurnScenario::kSteady:
      return "steady";
    case ChurnScenario::kRack:
      return "rack";
    case ChurnScenario::kRolling:
      return "rolling";
  }
  return "unknown";
}

std::string_view to_string(ReannounceRule rule) noexcept {
  return rule == ReannounceRule::kSettled ? "settled" : "moved";
}

ChurnResult run_churn(const ChurnOptions& options, std::uint64_t seed, Progress* progress) {
  OXBOW_INVARIANT(options.nodes > 1 && options.blobs > 0 && options.pulls > 0);
  return ChurnRun(options, seed).run(progress);
}

}  // namespace oxbow::p2p::sim
