// Window mode with peers: who has it is asked before upstream, and a little patience saves a second copy.
#include "mirror/peer_first_source.h"

#include "peer_site.h"

namespace oxbow::mirror {
namespace {

class Sink final : public SpanSink {
 public:
  void on_head(const SpanHead& head) override { begin = head.begin; }
  std::size_t on_data(std::span<const std::byte> bytes) override {
    got.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return bytes.size();
  }
  void on_done(Result<> outcome) override { done.set_value(std::move(outcome)); }

  std::optional<std::uint64_t> begin;
  std::string got;
  std::promise<Result<>> done;
};

class PeerFirstSourceTest : public PeerSite {
 protected:
  /// `meanwhile` runs on the loop `after_ms` after the request was made.
  Result<> fetch(ByteRange range, int after_ms = 0, std::function<void()> meanwhile = [] {}) {
    auto& loop = loops_.at(0);
    std::unique_ptr<SpanRequest> request;
    asio::steady_timer timer(loop);
    asio::post(loop, [&] {
      request = source().request(loop, range, sink_);
      timer.expires_after(std::chrono::milliseconds(after_ms));
      timer.async_wait([meanwhile](const boost::system::error_code&) { meanwhile(); });
    });
    auto ended = sink_.done.get_future();
    const bool in_time = ended.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
    std::promise<void> gone;
    asio::post(loop, [&] {
      timer.cancel();
      request.reset();
      gone.set_value();
    });
    gone.get_future().wait();
    settle();
    return in_time ? ended.get() : fail(Errc::kTimeout, "it does not end");
  }
  PeerFirstSource& source() {
    if (!peer_first_)
      peer_first_ = std::make_unique<PeerFirstSource>(peers_, source_, digest_, content_.size(), order_);
    return *peer_first_;
  }

  std::unique_ptr<PeerFirstSource> peer_first_;
  PeerFirstSource::Order order_ = PeerFirstSource::Order::kPeersFirst;
  Sink sink_;
};

// Holders give everything, from the middle too; upstream is not asked.
TEST_F(PeerFirstSourceTest, PeersGiveIt) {
  peers_.reply.neighbours = {{"a", true, 8}};
  ASSERT_TRUE(fetch({1000, content_.size()}));
  EXPECT_EQ(sink_.begin, 1000U);
  EXPECT_TRUE(sink_.got == content_.substr(1000));
  EXPECT_EQ(source_->requests(), 0);
  EXPECT_EQ(source().peer_bytes(), content_.size() - 1000);
}

// Nobody has it, nobody wants it: upstream at once.
TEST_F(PeerFirstSourceTest, NobodyHasIt) {
  ASSERT_TRUE(fetch({0, kStripe}));
  EXPECT_TRUE(sink_.got == content_.substr(0, kStripe));
  EXPECT_EQ(source_->requests(), 1);
  EXPECT_EQ(source().peer_bytes(), 0U);
}

// Upstream knows no ranges and begins with the blob: what was not asked for is skipped, in the middle of a stripe too.
TEST_F(PeerFirstSourceTest, UpstreamWithoutRanges) {
  source_->ignore_ranges();
  ASSERT_TRUE(fetch({kStripe + 1000, 3 * kStripe}));
  EXPECT_EQ(sink_.begin, kStripe + 1000);
  EXPECT_TRUE(sink_.got == content_.substr(kStripe + 1000, 2 * kStripe - 1000));
}

// Upstream has another blob under that name: nobody gets a byte of it.
TEST_F(PeerFirstSourceTest, UpstreamOfAnotherSize) {
  source_ = std::make_shared<FakeSource>(pattern(content_.size() + 1));
  const auto outcome = fetch({1000, content_.size()});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), Errc::kCorrupt);
  EXPECT_EQ(sink_.got, "");
}

// A peer that is fetching the blob itself does not have it yet, and has it soon.
TEST_F(PeerFirstSourceTest, APeerThatGetsItItselfIsWaitedFor) {
  peers_.reply.neighbours = {{"a", false, 0}};
  peers_.peer(kA).knows_nothing = true;
  ASSERT_TRUE(fetch({0, content_.size()}, 250, [&] { peers_.peer(kA).knows_nothing = false; }));
  EXPECT_TRUE(sink_.got == content_);
  EXPECT_EQ(source_->requests(), 0);
}

