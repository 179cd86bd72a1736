// Fetching with peers: who is believed, who is asked again, who is named, and that nothing of it hangs.
#include <boost/asio/use_future.hpp>

#include "mirror/have_board.h"
#include "peer_site.h"

namespace oxbow::mirror {
namespace {

using Ids = std::vector<p2p::PeerId>;
using Names = std::vector<std::string>;

class PeerFetchTest : public PeerSite {
 protected:
  /// Stripes of A that this node passes on, beside A's list of midstates.
  std::shared_ptr<BlobFetch> fetch_for_others(const std::vector<std::uint32_t>& stripes) {
    peers_.reply.midstates = p2p::MidstateList{"a", midstates_of(peers_.peer(kA).content)};
    auto fetch = blobs_->relay(digest_, content_.size(), loops_.at(0)).value();
    EXPECT_TRUE(eventually([&] { return peers_.announced() > 0; }));
    settle();
    for (const auto stripe : stripes) {
      auto forward = fetch->forward({stripe, kA, std::nullopt, false, std::chrono::seconds(10)});
      EXPECT_TRUE(asio::co_spawn(loops_.at(0), std::move(forward), asio::use_future).get().outcome.has_value());
      EXPECT_TRUE(eventually([&] { return store_->lookup(digest_)->has(stripe) && !fetch->is_coming(stripe); }));
    }
    settle();
    return fetch;
  }
  /// The coordinator gives a list of midstates before anything is fetched, which its publisher gives too.
  void list_first(const std::string& publisher, std::vector<std::string> states) {
    peers_.reply.midstates = p2p::MidstateList{publisher, std::move(states)};
    peers_.peer(peers_.snapshot()->find(publisher)->id).midstates = peers_.reply.midstates;
    peers_.script.reply_first = true;
  }
};

/// Here the blob is small enough to be believed only when it has hashed.
class SmallBlobTest : public PeerSite {
 protected:
  SmallBlobTest() : PeerSite(8ULL * 1024 * 1024) {
    peers_.set_vetted(false);
    peers_.real_strategy = p2p::StrategyKind::kSwarm;
    peers_.reply.neighbours = {{"a", true, 8}};
  }
};

// A peer that nothing vouches for has all of a small blob: its hash vouches for it, and nothing comes from upstream.
TEST_F(SmallBlobTest, ItsHashVouchesForIt) {
  expect_right(read(whole()));
  EXPECT_TRUE(verified());
  EXPECT_EQ(source_->requests(), 0);
}

// The peer lies: nobody gets a byte of it, and the pull goes on without it.
TEST_F(SmallBlobTest, TheLiarGivesNothing) {
  wrong_at(kA, 3);
  peers_.peer(kA).midstates = p2p::MidstateList{"a", midstates_of(peers_.peer(kA).content)};
  expect_right(read(whole()));
  EXPECT_TRUE(verified());
  EXPECT_EQ(peers_.bad_senders(), Ids{kA});
}

// Who wants only a part does not wait for a whole that nobody fetches: one stripe is compared with upstream.
TEST_F(SmallBlobTest, APartIsComparedWithUpstream) {
  const auto got = read(range(2 * kStripe, 3 * kStripe));
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(2 * kStripe, kStripe));
  EXPECT_EQ(source_->requests(), 1);
}

/// Of this blob the disk keeps a part at a time.
class LargeBlobTest : public PeerSite {
 protected:
  static constexpr std::uint64_t kBudget = 64ULL * 1024 * 1024;
  LargeBlobTest() : PeerSite(1024ULL * 1024, kBudget, pattern(112ULL * 1024 * 1024)) {
    peers_.real_strategy = p2p::StrategyKind::kSwarm;
    for (const auto id : {kA, kB, kC}) peers_.peer(id).content.clear();  // nobody asks them
  }
};

// The coordinator is told what is here, not what has been and has gone: that it would lease to nobody.
TEST_F(LargeBlobTest, WhatHasGoneIsNotAnnounced) {
  expect_right(read(whole()));
  settle();
  EXPECT_GT(peers_.announced(), 1);
  EXPECT_GT(peers_.most_announced(), 0U);
  EXPECT_LE(peers_.most_announced() * kStripe, kBudget);
}

// Stripes from peers make the blob, verified, without a byte from upstream; the node says that it holds it.
TEST_F(PeerFetchTest, StripesFromPeers) {
  peers_.script.otherwise = {kA};
  for (const std::uint32_t stripe : {1U, 3U, 5U}) peers_.script.sources[stripe] = {kB};
  expect_right(read(whole()));
  EXPECT_TRUE(verified());
  EXPECT_EQ(source_->requests(), 0);
  EXPECT_EQ(peers_.bytes_given(), content_.size());
  EXPECT_EQ(peers_.bad_senders(), Ids());
  EXPECT_GE(peers_.held(), 1U);
}

// The swarm itself, with two complete neighbours: nothing comes from upstream.
TEST_F(PeerFetchTest, TheSwarmPrefersPeers) {
  peers_.real_strategy = p2p::StrategyKind::kSwarm;
  peers_.reply.neighbours = {{"a", true, 8}, {"b", true, 8}};
  peers_.peer(kB).midstates = p2p::MidstateList{"b", midstates_of(content_)};
  expect_right(read(whole()));
  EXPECT_EQ(source_->requests(), 0);
}

// Upstream is down and one peer, whom nothing vouches for, has everything: comparing one stripe with upstream fails,
// and then the peer is believed and may give that stripe again; the digest has the last word.
TEST_F(PeerFetchTest, OnePeerAloneWhileUpstreamIsDown) {
  peers_.set_vetted(false);
  peers_.real_strategy = p2p::StrategyKind::kSwarm;
  peers_.reply.neighbours = {{"a", true, 8}};
  peers_.peer(kA).midstates = p2p::MidstateList{"a", midstates_of(content_)};
  source_->fail_always(Errc::kUnavailable);
  expect_right(read(whole()));
  EXPECT_TRUE(verified());
  EXPECT_EQ(peers_.bad_senders(), Ids());
}

// The same with an upstream that takes the question and never answers it: the peer is believed before the reader is
// cut.
TEST_F(PeerFetchTest, OnePeerAloneWhileUpstreamHangs) {
  peers_.set_vetted(false);
  peers_.real_strategy = p2p::StrategyKind::kSwarm;
  peers_.reply.neighbours = {{"a", true, 8}};
  source_->hold_after(0);
  expect_right(read(whole()));
  EXPECT_TRUE(verified());
}

// The same with upstream at hand, and the peer lies with list and bytes together: the comparison finds it, and the pull
// goes on without that peer.
TEST_F(PeerFetchTest, ThePeerThatHasEverythingLies) {
  peers_.set_vetted(false);
  peers_.real_strategy = p2p::StrategyKind::kSwarm;
  for (std::uint32_t stripe = 0; stripe < 8; ++stripe) wrong_at(kA, stripe);
  peers_.reply.neighbours = {{"a", true, 8}};
  peers_.peer(kA).midstates = p2p::MidstateList{"a", midstates_of(peers_.peer(kA).content)};
  expect_right(read(whole()));
  EXPECT_TRUE(verified());
  EXPECT_EQ(peers_.bad_senders(), Ids{kA});
}

// A coordinator names its neighbours now and then only: who was named once has to be vouched for all the same.
TEST_F(PeerFetchTest, TheLiarIsNamedOnce) {
  peers_.set_vetted(false);
  peers_.real_strategy = p2p::StrategyKind::kSwarm;
  for (std::uint32_t stripe = 0; stripe < 8; ++stripe) {
    wrong_at(kA, stripe);
    peers_.peer(kA).stalls_after[stripe] = 1000;
  }
  peers_.reply.neighbours = {{"a", true, 8}};
  peers_.named_once = true;
  peers_.peer(kA).midstates = p2p::MidstateList{"a", midstates_of(peers_.peer(kA).content)};
  source_->hold();
  auto reading = read_async(whole());
  EXPECT_TRUE(eventually([&] { return peers_.announced() > 1; }));
  peers_.release(kA);
  source_->release();
  expect_right(finish(std::move(reading)));
  EXPECT_TRUE(verified());
}

// The last reader leaves while a peer's stripe is being compared with upstream: nobody knows then what was not
// compared, so it is not kept.
TEST_F(PeerFetchTest, UncomparedStripesGoWithTheLastReader) {
  nothing_vouches_for_a();
  wrong_at(kA, 1);
  source_->hold();
  std::unique_ptr<BlobBody> reader;
  on_loop([&] { reader = std::make_unique<BlobBody>(*blobs_, loops_.at(0), range(0, 4 * kStripe)); });
  EXPECT_TRUE(eventually([&] { return source_->requests() > 0 && store_->lookup(digest_)->stripes_present() == 3; }));
  on_loop([&] { reader.reset(); });
  EXPECT_TRUE(eventually([&] { return blobs_->running(digest_) == nullptr; }));
  EXPECT_EQ(store_->lookup(digest_)->stripes_present(), 0U);
}

// The same while they are still on their way into the file.
TEST_F(PeerFetchTest, UncomparedStripesThatLandLateGoToo) {
  nothing_vouches_for_a();
  wrong_at(kA, 1);
  faults_->hold();
  std::unique_ptr<BlobBody> reader;
  on_loop([&] { reader = std::make_unique<BlobBody>(*blobs_, loops_.at(0), range(kStripe, 2 * kStripe)); });
  EXPECT_TRUE(eventually([&] { return peers_.bytes_given() == kStripe; }));
  on_loop([&] { reader.reset(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20) + blobs_->limits().lingers);
  faults_->let_go();
  EXPECT_TRUE(eventually([&] { return blobs_->running(digest_) == nullptr; }));
  const auto blob = store_->lookup(digest_);
  EXPECT_TRUE(eventually([&] {
    const auto writer = blob->begin_stripe(1);
    return writer || writer.error().code() != Errc::kBusy;
  }));
  EXPECT_FALSE(blob->has(1));
}

// It leaves the cluster before the comparison: that vouches for nothing.
TEST_F(PeerFetchTest, WhoLeavesIsNotBelieved) {
  nothing_vouches_for_a();
  peers_.script.otherwise = {kA, p2p::kUpstream};
  for (std::uint32_t stripe = 1; stripe < 4; ++stripe) wrong_at(kA, stripe);
  source_->hold();
  auto reading = read_async(range(kStripe, 4 * kStripe));
  EXPECT_TRUE(eventually([&] { return source_->requests() > 0 && store_->lookup(digest_)->stripes_present() == 2; }));
  const auto left = blobs_->running(digest_);
  on_loop([&] { peers_.leave(kA); });
  auto late = read_async(range(2 * kStripe, 3 * kStripe));  // it looks again at what is there
  settle();
  EXPECT_EQ(left->marks().at(2), StripeMark::kUnchecked);
  source_->release();
  EXPECT_TRUE(finish(std::move(reading)).bytes == content_.substr(kStripe, 3 * kStripe));
  EXPECT_TRUE(finish(std::move(late)).bytes == content_.substr(2 * kStripe, kStripe));
}

// The disk fails while its stripes are on their way into the file: they are not kept uncompared.
TEST_F(PeerFetchTest, UncomparedStripesGoWithAFailedDisk) {
  nothing_vouches_for_a();
  wrong_at(kA, 1);
  faults_->hold();
  auto reading = read_async(range(kStripe, 4 * kStripe));
  EXPECT_TRUE(eventually([&] { return peers_.bytes_given() == 3 * kStripe; }));
  faults_->fail_next_write(EIO);
  faults_->let_go();
  EXPECT_TRUE(finish(std::move(reading)).bytes == content_.substr(kStripe, 3 * kStripe));
  EXPECT_TRUE(eventually([&] { return blobs_->running(digest_) == nullptr; }));
  EXPECT_EQ(store_->lookup(digest_)->stripes_present(), 0U);
}

// Behind the hashed prefix, where a stripe is checked between this node's own midstates, it is compared all the same,
// and whoever waits for it gets it.
TEST_F(PeerFetchTest, AStripeBehindThePrefixIsComparedToo) {
  nothing_vouches_for_a();
  peers_.script.otherwise = {p2p::kUpstream};
  expect_right(read(whole()));
  EXPECT_TRUE(eventually([&] { return blobs_->running(digest_) == nullptr; }));
  settle();
  store_->lookup(digest_)->drop_stripe(1);
  peers_.script.otherwise = {kA};
  const auto got = read(range(kStripe, 2 * kStripe));
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(kStripe, kStripe));
}

// What it has begun nobody goes on with: nobody could say later who has to be vouched for.
TEST_F(PeerFetchTest, ThePartOfAnUnvouchedPeerIsNotKept) {
  nothing_vouches_for_a();
  wrong_at(kA, 1);
  peers_.script.sources[1] = {kA, p2p::kUpstream};
  peers_.peer(kA).dies_after = 131'072;
  const auto got = read(range(kStripe, 2 * kStripe));
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(kStripe, kStripe));
  EXPECT_EQ(source_->bytes_given(), kStripe);
}

