#include "p2p/swarm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1024ULL * 1024;

/// A node of five: the strategy under test is on whichever is not the blob's coordinator.
class SwarmTest : public ::testing::Test {
 protected:
  SwarmTest() {
    for (std::uint32_t i = 1; i <= 5; ++i) {
      Peer peer;
      peer.id = i;
      peer.member.name = fmt::format("node-{}", i);
      peer.vetted = true;
      members_.push_back(peer);
    }
    const auto order = PeerSnapshot(members_, 1).ranked(key_of(digest_), 5);
    for (auto& peer : members_) peer.self = peer.id == order[4];
    peers_ = std::make_shared<const PeerSnapshot>(members_, 1);
    ranked_ = peers_->ranked(key_of(digest_), 3);
    start_anew();
  }

  void start_anew(std::uint64_t blob_bytes = 256 * kMiB, std::uint64_t seed = 1) {
    const Geometry geometry(blob_bytes);
    StrategyContext context{digest_, geometry, HaveMap(geometry.stripes()), seed};
    swarm_ = std::make_unique<Swarm>(context);
  }

  /// From now on the table of peers has it so.
  std::vector<Action> set_state(PeerId id, PeerState state) {
    std::ranges::find(members_, id, &Peer::id)->state = state;
    peers_ = std::make_shared<const PeerSnapshot>(members_, peers_->revision() + 1);
    return tell(PeersChanged{peers_});
  }

  /// A reply is to the last question that its peer was asked.
  std::vector<Action> tell(Event event) {
    if (auto* replied = std::get_if<Replied>(&event)) replied->question = questions_[replied->peer];
    return tell_as_it_is(event);
  }
  std::vector<Action> tell_as_it_is(const Event& event) {
    auto actions = swarm_->on_event(now_, event);
    for (const auto& send : all<Send>(actions)) {
      if (send.question != 0) questions_[send.peer] = send.question;
    }
    return actions;
  }
  template <typename T>
  static std::vector<T> all(const std::vector<Action>& actions) {
    std::vector<T> out;
    for (const auto& action : actions) {
      if (const auto* one = std::get_if<T>(&action)) out.push_back(*one);
    }
    return out;
  }
  /// Starts reading; gives back what was sent to the coordinator.
  std::vector<Send> begin(StripeRange wanted, bool may_fetch = true) {
    tell(PeersChanged{peers_});
    auto actions = tell(WindowChanged{{wanted}, true, may_fetch});
    tell(SlotsFree{kUpstream, 6});
    return all<Send>(actions);
  }
  static TimerFired progress_of(const std::vector<Fetch>& fetches, std::uint64_t bytes,
                                std::chrono::milliseconds since_last) {
    TimerFired fired;
    for (const auto& fetch : fetches) fired.progress.push_back({fetch.id, bytes, since_last});
    return fired;
  }
  AnnounceReply reply(std::vector<std::uint32_t> spans, std::vector<Neighbour> neighbours = {}) const {
    AnnounceReply answer;
    answer.digest = digest_;
    for (const auto span : spans) answer.granted.push_back({span, 2'000ms});
    answer.neighbours = std::move(neighbours);
    return answer;
  }
  Neighbour holder(PeerId id) const { return {peers_->find(id)->member.name, true, 256}; }
  Neighbour wanter(PeerId id, std::uint32_t stripes) const { return {peers_->find(id)->member.name, false, stripes}; }
  /// A second later that holder is reported, and the first span comes from upstream, by a lease for it.
  void expect_first_span_from_upstream_without(PeerId id) {
    now_ += 1'000ms;
    const auto sent = all<Send>(tell(TimerFired{}));
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].announce.unreachable, std::vector<std::string>{peers_->find(id)->member.name});
    EXPECT_EQ(sent[0].announce.ask, (std::vector<std::uint32_t>{0}));
    const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({0}, {holder(id)})}));
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].source, kUpstream);
    EXPECT_EQ(got[0].stripes, (StripeRange{0, 8}));
  }

  /// What is announced within a second after a holder's fetch has failed so.
  Announce announced_after(Errc code) {
    begin({0, 40});
    const auto fetches = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})}));
    EXPECT_FALSE(fetches.empty());
    for (const auto& fetch : fetches) tell(FetchEnded{fetch.id, fail(code, "over")});
    std::vector<Send> sent;
    for (int i = 0; i < 5 && sent.empty(); ++i) {
      now_ += 200ms;
      sent = all<Send>(tell(TimerFired{}));
    }
    EXPECT_FALSE(sent.empty());
    return sent.empty() ? Announce{} : sent[0].announce;
  }

  /// For how long a holder is not asked after a refusal that came with that load. `takes`: a stripe before it, if any.
  std::chrono::milliseconds is_left_alone_for(std::uint64_t blob_bytes, Load load, std::uint64_t seed,
                                              std::chrono::milliseconds takes = 0ms) {
    start_anew(blob_bytes, seed);
    begin({0, takes > 0ms ? 2U : 1U});
    const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})}));
    EXPECT_EQ(got.size(), takes > 0ms ? 2U : 1U);
    if (takes > 0ms) {
      now_ += takes;
      tell(StripeArrived{got.at(0).id, got.at(0).stripes.begin});
      tell(FetchEnded{got.at(0).id, {}});
    }
    HaveUpdate update;
    update.load = load;
    tell(HaveChanged{ranked_[1], update});
    auto actions = tell(FetchEnded{got.back().id, fail(Errc::kBusy, "no slot")});
    const auto refused = now_;
    while (all<Fetch>(actions).empty() && now_ - refused < 1s) {
      now_ += 1ms;
      actions = tell(TimerFired{});
    }
    const auto alone = now_ - refused;
    now_ += 1s;
    return alone;
  }

  const Digest digest_ = Digest::sha256(std::string_view("blob"));
  std::vector<Peer> members_;
  std::shared_ptr<const PeerSnapshot> peers_;
  std::vector<PeerId> ranked_;
  std::unique_ptr<Swarm> swarm_;
  std::map<PeerId, QuestionId> questions_;  ///< the last of each
  Time now_{1'000};
};

