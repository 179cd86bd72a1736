// What is known of a blob's bytes before it has verified, and who is named once it has.
#include "mirror/stripe_trust.h"

#include "fake_peers.h"
#include "fake_source.h"
#include "mirror/stripe_marks.h"
#include "scratch.h"

namespace oxbow::mirror {
namespace {

constexpr std::uint32_t kStripes = 4;
constexpr p2p::PeerId kA = 2;
constexpr p2p::PeerId kB = 3;
constexpr p2p::PeerId kC = 4;
using Ids = std::vector<p2p::PeerId>;
using Names = std::vector<std::string>;

Checksum sum(std::uint64_t value) { return {value, 7}; }

class StripeTrustTest : public ::testing::Test {
 protected:
  /// The blob, stored and hashed.
  std::shared_ptr<storage::Blob> stored() {
    auto blob = scratch_.store().reserve(Digest::sha256(content_), content_.size()).value();
    std::promise<void> whole;
    auto watch = blob->on_progress([&, told = false]() mutable {
      if (blob->complete() && !std::exchange(told, true)) whole.set_value();
    });
    for (std::uint32_t i = 0; i < blob->geometry().stripes(); ++i) {
      auto writer = blob->begin_stripe(i).value();
      const auto range = blob->geometry().stripe(i);
      EXPECT_TRUE(writer->write(std::as_bytes(std::span(content_).subspan(range.begin, range.size()))));
    }
    whole.get_future().wait();
    watch.reset();
    const auto states = midstates_of(content_);
    for (std::uint32_t i = 0; i < states.size(); ++i) blob->add_midstate(i + 1, states[i]);
    return blob;
  }
  Checksum truth(std::uint32_t stripe) const { return stripe_sum(content_, stripe); }