// Nor does it go on with what another has begun, with a checksum that fits the whole.
TEST_F(PeerFetchTest, AnUnvouchedPeerFinishesNothing) {
  nothing_vouches_for_a();
  peers_.script.sources[1] = {kB, kA};
  peers_.peer(kA).content[kStripe + 200'000] ^= 1;
  peers_.peer(kB).dies_after = 131'072;
  const auto got = read(range(kStripe, 2 * kStripe));
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(kStripe, kStripe));
  EXPECT_EQ(source_->bytes_given(), kStripe - 131'072);
}

// Unless upstream, which is to finish it, does not answer.
TEST_F(PeerFetchTest, AnUnvouchedPeerFinishesWhatUpstreamCannot) {
  nothing_vouches_for_a();
  peers_.script.sources[1] = {kB, kA};
  peers_.peer(kB).dies_after = 131'072;
  source_->hold();
  const auto got = read(range(kStripe, 2 * kStripe));
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(kStripe, kStripe));
  EXPECT_EQ(source_->bytes_given(), 0U);
}

// What came from it for another node, and fits its own list, is compared as soon as somebody reads it here.
TEST_F(PeerFetchTest, WhatAnUnvouchedPeerGaveForOthersIsComparedToo) {
  nothing_vouches_for_a();
  const auto fetch = fetch_for_others({0, 2});
  auto part = read_async(range(2 * kStripe, 3 * kStripe));
  expect_right(read(whole()));
  EXPECT_TRUE(finish(std::move(part)).bytes == content_.substr(2 * kStripe, kStripe));
  EXPECT_GT(source_->bytes_given(), 0U);
}