// The first thing it does is to ask the blob's coordinator, with the spans that it wants, in the readers' order.
TEST_F(SwarmTest, AsksTheCoordinatorFirst) {
  const auto sent = begin({4, 40});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].peer, ranked_[0]);
  EXPECT_EQ(sent[0].announce.ask, (std::vector<std::uint32_t>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(sent[0].announce.may_fetch);
}

// Under a lease it fetches what it wants of the span, in one request; nothing without one.
TEST_F(SwarmTest, FetchesUnderALeaseOnly) {
  begin({4, 40});
  EXPECT_TRUE(all<Fetch>(tell(SlotsFree{kUpstream, 6})).empty());
  const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({0})}));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].source, kUpstream);
  EXPECT_EQ(got[0].stripes, (StripeRange{4, 8}));
}

// Without the right to fetch it asks for no lease and uses none.
TEST_F(SwarmTest, NeverAsksWithoutTheRight) {
  const auto sent = begin({0, 40}, false);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(sent[0].announce.ask.empty());
  EXPECT_TRUE(all<Fetch>(tell(Replied{ranked_[0], reply({0})})).empty());
}

// It was left for a moment while stripes of it were under way, and is a neighbour again: those count, when they end
// too.
TEST_F(SwarmTest, ANeighbourThatComesBackWithItsFetches) {
  begin({0, 40});
  const auto running = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})}));
  ASSERT_EQ(running.size(), 10U);
  set_state(ranked_[1], PeerState::kDraining);
  set_state(ranked_[1], PeerState::kEligible);
  now_ += 1'000ms;
  const auto sent = all<Send>(tell(TimerFired{}));
  ASSERT_FALSE(sent.empty());
  EXPECT_TRUE(all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})})).empty());
  std::size_t asked = 0;
  for (const auto& fetch : running) {
    tell(StripeArrived{fetch.id, fetch.stripes.begin});
    asked += all<Fetch>(tell(FetchEnded{fetch.id, {}})).size();
  }
  EXPECT_EQ(asked, 10U);
}

// A complete holder is asked at once and needs no have stream; no stripe is asked for twice.
TEST_F(SwarmTest, TakesFromAHolder) {
  begin({0, 40});
  const auto actions = tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})});
  EXPECT_TRUE(all<WatchHave>(actions).empty());
  const auto got = all<Fetch>(actions);
  ASSERT_EQ(got.size(), 10U);
  std::vector<std::uint32_t> stripes;
  for (const auto& fetch : got) {
    EXPECT_EQ(fetch.source, ranked_[1]);
    EXPECT_EQ(fetch.stripes.count(), 1U);
    stripes.push_back(fetch.stripes.begin);
  }
  std::ranges::sort(stripes);
  EXPECT_TRUE(std::ranges::adjacent_find(stripes) == stripes.end());
}

// Upstream waits for the first map of a neighbour, but not for long: one that never answers does not hold it up.
TEST_F(SwarmTest, UpstreamWaitsForTheFirstMap) {
  begin({0, 40});
  auto actions = tell(Replied{ranked_[0], reply({0}, {wanter(ranked_[1], 8)})});
  EXPECT_EQ(all<WatchHave>(actions).size(), 1U);
  EXPECT_TRUE(all<Fetch>(actions).empty());
  now_ += 310ms;
  actions = tell(TimerFired{});
  ASSERT_EQ(all<Fetch>(actions).size(), 1U);
  EXPECT_EQ(all<Fetch>(actions)[0].source, kUpstream);
}

// What a neighbour has, or gets from upstream at this moment, is taken there and not from upstream.
TEST_F(SwarmTest, WhatANeighbourHasIsNotFetchedFromUpstream) {
  begin({0, 8});
  tell(Replied{ranked_[0], reply({0}, {wanter(ranked_[1], 1)})});
  HaveUpdate update;
  update.map = HaveMap(256);
  update.map->set(2);
  update.arriving = {5};
  std::vector<StripeRange> upstream;
  std::vector<std::uint32_t> peer;
  for (const auto& fetch : all<Fetch>(tell(HaveChanged{ranked_[1], update}))) {
    if (fetch.source == kUpstream)
      upstream.push_back(fetch.stripes);
    else
      peer.push_back(fetch.stripes.begin);
  }
  std::ranges::sort(peer);
  EXPECT_EQ(peer, (std::vector<std::uint32_t>{2, 5}));
  EXPECT_EQ(upstream, (std::vector<StripeRange>{{0, 2}, {3, 5}, {6, 8}}));
}