  const std::string content_ = pattern(kStripes * 512UL * 1024);
  Scratch scratch_;
  StripeTrust trust_;
};

// Nothing known, or everything known fitting: it agrees, and nobody is named.
TEST_F(StripeTrustTest, Agreement) {
  EXPECT_TRUE(trust_.agrees(0, kA, sum(1), {}));
  EXPECT_TRUE(trust_.agrees(0, kA, sum(1), sum(1)));
  trust_.note_first_hand(kB, 1, truth(1));
  EXPECT_TRUE(trust_.agrees(1, kA, truth(1), truth(1)));
  EXPECT_EQ(trust_.verdict(*stored()).senders, Ids());
}

// A claimed checksum that its own bytes do not have: damaged on the way or at the sender.
TEST_F(StripeTrustTest, OwnClaimContradicted) {
  EXPECT_FALSE(trust_.agrees(0, kA, sum(1), truth(0)));
  EXPECT_TRUE(trust_.doubted(0, kA));
  EXPECT_FALSE(trust_.doubted(1, kA));
  EXPECT_EQ(trust_.verdict(*stored()).senders, Ids{kA});
}

// A disagreement names only the one whom the verified bytes contradict: the sender here, the publisher there.
TEST_F(StripeTrustTest, OnlyTheOneWhoWasWrong) {
  trust_.note_first_hand(kB, 0, truth(0));
  EXPECT_FALSE(trust_.agrees(0, kA, sum(1), sum(1)));
  trust_.note_first_hand(kC, 1, sum(2));
  EXPECT_FALSE(trust_.agrees(1, kB, truth(1), truth(1)));
  EXPECT_TRUE(trust_.agrees(1, kA, truth(1), truth(1)));  // the word is gone by once
  auto senders = trust_.verdict(*stored()).senders;
  std::ranges::sort(senders);
  EXPECT_EQ(senders, (Ids{kA, kC}));
}

// H has wrong bytes from upstream, as it says; A got them from H and gave them on. Only H answers for them.
TEST_F(StripeTrustTest, WhoPassedOnIsNotNamed) {
  trust_.note_first_hand(kC, 0, sum(1));
  EXPECT_TRUE(trust_.agrees(0, {kA, false}, sum(1), sum(1)));
  trust_.doubt(0, {kA, false}, sum(1), true);
  trust_.doubt(1, {kB, false}, sum(1), false);  // whose word it was nobody knows
  const auto verdict = trust_.verdict(*stored());
  EXPECT_EQ(verdict.senders, Ids{kC});
  EXPECT_EQ(verdict.passed_on, (Ids{kA, kB}));
  EXPECT_EQ(verdict.replaced, std::vector<std::uint32_t>{0});
}

// Who passed a stripe on may get it from upstream later and say so: it does not answer for what it sent before.
TEST_F(StripeTrustTest, WhoHasItFirstHandLater) {
  EXPECT_FALSE(trust_.is_first_hand(kA, 0));
  trust_.doubt(0, {kA, trust_.is_first_hand(kA, 0)}, sum(1), true);
  trust_.note_first_hand(kA, 0, truth(0));
  EXPECT_TRUE(trust_.is_first_hand(kA, 0));
  EXPECT_FALSE(trust_.is_first_hand(kB, 0));
  trust_.doubt(1, {kB, trust_.is_first_hand(kB, 1)}, sum(1), true);
  trust_.note_first_hand(kB, 1, sum(1));
  trust_.note_first_hand(kC, 1, truth(1));
  EXPECT_TRUE(trust_.is_first_hand(kB, 1));               // also of a word that another has contradicted
  EXPECT_EQ(trust_.verdict(*stored()).senders, Ids{kB});  // for its word
}

// A word that nothing ever spoke against is judged too.
TEST_F(StripeTrustTest, FalseWordThatNobodyDoubted) {
  trust_.note_first_hand(kA, 0, sum(1));
  trust_.note_first_hand(kB, 1, truth(1));
  EXPECT_EQ(trust_.verdict(*stored()).senders, Ids{kA});
}

// Two first-hand words that differ: neither is gone by, and the wrong one is named.
TEST_F(StripeTrustTest, TwoFirstHandWords) {
  trust_.note_first_hand(kA, 0, sum(1));
  trust_.note_first_hand(kB, 0, truth(0));
  EXPECT_TRUE(trust_.agrees(0, kC, truth(0), {}));
  EXPECT_EQ(trust_.verdict(*stored()).senders, Ids{kA});
}

// Whoever repeats a quarrel does not use up the room for the words of others.
TEST_F(StripeTrustTest, RepeatedWordsAreKeptOnce) {
  for (int i = 0; i < 10'000; ++i) {
    trust_.note_first_hand(kA, 0, sum(1));
    trust_.note_first_hand(kA, 0, sum(2));
  }
  trust_.doubt(1, kB, sum(3), false);
  const auto senders = trust_.verdict(*stored()).senders;
  EXPECT_NE(std::ranges::find(senders, kB), senders.end());
}

// Of a stripe that several had a part in nobody is named, but those who got it are told.
TEST_F(StripeTrustTest, MixedStripe) {
  trust_.doubt(0, p2p::kNoPeer, sum(1), true);
  const auto verdict = trust_.verdict(*stored());
  EXPECT_EQ(verdict.senders, Ids());
  EXPECT_EQ(verdict.replaced, std::vector<std::uint32_t>{0});
}

// Only what was wrong and could have been given out counts as replaced.
TEST_F(StripeTrustTest, ReplacedIsWhatWasGiven) {
  trust_.doubt(0, kA, sum(1), false);
  trust_.doubt(1, kA, sum(1), true);
  trust_.doubt(2, kA, truth(2), true);
  EXPECT_EQ(trust_.verdict(*stored()).replaced, std::vector<std::uint32_t>{1});
}

TEST_F(StripeTrustTest, SecondedByAnother) {
  trust_.doubt(0, kA, sum(1), false);
  trust_.doubt(0, p2p::kNoPeer, sum(2), false);
  EXPECT_FALSE(trust_.seconded(0, kA, sum(1)));
  EXPECT_FALSE(trust_.seconded(0, kB, sum(2)));
  EXPECT_TRUE(trust_.seconded(0, kB, sum(1)));
}

// The first list is gone by until it is dropped; all are judged in the end, each publisher once.
TEST_F(StripeTrustTest, Lists) {
  const auto good = midstates_of(content_);
  auto bad = good;
  bad[1][0] ^= 1;
  auto worse = bad;
  worse[0] = bad[1];
  EXPECT_EQ(trust_.hint_says(0, good[0]), std::nullopt);
  EXPECT_TRUE(trust_.add_hint(kStripes, {"b", bad}, true));
  EXPECT_TRUE(trust_.add_hint(kStripes, {"b", worse}, true));
  EXPECT_TRUE(trust_.add_hint(kStripes, {"c", good}, true));
  EXPECT_TRUE(trust_.add_hint(kStripes, {"d", bad}, false));
  EXPECT_TRUE(trust_.has_hint());
  EXPECT_EQ(trust_.hint_says(0, good[0]), true);
  EXPECT_EQ(trust_.hint_says(1, good[1]), false);
  EXPECT_EQ(trust_.hint_says(3, good[1]), std::nullopt);
  EXPECT_EQ(trust_.hint_differs(good), 1U);
  EXPECT_EQ(trust_.hint_differs({good[0]}), std::nullopt);
  EXPECT_EQ(trust_.any_differs(good), 0U);
  trust_.drop_hint();
  EXPECT_FALSE(trust_.has_hint());
  EXPECT_EQ(trust_.hint_says(1, good[1]), std::nullopt);
  const auto blob = stored();
  EXPECT_EQ(trust_.verdict(*blob).publishers, Names{"b"});
  EXPECT_EQ(trust_.verdict(*blob).said_to_publish, Names{"d"});
  trust_.add_hint(kStripes, {"d", bad}, true);  // and now it says so itself
  EXPECT_EQ(trust_.verdict(*blob).publishers, (Names{"b", "d"}));
  EXPECT_EQ(trust_.verdict(*blob).said_to_publish, Names());
}

// A list of another length is of another blob, and nothing can be checked by an empty one: it is not gone by, keeps no
// place from a good one, and names nobody.
TEST_F(StripeTrustTest, AListOfAnotherLengthIsRefused) {
  const auto good = midstates_of(content_);
  auto longer = good;
  longer.push_back(good[0]);
  EXPECT_FALSE(trust_.add_hint(kStripes, {"a", {}}, true));
  EXPECT_FALSE(trust_.add_hint(kStripes, {"b", {good[1]}}, true));
  EXPECT_FALSE(trust_.add_hint(kStripes, {"c", longer}, true));
  EXPECT_FALSE(trust_.has_hint());
  EXPECT_FALSE(trust_.any_differs(good));
  EXPECT_TRUE(trust_.add_hint(kStripes, {"d", good}, true));
  EXPECT_TRUE(trust_.has_hint());
  EXPECT_EQ(trust_.verdict(*stored()).publishers, Names());
}

// A list that was only passed on may be who passed it on's own: it confirms nobody.
TEST_F(StripeTrustTest, AListConfirmsByItsPublishersOwnWord) {
  const auto states = midstates_of(content_);
  trust_.add_hint(kStripes, {"b", states}, false);
  EXPECT_FALSE(trust_.hint_of_another("a"));
  trust_.add_hint(kStripes, {"a", states}, true);
  EXPECT_FALSE(trust_.hint_of_another("a"));
  trust_.add_hint(kStripes, {"b", states}, true);
  EXPECT_TRUE(trust_.hint_of_another("a"));
  EXPECT_TRUE(trust_.hint_of_another("b"));
}

// What may be given ends where the first unchecked stripe begins.
TEST(StripeMarksTest, FreeEnd) {
  const Geometry geometry(4ULL * 512 * 1024);
  StripeMarks marks(4);
  EXPECT_EQ(marks.at(0), StripeMark::kPlain);
  EXPECT_EQ(marks.free_end(geometry, 0, geometry.blob_bytes()), geometry.blob_bytes());
  marks.set(0, StripeMark::kFromUpstream);
  marks.set(1, StripeMark::kChecked);
  marks.set(2, StripeMark::kUnchecked);
  EXPECT_EQ(marks.free_end(geometry, 100, geometry.blob_bytes()), geometry.stripe(2).begin);
  EXPECT_EQ(marks.free_end(geometry, geometry.stripe(2).begin + 5, geometry.blob_bytes()),
            geometry.stripe(2).begin + 5);
  EXPECT_EQ(marks.free_end(geometry, 100, 200), 200U);
  EXPECT_EQ(marks.free_end(geometry, geometry.stripe(3).begin, geometry.blob_bytes()), geometry.blob_bytes());
}

}  // namespace
}  // namespace oxbow::mirror