// And found out, in all that is here of it.
TEST_F(PeerFetchTest, WhatALiarGaveForOthersGoes) {
  nothing_vouches_for_a();
  for (const std::uint32_t stripe : {0U, 2U, 3U}) wrong_at(kA, stripe);
  peers_.script.otherwise = {kA, p2p::kUpstream};
  const auto fetch = fetch_for_others({0, 2, 3});
  auto part = read_async(range(2 * kStripe, 3 * kStripe));
  expect_right(read(whole()));
  EXPECT_TRUE(finish(std::move(part)).bytes == content_.substr(2 * kStripe, kStripe));
  EXPECT_EQ(peers_.bad_senders(), Ids{kA});
}

// One of its stripes comes from upstream before it is known what to compare: upstream's own bytes vouch for nobody.
TEST_F(PeerFetchTest, WhatCameAgainFromUpstreamVouchesForNobody) {
  nothing_vouches_for_a();
  for (const std::uint32_t stripe : {1U, 2U}) wrong_at(kA, stripe);
  for (const std::uint32_t stripe : {1U, 2U}) peers_.script.sources[stripe] = {kA, p2p::kUpstream};
  peers_.script.watched = {kC};
  peers_.hold_facts(true);
  peers_.peer(kA).stalls_after[2] = 1000;
  auto reading = read_async(range(kStripe, 3 * kStripe));
  EXPECT_TRUE(eventually([&] { return store_->lookup(digest_)->stripes_present() == 1; }));
  settle();
  peers_.release(kA);
  EXPECT_TRUE(eventually([&] { return store_->lookup(digest_)->stripes_present() == 2; }));
  settle();
  p2p::HaveUpdate word;
  word.sums = {{1, stripe_sum(content_, 1).hex()}};
  peers_.say(kC, word);
  EXPECT_TRUE(eventually([&] { return store_->lookup(digest_)->stripe_checksum(1) == stripe_sum(content_, 1); }));
  settle();
  peers_.hold_facts(false);
  EXPECT_TRUE(finish(std::move(reading)).bytes == content_.substr(kStripe, 2 * kStripe));
}