// A request to upstream that stands still is left as soon as others have what it was for: they were given the lease
// meanwhile, and a request's own limit is ten seconds.
TEST_F(SwarmTest, WhatOthersHaveIsNotWaitedForFromUpstream) {
  begin({0, 8});
  tell(Replied{ranked_[0], reply({0}, {wanter(ranked_[1], 1)})});
  HaveUpdate update;
  update.map = HaveMap(256);
  const auto run = all<Fetch>(tell(HaveChanged{ranked_[1], update}));
  ASSERT_EQ(run.size(), 1U);
  ASSERT_EQ(run[0].stripes, (StripeRange{0, 8}));
  tell(StripeArrived{run[0].id, 0});
  update.map.reset();
  update.have = {1, 2, 3, 4, 5, 6};
  tell(HaveChanged{ranked_[1], update});
  now_ += 1'000ms;
  EXPECT_TRUE(all<CancelFetch>(tell(progress_of(run, kMiB, 1'000ms))).empty());
  update.have = {7};
  tell(HaveChanged{ranked_[1], update});
  EXPECT_TRUE(all<CancelFetch>(tell(progress_of(run, kMiB, 900ms))).empty());
  ASSERT_EQ(all<CancelFetch>(tell(progress_of(run, kMiB, 1'000ms))).size(), 1U);
  const auto again = all<Fetch>(tell(FetchEnded{run[0].id, fail(Errc::kCancelled, "left")}));
  EXPECT_EQ(again.size(), 7U);
  for (const auto& fetch : again) EXPECT_EQ(fetch.source, ranked_[1]);
}

// Not for a peer that was away and has brought nothing since: it may be as dead as before.
TEST_F(SwarmTest, WhatAPeerOnTrialHasIsWaitedForFromUpstream) {
  begin({0, 9});
  tell(Replied{ranked_[0], reply({0}, {wanter(ranked_[1], 1)})});
  HaveUpdate update;
  update.map = HaveMap(256);
  update.map->set(8);
  std::vector<Fetch> run;
  std::vector<Fetch> from_peer;
  for (const auto& fetch : all<Fetch>(tell(HaveChanged{ranked_[1], update})))
    (fetch.source == kUpstream ? run : from_peer).push_back(fetch);
  ASSERT_EQ(run.size(), 1U);
  ASSERT_EQ(run[0].stripes, (StripeRange{0, 8}));
  ASSERT_EQ(from_peer.size(), 1U);
  update.map.reset();
  update.have = {0, 1, 2, 3, 4, 5, 6, 7};
  tell(HaveChanged{ranked_[1], update});
  tell(FetchEnded{from_peer[0].id, fail(Errc::kTimeout, "over")});
  now_ += 1'000ms;
  const auto tried = all<Fetch>(tell(TimerFired{}));
  ASSERT_EQ(tried.size(), 1U);
  ASSERT_EQ(tried[0].source, ranked_[1]);
  EXPECT_TRUE(all<CancelFetch>(tell(progress_of(run, 0, 1'000ms))).empty());
  tell(StripeArrived{tried[0].id, 8});
  tell(FetchEnded{tried[0].id, {}});
  EXPECT_EQ(all<CancelFetch>(tell(progress_of(run, 0, 1'000ms))).size(), 1U);
}

// A have stream that this node itself has no room for says nothing of the peer: what its answers tell of it counts, and
// it is followed later.
TEST_F(SwarmTest, AHaveStreamWithoutRoomSaysNothingOfThePeer) {
  begin({0, 8});
  EXPECT_EQ(all<WatchHave>(tell(Replied{ranked_[0], reply({}, {wanter(ranked_[1], 1)})})).size(), 1U);
  tell(HaveEnded{ranked_[1], Error(Errc::kLimit, "too many are followed")});
  HaveUpdate update;
  update.map = HaveMap(256);
  update.map->set(2);
  const auto got = all<Fetch>(tell(HaveChanged{ranked_[1], update}));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].source, ranked_[1]);
  tell(StripeArrived{got[0].id, 2});
  EXPECT_TRUE(all<WatchHave>(tell(FetchEnded{got[0].id, {}})).empty());
  now_ += 1'000ms;
  EXPECT_EQ(all<WatchHave>(tell(TimerFired{})).size(), 1U);
}

// Neither does one that the peer has no room for.
TEST_F(SwarmTest, APeerWithoutRoomForAHaveStreamIsWell) {
  begin({0, 8});
  EXPECT_EQ(all<WatchHave>(tell(Replied{ranked_[0], reply({}, {wanter(ranked_[1], 1)})})).size(), 1U);
  HaveUpdate update;
  update.map = HaveMap(256);
  update.map->set(2);
  const auto got = all<Fetch>(tell(HaveChanged{ranked_[1], update}));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_TRUE(all<CancelFetch>(tell(HaveEnded{ranked_[1], Error(Errc::kBusy, "too many are open")})).empty());
  EXPECT_EQ(all<Fetch>(tell(FetchEnded{got[0].id, fail(Errc::kCancelled, "ended")})).size(), 1U);
  now_ += 999ms;
  EXPECT_TRUE(all<WatchHave>(tell(TimerFired{})).empty());
  now_ += 1ms;
  EXPECT_EQ(all<WatchHave>(tell(TimerFired{})).size(), 1U);
}

// A peer that goes away ends its have streams and opens no more: nothing that it had counts any more.
TEST_F(SwarmTest, APeerThatGoesAwayIsNoSource) {
  begin({0, 8});
  tell(Replied{ranked_[0], reply({}, {wanter(ranked_[1], 1)})});
  HaveUpdate update;
  update.map = HaveMap(256);
  update.map->set(2);
  const auto got = all<Fetch>(tell(HaveChanged{ranked_[1], update}));
  ASSERT_EQ(got.size(), 1U);
  tell(HaveEnded{ranked_[1], Error(Errc::kNotFound, "the stream has ended")});
  EXPECT_TRUE(all<Fetch>(tell(FetchEnded{got[0].id, fail(Errc::kCancelled, "ended")})).empty());
  now_ += 500ms;
  EXPECT_EQ(all<WatchHave>(tell(TimerFired{})).size(), 1U);
  EXPECT_TRUE(all<Fetch>(tell(HaveEnded{ranked_[1], Error(Errc::kBusy, "going away")})).empty());
}

// A holder that is empty says so: the coordinator hears that it does not count, or it would grant no lease of what only
// that one is said to have, and its word is not taken again for a while.
TEST_F(SwarmTest, AHolderWithoutTheBlobIsReported) {
  begin({0, 8});
  const auto asked = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})}));
  ASSERT_EQ(asked.size(), 8U);
  const auto no = fail(Errc::kNotFound, "not here");
  EXPECT_EQ(all<WatchHave>(tell(FetchEnded{asked[0].id, no})).size(), 1U);
  tell(HaveEnded{ranked_[1], Error(Errc::kNotFound, "not known")});
  for (std::size_t i = 1; i < asked.size(); ++i) tell(FetchEnded{asked[i].id, no});
  expect_first_span_from_upstream_without(ranked_[1]);
}

// What a holder has lost one span of it still has the rest of; it is reported all the same, for the coordinator takes
// that span to be there.
TEST_F(SwarmTest, AHolderWithoutOneSpanGivesTheRest) {
  begin({0, 16});
  auto asked = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})}));
  ASSERT_EQ(asked.size(), 10U);
  std::uint32_t rest = 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (asked[i].stripes.begin >= 8) {
      ++rest;
      continue;
    }
    const auto more = all<Fetch>(tell(FetchEnded{asked[i].id, fail(Errc::kNotFound, "not here")}));
    asked.insert(asked.end(), more.begin(), more.end());
  }
  EXPECT_EQ(rest, 8U);
  HaveUpdate update;
  update.map = HaveMap(256, true);
  for (std::uint32_t stripe = 0; stripe < 8; ++stripe) update.map->clear(stripe);
  tell(HaveChanged{ranked_[1], update});
  expect_first_span_from_upstream_without(ranked_[1]);
}

// What a coordinator says is lost was a lease; what this node fetches without one, because nothing came for long, is
// nothing that it could end. Nor is it left because somebody is said to have it.
TEST_F(SwarmTest, AFetchWithoutALeaseIsNotLost) {
  begin({0, 8});
  std::optional<Fetch> fetch;
  for (int i = 0; i < 10 && !fetch; ++i) {
    now_ += 1'000ms;
    const auto got = all<Fetch>(tell(TimerFired{}));
    if (!got.empty()) fetch = got.front();
    if (!fetch) tell(Replied{ranked_[0], reply({})});
  }
  ASSERT_TRUE(fetch);
  EXPECT_EQ(fetch->source, kUpstream);
  auto answer = reply({});
  answer.lost = {0};
  EXPECT_TRUE(all<CancelFetch>(tell(Replied{ranked_[0], answer})).empty());
  now_ += 1'000ms;
  ASSERT_EQ(all<Send>(tell(TimerFired{})).size(), 1U);
  tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})});
  EXPECT_TRUE(all<CancelFetch>(tell(progress_of({*fetch}, 0, 2'000ms))).empty());
}

// A silent coordinator is left for its successor, which hears of it and of the leases that this node holds.
TEST_F(SwarmTest, ASilentCoordinatorsSuccessorIsTold) {
  begin({0, 40});
  tell(Replied{ranked_[0], reply({0})});
  now_ += 1'000ms;
  auto sent = all<Send>(tell(TimerFired{}));
  ASSERT_EQ(sent.size(), 1U);
  sent = all<Send>(tell(Replied{ranked_[0], fail(Errc::kTimeout, "silence")}));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].peer, ranked_[1]);
  ASSERT_EQ(sent[0].announce.leases.size(), 1U);
  EXPECT_EQ(sent[0].announce.leases[0].span, 0U);
  EXPECT_EQ(sent[0].announce.unreachable, std::vector<std::string>{peers_->find(ranked_[0])->member.name});
}

// It says how many claims the successor has to expect, without the silent one: by the last word of that one, and not
// fewer than it knows itself.
TEST_F(SwarmTest, ASuccessorIsToldHowManyThereAre) {
  const auto told = [this](std::uint32_t wanters, std::vector<Neighbour> neighbours) {
    auto answer = reply({}, std::move(neighbours));
    answer.wanters = wanters;
    tell(Replied{ranked_[0], answer});
    now_ += 1'000ms;
    auto sent = all<Send>(tell(TimerFired{}));
    EXPECT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].announce.wanters, 0U);
    sent = all<Send>(tell(Replied{ranked_[0], fail(Errc::kUnavailable, "it is gone")}));
    EXPECT_EQ(sent.size(), 1U);
    return sent[0].announce.wanters;
  };
  begin({0, 40});
  EXPECT_EQ(told(12, {holder(ranked_[0]), wanter(ranked_[1], 0)}), 12U);
  start_anew();
  begin({0, 40});
  EXPECT_EQ(told(12, {wanter(ranked_[0], 0), wanter(ranked_[1], 0)}), 11U);
  start_anew();
  begin({0, 40});
  EXPECT_EQ(told(1, {holder(ranked_[0]), wanter(ranked_[1], 0), wanter(ranked_[2], 0)}), 3U);
}

