// What the journal has of real fetches: the sources of each stripe, what was replaced, and how they ended.
#include "peer_site.h"

namespace oxbow::mirror {
namespace {

class PlacedSource final : public SpanSource {
 public:
  explicit PlacedSource(std::shared_ptr<SpanSource> inner) : inner_(std::move(inner)) {}
  std::unique_ptr<SpanRequest> request(Loop& loop, ByteRange range, SpanSink& sink) override {
    return inner_->request(loop, range, sink);
  }
  Place place() const override { return {"docker.io", "library/nginx"}; }

 private:
  std::shared_ptr<SpanSource> inner_;
};

class PullFetchTest : public PeerSite {
 protected:
  PullRecord record() {
    auto found = blobs_->journal().find(digest_);
    EXPECT_TRUE(found);
    return found ? std::move(*found) : PullLog::unrecorded(digest_)->record();
  }
  BlobRead placed() {
    auto read = whole();
    read.source = std::make_shared<PlacedSource>(source_);
    return read;
  }
  static void expect_all_counted(const PullRecord& record) {
    const auto& bytes = record.summary.bytes;
    EXPECT_EQ(bytes.storage + bytes.peer + bytes.upstream, record.summary.size_bytes);
    EXPECT_EQ(record.summary.done_stripes, record.summary.stripes);
    std::uint64_t by_name = 0;
    for (const auto& [name, sent] : record.peers) by_name += sent;
    EXPECT_EQ(by_name, bytes.peer);
  }
};

TEST_F(PullFetchTest, StripesFromPeersAndUpstream) {
  peers_.script.otherwise = {kA};
  for (const std::uint32_t stripe : {1U, 3U}) peers_.script.sources[stripe] = {kB};
  peers_.script.sources[5] = {p2p::kUpstream};
  expect_right(read(placed()));
  const auto pull = record();
  EXPECT_EQ(pull.summary.state, PullState::kVerified);
  EXPECT_EQ(pull.summary.registry, "docker.io");
  EXPECT_EQ(pull.summary.repository, "library/nginx");
  EXPECT_EQ(pull.summary.readers, 1U);
  EXPECT_EQ(pull.map, "pppppupp");
  expect_all_counted(pull);
  EXPECT_EQ(pull.summary.bytes.upstream, kStripe);
  ASSERT_EQ(pull.events.size(), 8U);
  for (const auto& event : pull.events) {
    EXPECT_EQ(event.peer, event.stripe == 5 ? "" : event.stripe == 1 || event.stripe == 3 ? "b" : "a");
    EXPECT_NE(event.check, StripeCheck::kNone);
  }
}

TEST_F(PullFetchTest, AWrongStripeIsReplaced) {
  lie_against_a_first_hand_word();
  expect_right(read(whole()));
  const auto pull = record();
  EXPECT_EQ(pull.summary.state, PullState::kVerified);
  EXPECT_EQ(pull.summary.replaced, 1U);
  EXPECT_GE(pull.summary.retries, 1U);
  EXPECT_EQ(pull.map, "pppppppp");
  expect_all_counted(pull);
}

TEST_F(PullFetchTest, WhatWasLeftIsOnTheDiskTheNextTime) {
  peers_.script.otherwise = {p2p::kUpstream};
  peers_.script.sources[0] = {kA};  // a peer's stripe is counted before anybody is given it
  source_->hold_after(3 * kStripe);
  read(whole(), kStripe);
  settle();
  source_->release();
  ASSERT_TRUE(eventually([&] { return blobs_->journal().running().empty(); }));
  const auto left = record();
  EXPECT_EQ(left.summary.state, PullState::kLeft);
  EXPECT_GE(left.summary.done_stripes, 1U);
  expect_right(read(whole()));
  const auto pull = record();
  EXPECT_GT(pull.summary.id, left.summary.id);
  EXPECT_EQ(pull.summary.state, PullState::kVerified);
  EXPECT_GE(pull.summary.bytes.storage, kStripe);
  EXPECT_EQ(pull.map.substr(0, 1), "d");
  expect_all_counted(pull);

  read(whole());
  EXPECT_EQ(record().map, "dddddddd");
  EXPECT_EQ(record().summary.bytes.storage, content_.size());
}

TEST_F(PullFetchTest, AFailureSaysWhy) {
  peers_.script.otherwise = {p2p::kUpstream};
  source_->corrupt_byte(3 * kStripe);
  EXPECT_TRUE(read(whole()).cut);
  const auto pull = record();
  EXPECT_EQ(pull.summary.state, PullState::kFailed);
  EXPECT_NE(pull.summary.error, "");
}

}  // namespace
}  // namespace oxbow::mirror
