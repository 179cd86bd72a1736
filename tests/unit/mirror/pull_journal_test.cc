#include "mirror/pull_journal.h"

#include <gtest/gtest.h>

#include <numeric>
#include <thread>

namespace oxbow::mirror {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kMiB = 1024ULL * 1024;

class Journal : public ::testing::Test {
 protected:
  std::shared_ptr<PullLog> begin(const Digest& digest, std::uint64_t bytes, std::uint32_t here = 0) {
    return journal_.begin(digest, Geometry(bytes), [here](auto stripe) { return stripe < here; });
  }
  void arrive(PullLog& pull, std::uint32_t stripe, std::string_view peer = {}) {
    pull.arrived({.stripe = stripe,
                  .now = clock_.steady(),
                  .took = milliseconds(3),
                  .upstream = peer.empty(),
                  .peer = peer,
                  .retries = 0,
                  .hedged = false,
                  .check = StripeCheck::kNone});
  }
  static Digest named(int i) { return Digest::sha256(std::to_string(i)); }
  PullRecord find(const Digest& digest) {
    auto found = journal_.find(digest);
    EXPECT_TRUE(found);
    return found ? std::move(*found) : PullRecord{.summary = PullLog::unrecorded(digest)->summary()};
  }

  ManualClock clock_;
  PullJournal journal_{clock_};
  const Digest digest_ = named(0);
};

TEST_F(Journal, CountsEachStripeWithItsSource) {
  const auto pull = begin(digest_, 4 * kMiB, 2);  // 8 stripes of 512 KiB
  pull->reader("docker.io", "library/nginx");
  pull->reader("ghcr.io", "other/name");
  pull->writing(2);
  pull->writing(3);
  clock_.advance(milliseconds(40));
  arrive(*pull, 2);
  arrive(*pull, 4, "node-a");
  arrive(*pull, 5, "node-b");
  arrive(*pull, 6, "node-a");
  EXPECT_EQ(find(digest_).map, "ddu~ppp.");
  pull->stopped(0, 8);
  EXPECT_EQ(find(digest_).map, "ddu.ppp.");

  const auto record = find(digest_);
  EXPECT_EQ(record.summary.registry, "docker.io");
  EXPECT_EQ(record.summary.repository, "library/nginx");
  EXPECT_EQ(record.summary.readers, 2U);
  EXPECT_EQ(record.summary.done_stripes, 6U);
  EXPECT_EQ(record.summary.bytes.storage, kMiB);
  EXPECT_EQ(record.summary.bytes.upstream, kMiB / 2);
  EXPECT_EQ(record.summary.bytes.peer, 3 * kMiB / 2);
  ASSERT_EQ(record.peers.size(), 2U);
  EXPECT_EQ(record.peers[0], std::pair(std::string("node-a"), kMiB));
  ASSERT_EQ(record.events.size(), 4U);
  EXPECT_EQ(record.events[1].stripe, 4U);
  EXPECT_EQ(record.events[1].peer, "node-a");
  EXPECT_EQ(record.events[1].at_ms, 40U);
  EXPECT_EQ(record.events[1].took_ms, 3U);
  EXPECT_EQ(record.events[1].bytes, kMiB / 2);
  EXPECT_EQ(journal_.running().size(), 1U);
  EXPECT_TRUE(journal_.recent(10).empty());
}

TEST_F(Journal, WhatIsReplacedCountsOnceWithItsLastSource) {
  const auto pull = begin(digest_, 2 * kMiB);
  for (std::uint32_t stripe = 0; stripe < 4; ++stripe) arrive(*pull, stripe, "node-a");
  pull->replacing(1, true);
  pull->replacing(2, false);  // only compared
  pull->writing(1);
  EXPECT_EQ(find(digest_).map, "pxxp");
  EXPECT_EQ(find(digest_).summary.done_stripes, 2U);
  arrive(*pull, 1);
  arrive(*pull, 2);
  arrive(*pull, 3);  // storage had lost it without a word
  const auto record = find(digest_);
  EXPECT_EQ(record.map, "puuu");
  EXPECT_EQ(record.summary.replaced, 1U);
  EXPECT_EQ(record.summary.bytes.peer, kMiB / 2);
  EXPECT_EQ(record.summary.bytes.upstream, 3 * kMiB / 2);
  EXPECT_EQ(record.peers[0].second, kMiB / 2);
  EXPECT_EQ(record.summary.done_stripes, 4U);
}

TEST_F(Journal, WhatVouchedForAStripe) {
  const auto pull = begin(digest_, 2 * kMiB);
  for (std::uint32_t stripe = 0; stripe < 4; ++stripe) arrive(*pull, stripe, "node-a");
  pull->checked(1, StripeCheck::kLink);
  pull->checked(2, StripeCheck::kChecksum);
  EXPECT_EQ(find(digest_).events[0].check, StripeCheck::kNone);
  journal_.end(pull, PullState::kVerified);
  pull->checked(3, StripeCheck::kLink);  // too late
  const auto events = find(digest_).events;
  EXPECT_EQ(events[0].check, StripeCheck::kWhole);
  EXPECT_EQ(events[1].check, StripeCheck::kLink);
  EXPECT_EQ(events[2].check, StripeCheck::kChecksum);
  EXPECT_EQ(events[3].check, StripeCheck::kWhole);
}

// A blob that has verified is here whole: what no arrival told of landed between two pulls.
TEST_F(Journal, WhatNobodySawComeIsFoundOnTheDisk) {
  const auto pull = begin(digest_, 4 * kMiB, 2);
  arrive(*pull, 3);
  pull->writing(5);
  journal_.end(pull, PullState::kVerified);
  const auto record = find(digest_);
  EXPECT_EQ(record.map, "dddudddd");
  EXPECT_EQ(record.summary.done_stripes, 8U);
  EXPECT_EQ(record.summary.bytes.storage, 7 * kMiB / 2);
  EXPECT_EQ(record.summary.bytes.upstream, kMiB / 2);
}

TEST_F(Journal, EndsOnce) {
  const auto pull = begin(digest_, 2 * kMiB);
  pull->writing(0);
  clock_.advance(milliseconds(70));
  journal_.end(pull, PullState::kFailed, "upstream is down");
  journal_.end(pull, PullState::kLeft);
  arrive(*pull, 1);
  EXPECT_TRUE(journal_.running().empty());
  const auto recent = journal_.recent(10);
  ASSERT_EQ(recent.size(), 1U);
  EXPECT_EQ(recent[0].state, PullState::kFailed);
  EXPECT_EQ(recent[0].error, "upstream is down");
  EXPECT_EQ(*recent[0].ended - recent[0].started, milliseconds(70));
  EXPECT_EQ(find(digest_).map, "....");
}

TEST_F(Journal, AServeFromStorageIsAPullOfItsOwnAndAnotherSoonAfterItsReader) {
  const auto pull = begin(digest_, 2 * kMiB);
  for (std::uint32_t stripe = 0; stripe < 4; ++stripe) arrive(*pull, stripe);
  journal_.end(pull, PullState::kVerified);
  const PullJournal::Serve serve{digest_, 2 * kMiB, PullSource::kStorage, "docker.io", "library/nginx"};
  auto part = serve;
  part.continues = true;
  journal_.served(part);  // of a client that takes it in parts
  EXPECT_EQ(find(digest_).summary.bytes.upstream, 2 * kMiB);
  EXPECT_EQ(find(digest_).summary.readers, 1U);

  journal_.served(serve);
  clock_.advance(milliseconds(59'000));
  journal_.served(serve);
  auto record = find(digest_);
  EXPECT_EQ(record.summary.state, PullState::kVerified);
  EXPECT_EQ(record.summary.bytes.storage, 2 * kMiB);
  EXPECT_EQ(record.summary.bytes.upstream, 0U);
  EXPECT_EQ(record.summary.readers, 2U);
  EXPECT_EQ(record.map, "dddd");
  EXPECT_EQ(journal_.recent(10).size(), 2U);
  clock_.advance(milliseconds(2'000));
  journal_.served(serve);
  EXPECT_EQ(find(digest_).summary.readers, 1U);
  EXPECT_EQ(journal_.recent(10).size(), 3U);
}

// A client that takes a blob in parts leaves its fetch between them: it stays one pull, with the sources that it had.
TEST_F(Journal, AFetchThatGoesOnWithAPartIsTheSamePull) {
  const auto first = begin(digest_, 2 * kMiB, 1);
  arrive(*first, 1, "node-a");
  arrive(*first, 2);
  journal_.leave(first);
  EXPECT_EQ(find(digest_).summary.state, PullState::kLeft);

  // Stripe 2 is lost meanwhile, and stripe 3 has come by other ways.
  const auto go_on = [&] {
    return journal_.begin(digest_, Geometry(2 * kMiB), [](auto stripe) { return stripe != 2; }, true);
  };
  const auto second = go_on();
  EXPECT_EQ(second->id(), first->id());
  EXPECT_EQ(find(digest_).map, "dp.d");
  EXPECT_EQ(journal_.running().size(), 1U);
  EXPECT_TRUE(journal_.recent(9).empty());

  // The next part comes before the fetch of the one before has ended.
  const auto third = go_on();
  EXPECT_EQ(third->id(), first->id());
  journal_.leave(second);
  EXPECT_EQ(find(digest_).summary.state, PullState::kRunning);
  arrive(*third, 2);
  journal_.end(third, PullState::kVerified);
  journal_.leave(third);
  const auto record = find(digest_);
  EXPECT_EQ(record.summary.state, PullState::kVerified);
  EXPECT_EQ(record.map, "dpud");
  EXPECT_EQ(record.summary.bytes.storage + record.summary.bytes.peer + record.summary.bytes.upstream, 2 * kMiB);
  EXPECT_EQ(record.events.size(), 3U);

  // What has verified is not gone on with, nor what was left long ago, nor with a reader from the begin on.
  EXPECT_NE(go_on()->id(), first->id());
  const auto left = begin(named(1), kMiB);
  journal_.leave(left);
  EXPECT_NE(begin(named(1), kMiB)->id(), left->id());
  const auto old = begin(named(2), kMiB);
  journal_.leave(old);
  clock_.advance(milliseconds(61'000));
  EXPECT_NE(journal_.begin(named(2), Geometry(kMiB), [](auto) { return false; }, true)->id(), old->id());
}

TEST_F(Journal, SmallContentAndWindows) {
  journal_.served({digest_, 300, PullSource::kUpstream, "docker.io", "library/nginx"});
  EXPECT_EQ(find(digest_).map, "u");
  EXPECT_EQ(find(digest_).summary.bytes.upstream, 300U);
  const auto window = journal_.begin(named(1), Geometry(8 * kMiB), nullptr);
  window->window(3 * kMiB, kMiB);
  journal_.end(window, PullState::kLeft);
  const auto record = find(named(1));
  EXPECT_FALSE(record.summary.kept);
  EXPECT_EQ(record.summary.bytes.peer, kMiB);
  EXPECT_EQ(record.summary.bytes.upstream, 2 * kMiB);
  EXPECT_EQ(record.map, "");
}

TEST_F(Journal, TheNewestEventsAreKept) {
  const auto bytes = 3'000 * kMaxStripeBytes;
  const auto pull = begin(digest_, bytes);
  for (std::uint32_t stripe = 0; stripe < 3'000; ++stripe) arrive(*pull, stripe);
  pull->checked(2'999, StripeCheck::kLink);
  pull->checked(0, StripeCheck::kLink);  // gone
  const auto record = find(digest_);
  ASSERT_EQ(record.events.size(), kPullEvents);
  EXPECT_EQ(record.events_dropped, 3'000 - kPullEvents);
  EXPECT_EQ(record.events.front().stripe, 3'000 - kPullEvents);
  EXPECT_EQ(record.events.back().stripe, 2'999U);
  EXPECT_EQ(record.events.back().check, StripeCheck::kLink);
  EXPECT_EQ(record.summary.bytes.upstream, bytes);
}

TEST_F(Journal, ManyPeersShareOneCount) {
  const auto pull = begin(digest_, 300 * kMaxStripeBytes);
  for (std::uint32_t stripe = 0; stripe < 300; ++stripe) arrive(*pull, stripe, "node-" + std::to_string(stripe));
  const auto record = find(digest_);
  EXPECT_EQ(record.peers.size(), kPullPeers);
  EXPECT_EQ(record.peers.back().first, "(others)");
  const auto sum = std::accumulate(record.peers.begin(), record.peers.end(), std::uint64_t{0},
                                   [](auto total, const auto& peer) { return total + peer.second; });
  EXPECT_EQ(sum, record.summary.size_bytes);
}

TEST_F(Journal, MemoryIsBoundedAndMapsOfTheLargestAreThinned) {
  constexpr std::uint32_t kStripes = 65'536;
  for (int i = 0; i < 70; ++i) {
    const auto pull = begin(named(i), kStripes * kMaxStripeBytes);
    for (std::uint32_t stripe = 0; stripe < kStripes; stripe += 32) arrive(*pull, stripe);
    pull->replacing(16, true);
    if (i == 69) EXPECT_EQ(find(named(i)).map.size(), kStripes);
    journal_.end(pull, PullState::kLeft);
    for (int serve = 0; serve < 3; ++serve)
      journal_.served({named(1'000 + 3 * i + serve), kStripes * kMaxStripeBytes, PullSource::kStorage});
  }
  const auto record = find(named(69));
  EXPECT_EQ(record.map.size(), kEndedMapCells);
  EXPECT_EQ(record.map_stripes, kStripes / kEndedMapCells);
  EXPECT_EQ(record.map.substr(0, 3), ".x.");
  EXPECT_EQ(journal_.recent(1'000).size(), kJournalEnded + kJournalServes);
  EXPECT_EQ(journal_.recent(5).size(), 5U);
  EXPECT_FALSE(journal_.find(named(0)));
  EXPECT_EQ(find(named(1'209)).map, std::string(kEndedMapCells, 'd'));
  EXPECT_LT(journal_.memory_bytes(), 4 * kMiB);
}

TEST_F(Journal, MoreFetchesThanItKeepsLeaveNoRecord) {
  std::vector<std::shared_ptr<PullLog>> pulls;
  for (int i = 0; i < 300; ++i) pulls.push_back(begin(named(i), kMiB));
  EXPECT_EQ(journal_.running().size(), kJournalRunning);
  arrive(*pulls[299], 0);
  journal_.end(pulls[299], PullState::kVerified);
  EXPECT_FALSE(journal_.find(named(299)));
  journal_.end(pulls[0], PullState::kVerified);
  begin(named(400), kMiB);
  EXPECT_TRUE(journal_.find(named(400)));
}

TEST_F(Journal, IsFoundById) {
  begin(digest_, kMiB);
  const auto second = begin(digest_, kMiB);
  EXPECT_EQ(journal_.find(second->id())->summary.id, second->id());
  EXPECT_EQ(find(digest_).summary.id, second->id()) << "the latest";
  EXPECT_FALSE(journal_.find(std::uint64_t{99}));
}

TEST_F(Journal, FetchesWriteWhileOthersRead) {
  std::vector<std::thread> threads;
  std::atomic<int> running = 4;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        const auto pull = begin(named(i), 256 * kMiB);
        for (std::uint32_t stripe = 0; stripe < 256; ++stripe) {
          pull->writing(stripe);
          arrive(*pull, stripe, stripe % 3 == 0 ? "" : "node-" + std::to_string(stripe % 7));
          if (stripe % 5 == 0) pull->replacing(stripe, true);
          if (stripe % 5 == 0) arrive(*pull, stripe);
          pull->checked(stripe, StripeCheck::kLink);
        }
        journal_.end(pull, PullState::kVerified);
        journal_.served({named(i), 256 * kMiB, PullSource::kStorage});
      }
      --running;
    });
  }
  while (running > 0) {
    for (int i = 0; i < 4; ++i) {
      const auto record = journal_.find(named(i));
      if (!record) continue;
      const auto& bytes = record->summary.bytes;
      EXPECT_LE(bytes.storage + bytes.peer + bytes.upstream, record->summary.size_bytes);
    }
    EXPECT_LE(journal_.running().size(), 4U);
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(journal_.running().empty());
}

}  // namespace
}  // namespace oxbow::mirror