// Upstream finishes what a liar has begun: the first-hand word speaks against that stripe too.
TEST_F(PeerFetchTest, FirstHandWordAgainstAStripeOfTwo) {
  lie_against_a_first_hand_word();
  peers_.script.sources[2] = {kA, p2p::kUpstream};
  peers_.peer(kA).dies_after = 100'000;
  expect_right(read(whole()));
  EXPECT_TRUE(verified());
}

// Bytes that do not fit what their first owner says never reach the reader, and the liar is named, once the blob has
// verified.
TEST_F(PeerFetchTest, FirstHandWordAgainstALiar) {
  lie_against_a_first_hand_word();
  expect_right(read(whole()));
  EXPECT_TRUE(verified());
  EXPECT_EQ(peers_.bad_senders(), Ids{kA});
  EXPECT_EQ(peers_.bad_publishers(), Names());
}

// The word comes after the bytes, which the reader has got: they are fetched again at once, and it is cut in the end.
TEST_F(PeerFetchTest, FirstHandWordComesLate) {
  wrong_at(kA, 1);
  peers_.script.otherwise = {kA};
  peers_.script.watched = {kC};
  peers_.script.news_first = 1;
  peers_.peer(kA).stalls_after[6] = 65'536;
  auto reading = read_async(whole());
  EXPECT_TRUE(eventually([&] {
    const auto fetch = blobs_->running(digest_);
    return fetch && fetch->blob().has(1) && fetch->marks().at(1) == StripeMark::kChecked;
  }));
  p2p::HaveUpdate late;
  late.sums = {{1, stripe_sum(content_, 1).hex()}};
  peers_.say(kC, late);
  EXPECT_TRUE(eventually([&] { return source_->bytes_given() == kStripe; }));
  peers_.release(kA);
  EXPECT_TRUE(finish(std::move(reading)).cut);
  EXPECT_TRUE(eventually([&] { return verified(); }));
  EXPECT_TRUE(eventually([&] { return peers_.bad_senders() == Ids{kA}; }));  // reckoned after the digest is known
  EXPECT_EQ(source_->bytes_given(), kStripe);
}

// A false first-hand word: the honest sender is asked no more for that stripe and is not named; who gave the word is.
TEST_F(PeerFetchTest, FalseFirstHandWord) {
  peers_.script.otherwise = {kA, kB};
  peers_.script.watched = {kC};
  peers_.script.news_first = 1;
  peers_.peer(kC).sums = {{2, stripe_sum(content_, 3).hex()}};
  expect_right(read(whole()));
  EXPECT_EQ(peers_.bad_senders(), Ids{kC});
}

// A false midstate list: upstream's own bytes contradict it, the pull goes on without it, and its publisher is named.
TEST_F(PeerFetchTest, FalseListIsContradictedByUpstream) {
  auto states = midstates_of(content_);
  states[2][0] ^= 1;
  list_first("c", states);
  peers_.script.otherwise = {kA};
  expect_right(read(whole()));
  EXPECT_TRUE(verified());
  EXPECT_EQ(peers_.bad_senders(), Ids());
  EXPECT_TRUE(eventually([&] { return peers_.bad_publishers() == Names{"c"}; }));
  EXPECT_EQ(source_->bytes_given(), kStripe);
}