// It never gets it: the patience runs out, and is shorter each time.
TEST_F(PeerFirstSourceTest, PatienceEnds) {
  peers_.reply.neighbours = {{"a", false, 0}};
  peers_.peer(kA).knows_nothing = true;
  ASSERT_TRUE(fetch({0, content_.size()}));
  EXPECT_TRUE(sink_.got == content_);
  EXPECT_EQ(source_->requests(), 8);
}

// It stops in the middle of a stripe and says nothing more: the rest comes from elsewhere.
TEST_F(PeerFirstSourceTest, APeerThatHangsIsGivenUp) {
  peers_.reply.neighbours = {{"a", true, 8}, {"b", true, 8}};
  peers_.peer(kA).stalls_after[0] = 1000;
  ASSERT_TRUE(fetch({0, kStripe}));
  EXPECT_TRUE(sink_.got == content_.substr(0, kStripe));
  EXPECT_EQ(source_->requests(), 0);
}

// Who came first knew of nobody; the coordinator is asked again when others have come.
TEST_F(PeerFirstSourceTest, OthersComeLater) {
  source_->hold();
  ASSERT_TRUE(fetch({0, content_.size()}, 600, [&] {
    peers_.reply.neighbours = {{"a", true, 8}};
    source_->release();
  }));
  EXPECT_TRUE(sink_.got == content_);
  EXPECT_LT(source_->requests(), 8);
}

// What the reader cannot verify comes from upstream, whatever peers have.
TEST_F(PeerFirstSourceTest, UpstreamFirst) {
  order_ = PeerFirstSource::Order::kUpstreamFirst;
  peers_.reply.neighbours = {{"a", true, 8}};
  ASSERT_TRUE(fetch({1000, content_.size()}));
  EXPECT_TRUE(sink_.got == content_.substr(1000));
  EXPECT_EQ(source_->requests(), 1);
  EXPECT_TRUE(peers_.asked().empty());
}

// It fails in the middle: peers that have verified the blob give the rest, who only passes it on does not.
TEST_F(PeerFirstSourceTest, UpstreamFirstAndThenPeersThatHaveVerifiedIt) {
  order_ = PeerFirstSource::Order::kUpstreamFirst;
  peers_.reply.neighbours = {{"a", true, 8}, {"b", true, 8}};
  peers_.peer(kA).verified = false;
  wrong_at(kA, 4);
  source_->fail_next(Errc::kUnavailable, 700'000);
  ASSERT_TRUE(fetch({0, content_.size()}));
  EXPECT_TRUE(sink_.got == content_);
  EXPECT_GT(source().peer_bytes(), content_.size() - 2 * kStripe);
  EXPECT_EQ(source_->requests(), 1);
}

// A refusal is not a failure: peers are not asked.
TEST_F(PeerFirstSourceTest, UpstreamFirstRefuses) {
  order_ = PeerFirstSource::Order::kUpstreamFirst;
  peers_.reply.neighbours = {{"a", true, 8}};
  source_->fail_always(Errc::kDenied);
  const auto outcome = fetch({0, content_.size()});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), Errc::kDenied);
  EXPECT_EQ(sink_.got, "");
  EXPECT_TRUE(peers_.asked().empty());
}

/// A node whose disk keeps nothing.
class WindowTrust : public PeerSite {
 protected:
  WindowTrust() : PeerSite(1024ULL * 1024, 1024ULL * 1024) { peers_.reply.neighbours = {{"a", true, 8}}; }
};

// A closed range has no hash to wait for: a peer that lies is not asked for it.
TEST_F(WindowTrust, AClosedRangeBesideALiar) {
  wrong_at(kA, 2);
  const auto got = read(range(2 * kStripe + 10, 2 * kStripe + 5000));
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(2 * kStripe + 10, 5000 - 10));
  source_->fail_always(Errc::kUnavailable);
  const auto later = read(range(3 * kStripe + 10, 3 * kStripe + 5000));
  EXPECT_FALSE(later.cut);
  EXPECT_TRUE(later.bytes == content_.substr(3 * kStripe + 10, 5000 - 10));
}

// From the begin the hash finds a liar out, at the end; who pulls again is not given the same bytes again.
TEST_F(WindowTrust, AMismatchIsNotRepeated) {
  wrong_at(kA, 2);
  const auto wrong = read(whole());
  ASSERT_TRUE(wrong.cut);
  EXPECT_EQ(wrong.cut->code(), Errc::kCorrupt);
  EXPECT_LT(wrong.bytes.size(), content_.size());
  expect_right(read(whole()));
}

}  // namespace
}  // namespace oxbow::mirror