// Also where the table knows before this node has asked.
TEST_F(SwarmTest, TheSuccessorOfOneWhoseCircuitIsOpenIsToldToo) {
  begin({0, 40});
  auto answer = reply({});
  answer.wanters = 12;
  tell(Replied{ranked_[0], answer});
  const auto sent = all<Send>(set_state(ranked_[0], PeerState::kCircuitOpen));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].peer, ranked_[1]);
  EXPECT_EQ(sent[0].announce.wanters, 12U);
  // The table tries the dead one again after a second. This node does not.
  EXPECT_TRUE(all<Send>(set_state(ranked_[0], PeerState::kEligible)).empty());
  tell(Replied{ranked_[1], reply({})});
  now_ += 1'000ms;
  const auto next = all<Send>(tell(TimerFired{}));
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].peer, ranked_[1]);
}

// Silence is measured by how long answers take: 2.5 s until that is known, and where links are so full that they take
// long, or first bytes of stripes do; 0.7 s where they come at once.
TEST_F(SwarmTest, SilenceIsMeasuredByTheAnswers) {
  auto sent = begin({0, 40});
  const auto answered_after = [&](std::chrono::milliseconds took) {
    EXPECT_EQ(sent.size(), 1U);
    now_ += took;
    auto answer = reply({});
    answer.again = 200ms;
    tell(Replied{ranked_[0], answer});
    now_ += 200ms;
    sent = all<Send>(tell(TimerFired{}));
    return sent.empty() ? 0ms : sent[0].quiet;
  };
  EXPECT_EQ(sent[0].quiet, kLongestQuiet);
  EXPECT_EQ(answered_after(5ms), kLongestQuiet);
  EXPECT_EQ(answered_after(5ms), kLongestQuiet);
  EXPECT_EQ(answered_after(5ms), 700ms);
  const auto longer = answered_after(400ms);
  EXPECT_GT(longer, 1'400ms);
  EXPECT_LE(longer, 1'600ms);
  EXPECT_EQ(answered_after(800ms), kLongestQuiet);
  EXPECT_EQ(answered_after(5ms), kLongestQuiet);
  for (int i = 0; i < 20; ++i) answered_after(5ms);
  EXPECT_EQ(answered_after(5ms), 700ms);

  auto named = reply({}, {holder(ranked_[1])});
  named.again = 900ms;
  const auto fetches = all<Fetch>(tell(Replied{ranked_[0], named}));
  ASSERT_FALSE(fetches.empty());
  now_ += 900ms;
  sent = all<Send>(tell(TimerFired{{{fetches[0].id, 1'000, 0ms}}}));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].quiet, kLongestQuiet);
  sent = all<Send>(tell(Replied{ranked_[0], fail(Errc::kTimeout, "silence")}));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].quiet, kLongestQuiet) << "nothing is known of its successor";
}

// A neighbour whose connection broke is out of reach after a moment, and told apart from one that is only silent.
TEST_F(SwarmTest, ABrokenConnectionIsReported) {
  const auto announce = announced_after(Errc::kUnavailable);
  const std::vector<std::string> named{peers_->find(ranked_[1])->member.name};
  EXPECT_EQ(announce.unreachable, named);
  EXPECT_EQ(announce.gone, named);
}
// Also when the table has taken the peer out of the eligible ones meanwhile: what it holds and leases ends by reports
// alone. It is asked for nothing until it is back.
TEST_F(SwarmTest, APeerWhoseCircuitIsOpenIsReported) {
  begin({0, 40});
  for (const auto& fetch : all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})})))
    tell(FetchEnded{fetch.id, fail(Errc::kUnavailable, "over")});
  set_state(ranked_[1], PeerState::kCircuitOpen);
  now_ += 1'000ms;
  auto sent = all<Send>(tell(TimerFired{}));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].announce.gone, std::vector<std::string>{peers_->find(ranked_[1])->member.name});
  tell(Replied{ranked_[0], reply({})});
  now_ += 1'500ms;
  auto actions = tell(TimerFired{});
  EXPECT_TRUE(all<Fetch>(actions).empty());
  EXPECT_TRUE(all<WatchHave>(actions).empty());
  set_state(ranked_[1], PeerState::kEligible);
  const auto fetches = all<Fetch>(tell(TimerFired{}));
  ASSERT_FALSE(fetches.empty());
  EXPECT_EQ(fetches[0].source, ranked_[1]);
}
TEST_F(SwarmTest, AMomentOfSilenceIsNot) {
  const auto announce = announced_after(Errc::kTimeout);
  EXPECT_TRUE(announce.unreachable.empty());
  EXPECT_TRUE(announce.gone.empty());
}