// The coordinator made the list itself, and wrote another's name on it: that one has another list, or none.
TEST_F(PeerFetchTest, AFramedPublisherIsNotNamed) {
  auto states = midstates_of(content_);
  states[2][0] ^= 1;
  for (const bool has_one : {true, false}) {
    list_first("c", states);
    peers_.peer(kC).midstates.reset();
    if (has_one) peers_.peer(kC).midstates = p2p::MidstateList{"c", midstates_of(content_)};
    peers_.script.otherwise = {kA};
    expect_right(read(whole()));
    EXPECT_TRUE(eventually([&] { return peers_.facts_asked() > 0 && blobs_->running(digest_) == nullptr; }));
    EXPECT_EQ(peers_.bad_publishers(), Names());
    store_->purge(digest_);
  }
}

// A peer says that another published what it gives: the list is its own.
TEST_F(PeerFetchTest, AForeignNameOnOnesOwnList) {
  auto states = midstates_of(content_);
  states[2][0] ^= 1;
  peers_.peer(kB).midstates = p2p::MidstateList{"c", states};
  peers_.reply.neighbours = {{"b", true, 8}};
  peers_.script.otherwise = {kA};
  expect_right(read(whole()));
  EXPECT_TRUE(eventually([&] { return peers_.bad_publishers() == Names{"b"}; }));
}

// C leased a stripe and lies about it; A has it from C, and all that A knew agreed. C is named, A is not.
TEST_F(PeerFetchTest, WhoPassedOnALieIsNotNamed) {
  wrong_at(kA, 3);
  peers_.peer(kA).verified = false;
  peers_.script.otherwise = {kB};
  peers_.script.sources[3] = {kA};
  peers_.script.watched = {kC};
  peers_.script.news_first = 1;
  peers_.peer(kC).sums = {{3, stripe_sum(peers_.peer(kA).content, 3).hex()}};
  ASSERT_TRUE(read(whole()).cut);
  EXPECT_TRUE(eventually([&] { return verified(); }));
  EXPECT_TRUE(eventually([&] { return peers_.bad_senders() == Ids{kC}; }));
  expect_right(read(whole()));
}

// Nobody said where the bytes come from, and who gave them has not verified them: they are fetched again, and nobody
// is named.
TEST_F(PeerFetchTest, NobodyIsNamedForBytesThatWerePassedOn) {
  wrong_at(kA, 3);
  peers_.peer(kA).verified = false;
  peers_.script.otherwise = {kB};
  peers_.script.sources[3] = {kA};
  ASSERT_TRUE(read(whole()).cut);
  EXPECT_TRUE(eventually([&] { return verified(); }));
  expect_right(read(whole()));
  EXPECT_EQ(peers_.bad_senders(), Ids());
}

// The same where upstream gives this node nothing: two peers who agree outweigh the list.
TEST_F(PeerFetchTest, FalseListIsContradictedByTwoPeers) {
  auto states = midstates_of(content_);
  states[2][0] ^= 1;
  list_first("c", states);
  peers_.script.otherwise = {kA, kB};
  source_->fail_always(Errc::kNotFound);
  expect_right(read(whole()));
  EXPECT_EQ(peers_.bad_senders(), Ids());
  EXPECT_TRUE(eventually([&] { return peers_.bad_publishers() == Names{"c"}; }));
}

// A true list: a wrong stripe is found when the prefix reaches it, before the reader gets any of it.
TEST_F(PeerFetchTest, TrueListFindsTheWrongStripe) {
  wrong_at(kA, 2);
  list_first("c", midstates_of(content_));
  peers_.script.otherwise = {kB};
  peers_.script.sources[2] = {kA};
  expect_right(read(whole()));
  EXPECT_TRUE(verified());
  EXPECT_EQ(peers_.bad_senders(), Ids{kA});
  EXPECT_EQ(peers_.bad_publishers(), Names());
  EXPECT_EQ(source_->bytes_given(), kStripe);
}

// The last stripe has no midstate of its own; wrong, it is found by the digest and fetched again, and the reader, who
// was held before it, gets the right one.
TEST_F(PeerFetchTest, WrongLastStripe) {
  wrong_at(kA, 7);
  list_first("c", midstates_of(content_));
  peers_.script.otherwise = {kB};
  peers_.script.sources[7] = {kA};
  expect_right(read(whole()));
  EXPECT_EQ(peers_.bad_senders(), Ids{kA});
}

// Nothing is known while the wrong stripe passes. At the end a peer's list says where it is, one stripe comes again
// from upstream, and the reader that had got it does not get a complete response.
TEST_F(PeerFetchTest, FoundAtTheEndAndRepaired) {
  wrong_at(kA, 3);
  peers_.script.otherwise = {kB};
  peers_.script.sources[3] = {kA};
  peers_.reply.neighbours = {{"b", true, 8}};
  peers_.peer(kB).midstates = p2p::MidstateList{"b", midstates_of(content_)};
  peers_.peer(kB).midstates_not_before = 1;
  const auto got = read(whole());
  ASSERT_TRUE(got.cut);
  EXPECT_LT(got.bytes.size(), content_.size());
  EXPECT_TRUE(eventually([&] { return verified(); }));
  EXPECT_TRUE(eventually([&] { return peers_.bad_senders() == Ids{kA}; }));  // reckoned after the digest is known
  EXPECT_EQ(source_->bytes_given(), kStripe);
  expect_right(read(whole()));
}

