// What a strategy may do beside its leases and beyond what is needed is bounded: stripes asked for twice, and bytes
// from upstream that nobody gave it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "p2p/strategy.h"

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kStripes = 256;
constexpr std::uint64_t kBlobBytes = kStripes * 1024ULL * 1024;
constexpr std::uint32_t kNodes = 8;

/// One node of eight; the others hold the blob, as the coordinator says.
class BudgetsTest : public ::testing::TestWithParam<StrategyKind> {
 protected:
  BudgetsTest() {
    for (std::uint32_t i = 1; i <= kNodes; ++i) {
      Peer peer;
      peer.id = i;
      peer.member.name = fmt::format("node-{}", i);
      peer.vetted = true;
      peer.self = i == 1;
      peers_.push_back(peer);
    }
    strategy_ = make_strategy(GetParam(), {digest_, geometry_, HaveMap(kStripes), 1});
    tell(PeersChanged{std::make_shared<const PeerSnapshot>(peers_, 1)});
  }

  /// What is asked of a coordinator is answered at once.
  std::vector<Fetch> tell(const Event& event) {
    std::vector<Fetch> fetches;
    std::vector<Send> asked;
    for (const auto& action : strategy_->on_event(now_, event)) {
      if (const auto* fetch = std::get_if<Fetch>(&action)) fetches.push_back(*fetch);
      if (const auto* send = std::get_if<Send>(&action)) asked.push_back(*send);
    }
    for (const auto& [peer, announce, question, quiet] : asked) {
      AnnounceReply reply;
      reply.digest = digest_;
      for (const auto& other : peers_) {
        if (!other.self) reply.neighbours.push_back({other.member.name, true, kStripes});
      }
      const auto more = tell(Replied{peer, reply, question});
      fetches.insert(fetches.end(), more.begin(), more.end());
    }
    return fetches;
  }
  std::uint64_t bytes_of(std::uint32_t stripe) const { return geometry_.stripe(stripe).size(); }

  const Digest digest_ = Digest::sha256(std::string_view("blob"));
  const Geometry geometry_{kBlobBytes};
  std::vector<Peer> peers_;
  std::unique_ptr<Strategy> strategy_;
  Time now_{1'000};
};

// Every stripe of the blob is late, one after the other: the tails that are asked for twice are 5 % of its bytes at
// most, and never at upstream.
TEST_P(BudgetsTest, HedgesAreAFewOfTheBytes) {
  constexpr std::uint64_t kCame = 1'000;
  std::uint64_t hedged = 0;
  for (std::uint32_t stripe = 0; stripe < kStripes; ++stripe) {
    now_ += 6'000ms;  // whoever was left for being slow may be asked again
    auto got = tell(WindowChanged{{{stripe, stripe + 1}}, true, false});
    std::ranges::copy(tell(TimerFired{}), std::back_inserter(got));
    ASSERT_EQ(got.size(), 1U) << stripe;
    now_ += 500ms;
    const auto hedges = tell(TimerFired{{{got[0].id, kCame, 500ms}}});
    ASSERT_LE(hedges.size(), 1U) << stripe;
    for (const auto& hedge : hedges) {
      EXPECT_EQ(hedge.hedge_of, got[0].id);
      EXPECT_NE(hedge.source, kUpstream);
      hedged += bytes_of(stripe) - kCame;
    }
    const auto first = hedges.empty() ? got[0].id : hedges[0].id;
    tell(StripeArrived{first, stripe});
    tell(FetchEnded{first, {}});
    if (!hedges.empty()) tell(FetchEnded{got[0].id, fail(Errc::kCancelled, "the other was first")});
  }
  EXPECT_LE(static_cast<double>(hedged), 0.05 * kBlobBytes);
  EXPECT_GE(static_cast<double>(hedged), 0.04 * kBlobBytes) << "the budget was not what ended it";
}

// Most spans come along no way, and a few come slowly: what is fetched without anybody's lease is 5 % of the blob's
// bytes at most.
class FingersBudgetTest : public BudgetsTest {};
TEST_P(FingersBudgetTest, WithoutALeaseAFewOfTheBytes) {
  constexpr std::uint32_t kSpansThatCome = 4;  // every so many
  std::vector<Fetch> open = tell(WindowChanged{{{0, kStripes}}, true, true});
  std::vector<Fetch> slow;
  std::uint64_t from_upstream = 0;
  std::uint32_t from_peers = 0;
  const auto add = [&open](const std::vector<Fetch>& more) { open.insert(open.end(), more.begin(), more.end()); };
  const auto arrive = [&](const Fetch& fetch) {
    for (auto stripe = fetch.stripes.begin; stripe < fetch.stripes.end; ++stripe)
      add(tell(StripeArrived{fetch.id, stripe}));
    add(tell(FetchEnded{fetch.id, {}}));
  };
  for (int tick = 0; tick < 200; ++tick) {
    now_ += 100ms;
    add(tell(SlotsFree{kUpstream, 6}));
    add(tell(TimerFired{}));
    for (const auto& fetch : std::exchange(open, {})) {
      if (fetch.source == kUpstream) {
        for (auto stripe = fetch.stripes.begin; stripe < fetch.stripes.end; ++stripe) from_upstream += bytes_of(stripe);
        arrive(fetch);
      } else if (Geometry::span_of(fetch.stripes.begin) % kSpansThatCome == 0) {
        slow.push_back(fetch);
      } else {
        add(tell(FetchEnded{fetch.id, fail(Errc::kUnavailable, "gone")}));
      }
    }
    if (tick % 5 != 0 || slow.empty()) continue;
    const auto next = slow.front();
    slow.erase(slow.begin());
    ++from_peers;
    arrive(next);
  }
  EXPECT_GE(from_peers, 30U);
  EXPECT_LE(static_cast<double>(from_upstream), 0.05 * kBlobBytes);
  EXPECT_GE(static_cast<double>(from_upstream), 0.04 * kBlobBytes) << "the budget was not what ended it";
}

INSTANTIATE_TEST_SUITE_P(Strategies, FingersBudgetTest, ::testing::Values(StrategyKind::kFingers));
INSTANTIATE_TEST_SUITE_P(Strategies, BudgetsTest, ::testing::Values(StrategyKind::kSwarm, StrategyKind::kFingers),
                         [](const auto& one) { return std::string(to_string(one.param)); });

}  // namespace
}  // namespace oxbow::p2p