// One that never answered is left after 2.5 s, whatever else comes from it; what it says then is not heard.
TEST_F(SwarmTest, ACoordinatorThatNeverAnsweredIsLeftInTime) {
  begin({0, 40});
  const auto question = questions_[ranked_[0]];
  now_ += 2'400ms;
  EXPECT_TRUE(all<Send>(tell(TimerFired{})).empty());
  now_ += 100ms;
  const auto sent = all<Send>(tell(TimerFired{}));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].peer, ranked_[1]);
  EXPECT_TRUE(all<Fetch>(tell_as_it_is(Replied{ranked_[0], reply({0}), question})).empty());
  EXPECT_EQ(all<Fetch>(tell(Replied{ranked_[1], reply({0})})).size(), 1U);
}

// The last reader leaves and the next one comes before the coordinator has answered that: its answer is not taken for
// one to the new question, which grants leases.
TEST_F(SwarmTest, AnAnswerToSomethingElseIsNotTheQuestions) {
  begin({0, 40});
  tell(Replied{ranked_[0], reply({})});
  now_ += 1'000ms;
  const auto left = all<Send>(tell(WindowChanged{{}, false, true}));
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].announce.interest, Interest::kLeft);
  const auto asked = all<Send>(tell(WindowChanged{{{0, 40}}, true, true}));
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].announce.interest, Interest::kWanting);
  auto old = reply({});
  old.again = 300'000ms;
  EXPECT_TRUE(tell_as_it_is(Replied{ranked_[0], old, left[0].question}).empty());
  const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({0})}));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].source, kUpstream);
}