// Nobody can say where it is: everything of peers comes again from upstream, within its slots; only the liar is named.
TEST_F(PeerFetchTest, RepairedWithoutAnyHint) {
  wrong_at(kA, 3);
  peers_.script.otherwise = {kB};
  peers_.script.sources[3] = {kA};
  const auto got = read(whole());
  ASSERT_TRUE(got.cut);
  EXPECT_LT(got.bytes.size(), content_.size());
  EXPECT_TRUE(eventually([&] { return verified(); }));
  EXPECT_TRUE(eventually([&] { return peers_.bad_senders() == Ids{kA}; }));  // reckoned after the digest is known
  EXPECT_EQ(source_->bytes_given(), content_.size());
}

// A liar whose list fits its own wrong bytes is found by the digest alone; both its bytes and its list are held
// against it.
TEST_F(PeerFetchTest, ListAndBytesLieTogether) {
  wrong_at(kA, 3);
  list_first("a", midstates_of(peers_.peer(kA).content));
  peers_.script.otherwise = {kA};
  const auto got = read(whole());
  ASSERT_TRUE(got.cut);
  EXPECT_LT(got.bytes.size(), content_.size());
  EXPECT_TRUE(eventually([&] { return verified(); }));
  EXPECT_TRUE(eventually([&] { return peers_.bad_senders() == Ids{kA}; }));  // reckoned after the digest is known
  EXPECT_TRUE(eventually([&] { return peers_.bad_publishers() == Names{"a"}; }));
}

// A late stripe's tail comes from elsewhere: the bytes are right and the late request has ended.
TEST_F(PeerFetchTest, HedgeWins) {
  peers_.script.otherwise = {kA};
  peers_.script.hedges[1] = kB;
  peers_.peer(kA).stalls_after[1] = 100'000;
  expect_right(read(whole()));
  settle();
  EXPECT_EQ(peers_.calls_open(), 0);
  EXPECT_EQ(blobs_->hedge_memory().used(), 0U);
  EXPECT_LE(peers_.bytes_given(), content_.size() + 100'000);  // what the late one had brought by then
}

// Without memory for its tail there is no hedge: the late one goes on.
TEST_F(PeerFetchTest, NoMemoryNoHedge) {
  auto limits = blobs_->limits();
  limits.hedge_memory = kStripe - 100'001;
  blobs_ = std::make_unique<Blobs>(*store_, pool_, clock_, metrics_, limits);
  blobs_->set_peers(&peers_);
  auto& hits = limit_counter(metrics_, "hedge_memory");
  peers_.script.otherwise = {kA};
  peers_.script.hedges[1] = kB;
  peers_.peer(kA).stalls_after[1] = 100'000;
  auto reading = read_async(whole());
  EXPECT_TRUE(eventually([&] { return hits.Value() == 1; }));
  peers_.release(kA);
  expect_right(finish(std::move(reading)));
  EXPECT_EQ(std::ranges::count(peers_.asked(), kB), 0);
  EXPECT_EQ(blobs_->hedge_memory().used(), 0U);
}

// The late one recovers first: the hedge is ended.
TEST_F(PeerFetchTest, HedgeLoses) {
  peers_.script.otherwise = {kA};
  peers_.script.hedges[1] = kB;
  peers_.peer(kA).stalls_after[1] = 100'000;
  peers_.peer(kB).stalls_after[1] = 300'000;
  auto reading = read_async(whole());
  EXPECT_TRUE(eventually([&] { return std::ranges::count(peers_.asked(), kB) == 1; }));
  peers_.release(kA);
  expect_right(finish(std::move(reading)));
  settle();
  EXPECT_EQ(peers_.calls_open(), 0);
}

// Two had a part in a wrong stripe: neither is named, because the honest one might be.
TEST_F(PeerFetchTest, NobodyIsNamedForAMixedStripe) {
  wrong_at(kA, 1);
  peers_.script.otherwise = {kB};
  peers_.script.sources[1] = {kA, kB};
  peers_.peer(kA).dies_after = 100'000;
  const auto got = read(whole());
  // Its claimed checksum shows that it is wrong before anybody gets it.
  expect_right(got);
  EXPECT_TRUE(verified());
  EXPECT_EQ(peers_.bad_senders(), Ids());
}

// Upstream gives the whole blob whatever it is asked for. Among peers that is somebody's who fetches the begin; whoever
// asked for another part is told once, and has it when it asks again.
TEST_F(PeerFetchTest, AWholeIsLeftToOthersOnce) {
  source_->ignore_ranges();
  peers_.script.otherwise = {p2p::kUpstream, p2p::kUpstream};
  const auto got = read(range(3 * kStripe, 4 * kStripe));
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(3 * kStripe, kStripe));
  EXPECT_GE(source_->requests(), 2);
  expect_right(read(whole()));
}

// Who fetches the begin has all of it by one request.
TEST_F(PeerFetchTest, AWholeFromItsBegin) {
  source_->ignore_ranges();
  peers_.script.otherwise = {p2p::kUpstream};
  expect_right(read(whole()));
  EXPECT_EQ(source_->requests(), 1);
}

// A peer that dies in the middle of a stripe: another goes on from there.
TEST_F(PeerFetchTest, PeerDiesInAStripe) {
  peers_.script.otherwise = {kA, kB};
  peers_.peer(kA).dies_after = 131'072;
  expect_right(read(whole()));
  EXPECT_EQ(peers_.bytes_given(), content_.size());
  EXPECT_EQ(peers_.bad_senders(), Ids());
}

// Busy peers are asked again, and whom they name is told to the strategy.
TEST_F(PeerFetchTest, BusyPeersNameOthers) {
  peers_.script.otherwise = {kA};
  peers_.peer(kA).busy_times = 3;
  peers_.peer(kA).alternatives = {"b", "nobody"};
  expect_right(read(whole()));
  EXPECT_EQ(peers_.alternatives_heard(), (Ids{kB, kB, kB}));
}

// Upstream does not have it any more, or a client's token ends in the middle; peers have it, so it is served.
TEST_F(PeerFetchTest, UpstreamHasItNoMorePeersServe) {
  source_->expire();
  for (const auto code : {Errc::kUnauthorized, Errc::kNotFound}) {
    store_->purge(digest_);
    source_->fail_always(code);
    peers_.script.otherwise = {p2p::kUpstream, kA};
    expect_right(read(whole()));
  }
}

// Upstream refuses this reader: whatever peers have, it gets nothing more.
TEST_F(PeerFetchTest, ARefusalIsNotOverriddenByPeers) {
  for (const auto code : {Errc::kUnauthorized, Errc::kDenied}) {
    store_->purge(digest_);
    source_->fail_always(code);
    peers_.script.otherwise = {p2p::kUpstream, kA};
    const auto got = read(whole());
    ASSERT_TRUE(got.cut);
    EXPECT_EQ(got.cut->code(), code);
    EXPECT_EQ(got.bytes, "");
    EXPECT_TRUE(eventually([&] { return blobs_->running(digest_) == nullptr; }));
  }
}