// A coordinator that has only just started may not know the holders: its successor is asked before upstream is.
TEST_F(SwarmTest, AFreshCoordinatorsSuccessorIsAskedFirst) {
  begin({0, 40});
  auto fresh = reply({0});
  fresh.fresh = true;
  auto actions = tell(Replied{ranked_[0], fresh});
  EXPECT_TRUE(all<Fetch>(actions).empty());
  const auto sent = all<Send>(actions);
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].peer, ranked_[1]);
  EXPECT_TRUE(sent[0].announce.ask.empty());
  actions = tell(Replied{ranked_[1], reply({}, {holder(ranked_[2])})});
  const auto got = all<Fetch>(actions);
  ASSERT_FALSE(got.empty());
  for (const auto& fetch : got) EXPECT_EQ(fetch.source, ranked_[2]);
}

// A peer without any progress for a second is left, and everything that waits for it is asked elsewhere.
TEST_F(SwarmTest, ADeadPeerIsLeftAfterASecond) {
  begin({0, 8});
  const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})}));
  ASSERT_EQ(got.size(), 8U);
  now_ += 1'000ms;
  EXPECT_EQ(all<CancelFetch>(tell(progress_of(got, 0, 1'000ms))).size(), 8U);
}

// Sooner where first bytes come at once: after half a second. Not where they take long, nor before a stripe has come.
TEST_F(SwarmTest, ADeadPeerIsLeftSoonerWhereBytesComeAtOnce) {
  const auto left_after = [this](std::chrono::milliseconds still, std::chrono::milliseconds first_byte, bool one_came) {
    start_anew();
    begin({0, 8});
    auto got = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})}));
    now_ += first_byte;
    tell(progress_of(got, 1'000, 0ms));
    if (one_came) {
      tell(StripeArrived{got[0].id, got[0].stripes.begin});
      tell(FetchEnded{got[0].id, {}});
    }
    got.erase(got.begin());
    now_ += still;
    return all<CancelFetch>(tell(progress_of(got, 1'000, still))).size();
  };
  EXPECT_EQ(left_after(499ms, 5ms, true), 0U);
  EXPECT_EQ(left_after(500ms, 5ms, true), 7U);
  EXPECT_EQ(left_after(999ms, 5ms, false), 0U);
  EXPECT_EQ(left_after(999ms, 400ms, true), 0U);
  EXPECT_EQ(left_after(1'000ms, 400ms, true), 7U);
}

// What still arrives at the peer waits for upstream: how quick peers are says nothing of that.
TEST_F(SwarmTest, WhatComesThroughAPeerMayWaitForUpstream) {
  begin({0, 3});
  tell(Replied{ranked_[0], reply({}, {wanter(ranked_[1], 3)})});
  HaveUpdate update;
  update.map = HaveMap(256);
  for (const auto stripe : {0, 1, 2}) update.map->set(stripe);
  auto got = all<Fetch>(tell(HaveChanged{ranked_[1], update}));
  ASSERT_EQ(got.size(), 3U);
  now_ += 5ms;
  tell(progress_of(got, 1'000, 0ms));
  for (const auto& fetch : got) {
    tell(StripeArrived{fetch.id, fetch.stripes.begin});
    tell(FetchEnded{fetch.id, {}});
  }
  tell(WindowChanged{{{20, 21}}, true, false});
  update = {};
  update.arriving = {20};
  got = all<Fetch>(tell(HaveChanged{ranked_[1], update}));
  ASSERT_EQ(got.size(), 1U);
  now_ += 900ms;
  EXPECT_TRUE(all<CancelFetch>(tell(progress_of(got, 0, 900ms))).empty());
  tell(progress_of(got, 1'000, 0ms));
  now_ += 900ms;
  EXPECT_TRUE(all<CancelFetch>(tell(progress_of(got, 1'000, 900ms))).empty());
  EXPECT_EQ(all<CancelFetch>(tell(progress_of(got, 1'000, 1'000ms))).size(), 1U);
}

// When it is tried again it may be silent for half as long: a dead peer costs a second once.
TEST_F(SwarmTest, APeerThatWasLeftIsLeftSooner) {
  begin({0, 8});
  const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})}));
  now_ += 1'000ms;
  tell(progress_of(got, 0, 1'000ms));
  for (const auto& fetch : got) tell(FetchEnded{fetch.id, fail(Errc::kCancelled, "left")});
  std::vector<Fetch> again;
  for (int i = 0; i < 20 && again.empty(); ++i) {
    now_ += 100ms;
    again = all<Fetch>(tell(TimerFired{}));
  }
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].source, ranked_[1]);
  EXPECT_TRUE(all<CancelFetch>(tell(TimerFired{{{again[0].id, 0, 490ms}}})).empty());
  // Not while it answers, if slowly.
  EXPECT_TRUE(all<CancelFetch>(tell(TimerFired{{{again[0].id, 1, 900ms}}})).empty());
  EXPECT_EQ(all<CancelFetch>(tell(TimerFired{{{again[0].id, 0, 500ms}}})).size(), 1U);
}

// Where stripes come at 64 KiB a second, a stream that waits for another one's turn is not dead.
TEST_F(SwarmTest, OnASlowLinkStreamsTakeTurns) {
  begin({0, 2});
  const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})}));
  ASSERT_EQ(got.size(), 2U);
  now_ += 16'000ms;
  tell(StripeArrived{got[0].id, got[0].stripes.begin});
  tell(FetchEnded{got[0].id, {}});
  EXPECT_TRUE(all<CancelFetch>(tell(TimerFired{{{got[1].id, 1'000, 1'900ms}}})).empty());
  EXPECT_EQ(all<CancelFetch>(tell(TimerFired{{{got[1].id, 1'000, 2'100ms}}})).size(), 1U);
}

// There, fewer are asked for at a time.
TEST_F(SwarmTest, OnASlowLinkFewerAreAskedFor) {
  begin({0, 40});
  auto open = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1]), holder(ranked_[2])})}));
  ASSERT_EQ(open.size(), 10U);
  const auto arrive = [&] {
    now_ += 16'000ms;
    const auto first = open.front();
    open.erase(open.begin());
    auto more = all<Fetch>(tell(StripeArrived{first.id, first.stripes.begin}));
    std::ranges::copy(all<Fetch>(tell(FetchEnded{first.id, {}})), std::back_inserter(more));
    open.insert(open.end(), more.begin(), more.end());
    return more.size();
  };
  for (std::size_t left = 9; left >= 4; --left) {
    EXPECT_EQ(arrive(), 0U);
    EXPECT_EQ(open.size(), left);
  }
  EXPECT_EQ(arrive(), 1U);
  // All are as slow as before: it is not this link that they share, and ten are asked for again.
  for (int i = 0; i < 9; ++i) {
    EXPECT_LE(open.size(), 4U);
    arrive();
  }
  arrive();
  EXPECT_EQ(open.size(), 10U);
}

// A late stripe's tail is asked for at a second holder, within the budget, and never at upstream.
TEST_F(SwarmTest, ALateStripeIsHedgedAtAnotherPeer) {
  begin({0, 1});
  const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1]), holder(ranked_[2])})}));
  ASSERT_EQ(got.size(), 1U);
  now_ += 400ms;
  const auto hedges = all<Fetch>(tell(TimerFired{{{got[0].id, 1'000, 400ms}}}));
  ASSERT_EQ(hedges.size(), 1U);
  EXPECT_EQ(hedges[0].hedge_of, got[0].id);
  EXPECT_NE(hedges[0].source, kUpstream);
  EXPECT_NE(hedges[0].source, got[0].source);
  // One hedge a stripe.
  now_ += 100ms;
  EXPECT_TRUE(all<Fetch>(tell(TimerFired{{{got[0].id, 1'000, 500ms}, {hedges[0].id, 1'000, 10ms}}})).empty());
}

// What comes through a peer from upstream is as slow as upstream, and waited for, until somebody has it whole.
TEST_F(SwarmTest, WhatComesThroughIsHedgedWhenSomebodyHasItWhole) {
  begin({0, 2});
  const auto through = ranked_[1];
  const auto whole = ranked_[2];
  tell(Replied{ranked_[0], reply({}, {wanter(through, 1), wanter(whole, 1)})});
  HaveUpdate update;
  update.map = HaveMap(256);
  update.map->set(1);
  update.arriving = {0};
  const auto got = all<Fetch>(tell(HaveChanged{through, update}));
  ASSERT_EQ(got.size(), 2U);
  const auto slow = std::ranges::find(got, 0U, [](const Fetch& fetch) { return fetch.stripes.begin; });
  const auto quick = std::ranges::find(got, 1U, [](const Fetch& fetch) { return fetch.stripes.begin; });
  now_ += 50ms;
  tell(StripeArrived{quick->id, 1});
  tell(FetchEnded{quick->id, {}});
  now_ += 950ms;
  const auto crawl = TimerFired{{{slow->id, 1'000, 0ms}}};
  EXPECT_TRUE(all<Fetch>(tell(crawl)).empty());
  HaveUpdate news;
  news.map = HaveMap(256);
  news.map->set(0);
  tell(HaveChanged{whole, news});
  now_ += 100ms;
  const auto hedges = all<Fetch>(tell(crawl));
  ASSERT_EQ(hedges.size(), 1U);
  EXPECT_EQ(hedges[0].source, whole);
  EXPECT_EQ(hedges[0].hedge_of, slow->id);
}

// A peer that is always hedged never brings a stripe that its speed could be learned from; that it crawls is known from
// the late one, so that the next ones are asked of others.
TEST_F(SwarmTest, AHedgedPeerIsKnownToBeSlow) {
  begin({0, 40});
  auto open = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1]), holder(ranked_[2])})}));
  ASSERT_EQ(open.size(), 10U);
  const auto slow = ranked_[1];
  const auto split = std::ranges::partition(open, [&](const Fetch& fetch) { return fetch.source == slow; });
  const std::vector<Fetch> late(open.begin(), split.begin());
  ASSERT_FALSE(late.empty());
  // The other one brings a MiB in 50 ms each; of the slow one a tenth of a stripe comes in a second.
  now_ += 50ms;
  for (auto fetch = split.begin(); fetch != open.end(); ++fetch) {
    tell(StripeArrived{fetch->id, fetch->stripes.begin});
    tell(FetchEnded{fetch->id, {}});
  }
  now_ += 900ms;
  TimerFired fired;
  for (const auto& fetch : late) fired.progress.push_back({fetch.id, 100'000, 0ms});
  tell(fired);
  std::size_t from_slow = 0;
  for (const auto& fetch : late) {
    for (const auto& next : all<Fetch>(tell(FetchEnded{fetch.id, fail(Errc::kCancelled, "the other was first")})))
      from_slow += next.source == slow ? 1 : 0;
  }
  EXPECT_EQ(from_slow, 1U);
}

// When the first of a pair fails, the other one carries the stripe: it is not assigned a third time.
TEST_F(SwarmTest, AHedgeOutlivesItsFirst) {
  begin({0, 1});
  const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1]), holder(ranked_[2])})}));
  now_ += 400ms;
  const auto hedges = all<Fetch>(tell(TimerFired{{{got[0].id, 1'000, 400ms}}}));
  ASSERT_EQ(hedges.size(), 1U);
  EXPECT_TRUE(all<Fetch>(tell(FetchEnded{got[0].id, fail(Errc::kUnavailable, "gone")})).empty());
  tell(StripeArrived{hedges[0].id, 0});
  EXPECT_TRUE(all<Fetch>(tell(FetchEnded{hedges[0].id, {}})).empty());
}

// A registry without ranges: who has the first span streams all of it. Whoever learns it by another span gives that
// back, takes no lease that was granted meanwhile, and asks for one again only when nothing has come from anywhere for
// long.
TEST_F(SwarmTest, LeavesTheStreamToOne) {
  begin({0, 40});
  const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({0, 1})}));
  ASSERT_EQ(got.size(), 2U);
  now_ += 100ms;
  auto actions = tell(FetchEnded{got[1].id, fail(Errc::kOutOfRange, "only from its begin")});
  EXPECT_TRUE(all<Fetch>(actions).empty());
  auto sent = all<Send>(actions);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].announce.released, std::vector<std::uint32_t>{1});
  EXPECT_EQ(sent[0].announce.ask, std::vector<std::uint32_t>());
  now_ += 100ms;
  actions = tell(Replied{ranked_[0], reply({2})});
  EXPECT_TRUE(all<Fetch>(actions).empty());
  sent = all<Send>(actions);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].announce.released, std::vector<std::uint32_t>{2});
  auto soon = reply({});
  soon.again = 200ms;
  tell(Replied{ranked_[0], soon});

  tell(StripeArrived{got[0].id, 0});
  tell(FetchEnded{got[0].id, fail(Errc::kTimeout, "no byte")});
  tell(Replied{ranked_[0], soon});
  std::vector<std::uint32_t> asked;
  for (int i = 0; i < 12 && asked.empty(); ++i) {
    now_ += 300ms;
    for (const auto& send : all<Send>(tell(TimerFired{}))) {
      asked = send.announce.ask;
      if (asked.empty()) tell(Replied{ranked_[0], soon});
    }
    if (i < 5) EXPECT_TRUE(asked.empty()) << i;
  }
  EXPECT_EQ(asked, std::vector<std::uint32_t>{0});
  EXPECT_EQ(all<Fetch>(tell(Replied{ranked_[0], reply({0})})).size(), 1U);
}