// Nobody has it: the reader learns why, soon, and not only when all patience is over.
TEST_F(PeerFetchTest, NobodyHasIt) {
  auto limits = blobs_->limits();
  limits.no_progress = std::chrono::milliseconds(60'000);
  blobs_ = std::make_unique<Blobs>(*store_, pool_, clock_, metrics_, limits);
  blobs_->set_peers(&peers_);
  source_->fail_always(Errc::kNotFound);
  peers_.peer(kA).knows_nothing = true;
  peers_.script.otherwise = {p2p::kUpstream, kA};
  const auto before = clock_.steady();
  const auto got = read(whole());
  ASSERT_TRUE(got.cut);
  EXPECT_EQ(got.cut->code(), Errc::kNotFound);
  EXPECT_LT(clock_.steady() - before, limits.no_progress);
  EXPECT_TRUE(eventually([&] { return blobs_->running(digest_) == nullptr; }));
}

// Closed ranges out of order under a list: the prefix hash does not lead to them, so each stripe is checked alone.
TEST_F(PeerFetchTest, ClosedRangesUnderAList) {
  wrong_at(kA, 5);
  list_first("c", midstates_of(content_));
  peers_.script.otherwise = {kA};
  for (const std::uint64_t stripe : {6U, 5U, 2U}) {
    const auto got = read(range(stripe * kStripe + 10, stripe * kStripe + 200'000));
    EXPECT_FALSE(got.cut);
    EXPECT_TRUE(got.bytes == content_.substr(stripe * kStripe + 10, 200'000 - 10));
  }
  EXPECT_GT(source_->bytes_given(), 0U);
  EXPECT_LE(source_->bytes_given(), kStripe);
}

// A reader that waits for its first stripe is taken for one who stays, and the next ones are asked for meanwhile.
TEST_F(PeerFetchTest, ASlowFirstStripe) {
  peers_.script.otherwise = {kB};
  peers_.script.sources[0] = {kA};
  peers_.peer(kA).stalls_after[0] = 65'536;
  auto reading = read_async(whole());
  EXPECT_TRUE(eventually([&] {
    const auto blob = store_->lookup(digest_);
    return blob && blob->has(1) && blob->has(7);
  }));
  peers_.release(kA);
  expect_right(finish(std::move(reading)));
}

// Under a list, behind a stripe that hangs: what fits its link is given to peers meanwhile, what does not is not.
TEST_F(PeerFetchTest, AheadOfThePrefixUnderAList) {
  wrong_at(kA, 5);
  list_first("c", midstates_of(content_));
  peers_.script.otherwise = {kB};
  peers_.script.sources[5] = {kA};
  peers_.peer(kB).stalls_after[2] = 65'536;
  auto reading = read_async(whole());
  const auto given = [&](std::uint32_t stripe) {
    const auto fetch = blobs_->running(digest_);
    const auto blob = store_->lookup(digest_);
    return fetch && blob && have_map(*blob, fetch.get()).has(stripe);
  };
  for (const auto stripe : {3U, 4U, 6U, 7U}) EXPECT_TRUE(eventually([&] { return given(stripe); })) << stripe;
  EXPECT_TRUE(eventually([&] { return store_->lookup(digest_)->has(5); }));
  settle();
  EXPECT_FALSE(given(5));
  EXPECT_EQ(source_->requests(), 0);
  peers_.release(kB);
  expect_right(finish(std::move(reading)));
  EXPECT_TRUE(verified());
  EXPECT_EQ(peers_.bad_senders(), Ids{kA});
  EXPECT_EQ(source_->bytes_given(), kStripe);
}

// The same with a false list: it contradicts all that came ahead of the prefix, and still one stripe comes again.
TEST_F(PeerFetchTest, AheadOfThePrefixUnderAFalseList) {
  auto states = midstates_of(content_);
  for (std::size_t i = 2; i < states.size(); ++i) states[i][0] ^= 1;
  list_first("c", states);
  peers_.script.otherwise = {kA};
  peers_.peer(kA).stalls_after[2] = 65'536;
  auto reading = read_async(whole());
  EXPECT_TRUE(eventually([&] {
    const auto blob = store_->lookup(digest_);
    for (std::uint32_t stripe = 3; stripe < 8; ++stripe) {
      if (!blob || !blob->has(stripe)) return false;
    }
    return true;
  }));
  peers_.release(kA);
  expect_right(finish(std::move(reading)));
  EXPECT_EQ(peers_.bad_senders(), Ids());
  EXPECT_TRUE(eventually([&] { return peers_.bad_publishers() == Names{"c"}; }));  // it is asked for its list first
  EXPECT_EQ(source_->bytes_given(), kStripe);
}

// A response that begins in the middle, under a list: nobody fetches what is before it, and it does not wait for that.
TEST_F(PeerFetchTest, TailUnderAList) {
  list_first("c", midstates_of(content_));
  peers_.script.otherwise = {kA};
  auto tail = whole();
  tail.ranges.front().begin = 3 * kStripe + 7;
  const auto got = read(tail);
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(3 * kStripe + 7));
}

// A closed-range reader comes to stripes that arrived, unchecked, for another who has left.
TEST_F(PeerFetchTest, UncheckedStripesOfAReaderWhoLeft) {
  list_first("c", midstates_of(content_));
  peers_.script.otherwise = {kA};
  peers_.peer(kA).stalls_after[0] = 65'536;
  auto tail = range(3 * kStripe, 3 * kStripe + 5);
  auto first = read_async(whole(), 1000);
  const auto got = read(tail);
  EXPECT_TRUE(got.bytes == content_.substr(3 * kStripe, 5));
  peers_.release(kA);
  finish(std::move(first));
  const auto later = read(range(0, content_.size()));
  EXPECT_TRUE(later.bytes == content_);
}

// Readers leave in the middle, requests run: everything ends, and the fetch with it.
TEST_F(PeerFetchTest, EverythingEndsWithTheReaders) {
  peers_.script.otherwise = {kA};
  peers_.script.watched = {kB};
  for (std::uint32_t stripe = 1; stripe < 8; ++stripe) peers_.peer(kA).stalls_after[stripe] = 65'536;
  read(whole(), 1000);
  EXPECT_TRUE(eventually([&] { return peers_.calls_open() == 0 && blobs_->running(digest_) == nullptr; }));
  peers_.release(kA);
  expect_right(read(whole()));
}

// The blob is purged, or evicted because the disk fills, while stripes of it are coming: the read goes on without it.
TEST_F(PeerFetchTest, PurgedWhileItComes) {
  peers_.script.otherwise = {kA};
  peers_.peer(kA).stalls_after[2] = 65'536;
  auto reading = read_async(whole());
  EXPECT_TRUE(eventually([&] { return std::ranges::count(peers_.asked(), kA) >= 3; }));
  store_->purge(digest_);
  peers_.release(kA);
  expect_right(finish(std::move(reading)));
  expect_right(read(whole()));
}

// Parts that a peer sent before are in a stripe that upstream finishes: it is not taken for upstream's own, so no
// checksum of it is told to others as first-hand.
TEST_F(PeerFetchTest, UpstreamFinishesAPeersStripe) {
  wrong_at(kA, 1);
  peers_.peer(kA).dies_after = 131'072;
  peers_.script.otherwise = {p2p::kUpstream};
  peers_.script.sources[1] = {kA, p2p::kUpstream};
  const auto got = read(whole());
  ASSERT_TRUE(got.cut);  // nobody could know before the end
  EXPECT_TRUE(eventually([&] { return verified(); }));
  EXPECT_EQ(peers_.bad_senders(), Ids());
  expect_right(read(whole()));
}

}  // namespace
}  // namespace oxbow::mirror