// A busy peer is not asked again at once, and the alternatives that it names are followed.
TEST_F(SwarmTest, ABusyPeerNamesAlternatives) {
  begin({0, 1});
  const auto got = all<Fetch>(tell(Replied{ranked_[0], reply({}, {holder(ranked_[1])})}));
  ASSERT_EQ(got.size(), 1U);
  const auto actions = tell(FetchEnded{got[0].id, fail(Errc::kBusy, "no slot"), {ranked_[2]}});
  EXPECT_TRUE(all<Fetch>(actions).empty());
  ASSERT_EQ(all<WatchHave>(actions).size(), 1U);
  now_ += 150ms;
  EXPECT_EQ(all<Fetch>(tell(TimerFired{})).size(), 1U);
}

// Of a small blob a refusal with free slots is about that stripe's turn, which is over when the copy before it is sent:
// as long as a stripe takes, within bounds. With no free slots, and of a blob whose copies wait for one another at the
// sender, the peer has its hands full.
TEST_F(SwarmTest, WhoHasNoTurnAsksAgainSoon) {
  constexpr Load kFree{.used = 1, .slots = 8, .waiting = 0};
  constexpr Load kFull{.used = 8, .slots = 8, .waiting = 0};
  std::chrono::milliseconds longest{0};
  const auto within = [](std::chrono::milliseconds time, std::chrono::milliseconds pause) {
    return time >= pause && time < 2 * pause;
  };
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_TRUE(within(is_left_alone_for(16 * kMiB, kFree, seed), 10ms));
    EXPECT_TRUE(within(is_left_alone_for(16 * kMiB, kFree, seed, 2ms), 5ms));
    EXPECT_TRUE(within(is_left_alone_for(16 * kMiB, kFree, seed, 20ms), 20ms));
    EXPECT_TRUE(within(is_left_alone_for(16 * kMiB, kFree, seed, 100ms), 30ms));
    EXPECT_GE(is_left_alone_for(16 * kMiB, kFull, seed), 50ms);
    longest = std::max(longest, is_left_alone_for(256 * kMiB, kFree, seed));
  }
  EXPECT_GE(longest, 60ms);
}

// When nobody reads any more everything under way ends, leases go back, and the coordinator is told.
TEST_F(SwarmTest, StopsWithTheLastReader) {
  begin({0, 40});
  ASSERT_EQ(all<Fetch>(tell(Replied{ranked_[0], reply({0, 1})})).size(), 2U);
  const auto actions = tell(WindowChanged{{}, false, true});
  EXPECT_EQ(all<CancelFetch>(actions).size(), 2U);
  const auto sent = all<Send>(actions);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].announce.interest, Interest::kLeft);
  EXPECT_EQ(sent[0].announce.released, (std::vector<std::uint32_t>{0, 1}));
}

// Nobody answers and nobody holds anything: after a while it fetches for itself rather than fail.
TEST_F(SwarmTest, GoesUpstreamBeforeItFails) {
  begin({0, 40});
  std::vector<Fetch> got;
  for (int i = 0; i < 60 && got.empty(); ++i) {
    now_ += 100ms;
    got = all<Fetch>(tell(TimerFired{}));
  }
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].source, kUpstream);
  EXPECT_EQ(got[0].stripes.begin, 0U);
}

}  // namespace
}  // namespace oxbow::p2p
