// What this node gives to its peers: what it has, what arrives from upstream as it arrives, and nothing unchecked.
#include "mirror/peer_contents.h"

#include "peer_site.h"

namespace oxbow::mirror {
namespace {

class PeerContentsTest : public PeerSite {
 protected:
  Result<p2p::PeerContent::StripeAnswer> ask(std::uint32_t stripe, std::uint64_t offset = 0) {
    std::promise<Result<p2p::PeerContent::StripeAnswer>> answer;
    asio::post(loops_.at(1),
               [&] { answer.set_value(contents_.stripe(digest_, content_.size(), stripe, offset, loops_.at(1))); });
    return answer.get_future().get();
  }
  std::future<Got> take(p2p::PeerContent::StripeAnswer answer) {
    return std::make_shared<Reader>(loops_.at(1), std::move(answer.body), SIZE_MAX)->run();
  }
  std::string stripe_bytes(std::uint32_t stripe, std::uint64_t offset = 0) const {
    const auto range = Geometry(content_.size()).stripe(stripe);
    return content_.substr(range.begin + offset, range.size() - offset);
  }

  PeerContents contents_{*blobs_, "self"};
};

// A verified blob: its facts, its midstates, each stripe with its checksum, from any offset; and what is refused.
TEST_F(PeerContentsTest, WholeBlob) {
  peers_.script.otherwise = {p2p::kUpstream};
  EXPECT_FALSE(contents_.facts(digest_, true));
  EXPECT_EQ(contents_.watch_have(digest_), nullptr);
  EXPECT_FALSE(contents_.have_around(digest_, content_.size(), 0));
  EXPECT_EQ(ask(0).error().code(), Errc::kNotFound);
  expect_right(read(whole()));
  settle();
  const auto facts = contents_.facts(digest_, true);
  ASSERT_TRUE(facts);
  EXPECT_TRUE(facts->verified && facts->have.complete());
  EXPECT_EQ(contents_.have_around(digest_, content_.size(), 5), (p2p::HaveSlice{0, facts->have}));
  EXPECT_FALSE(contents_.have_around(digest_, content_.size() + 1, 5));
  EXPECT_EQ(facts->midstates, (p2p::MidstateList{"self", midstates_of(content_)}));
  EXPECT_FALSE(contents_.facts(digest_, false)->midstates);
  for (const std::uint32_t stripe : {0U, 7U}) {
    auto answer = ask(stripe, 100).value();
    EXPECT_EQ(answer.facts.checksum_hex, stripe_sum(content_, stripe).hex());
    EXPECT_EQ(answer.facts.length, stripe_bytes(stripe, 100).size());
    EXPECT_TRUE(finish(take(std::move(answer))).bytes == stripe_bytes(stripe, 100));
  }
  EXPECT_EQ(ask(8).error().code(), Errc::kInvalid);
  EXPECT_EQ(ask(7, kStripe).error().code(), Errc::kInvalid);
  EXPECT_EQ(contents_.stripe(digest_, 5, 0, 0, loops_.at(0)).error().code(), Errc::kInvalid);
}

// A stripe that is arriving from upstream is given as it arrives; its checksum is told as first-hand when it is whole.
TEST_F(PeerContentsTest, ArrivingStripe) {
  peers_.script.otherwise = {p2p::kUpstream};
  source_->hold_after(100'000);
  auto reading = read_async(range(0, kStripe));
  ASSERT_TRUE(eventually([&] { return ask(0).has_value(); }));
  EXPECT_EQ(ask(1).error().code(), Errc::kNotFound);
  auto watch = contents_.watch_have(digest_);
  EXPECT_EQ(watch->current().arriving, std::vector<std::uint32_t>{0});
  EXPECT_EQ(watch->first_hand(0), std::nullopt);
  auto answer = ask(0).value();
  EXPECT_FALSE(answer.facts.checksum_hex);
  auto taking = take(std::move(answer));
  EXPECT_EQ(taking.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  source_->release();
  const auto got = finish(std::move(taking));
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == stripe_bytes(0));
  EXPECT_TRUE(eventually([&] { return watch->current().have.has(0); }));
  finish(std::move(reading));
}

// What upstream was asked for and has not begun to send is not simply missing: the lease of it is at work.
TEST_F(PeerContentsTest, ExpectedFromUpstream) {
  peers_.real_strategy = p2p::StrategyKind::kSwarm;
  source_->hold();
  auto reading = read_async(range(0, 3 * kStripe));
  EXPECT_TRUE(eventually([&] { return source_->requests() > 0; }));
  settle();
  EXPECT_TRUE(ask(0).has_value());
  for (const std::uint32_t stripe : {1U, 2U}) {
    const auto later = ask(stripe);
    EXPECT_FALSE(later.has_value());
    if (!later) EXPECT_EQ(later.error().code(), Errc::kBusy);
  }
  EXPECT_EQ(ask(3).error().code(), Errc::kNotFound);
  source_->release();
  finish(std::move(reading));
  EXPECT_TRUE(ask(1).has_value());
}

// Somebody has claimed a larger blob, and one of the right size takes its place while a peer follows the first: what
// the fetch knows of stripes is not looked up for stripes that its blob does not have.
TEST_F(PeerContentsTest, ABlobOfAnotherSizeTookItsPlace) {
  const auto larger = store_->reserve(digest_, 16 * kStripe).value();
  const auto writer = larger->begin_stripe(12).value();
  const std::string bytes(kStripe, 'x');
  ASSERT_TRUE(eventually([&] { return writer->write(std::as_bytes(std::span(bytes))); }));
  ASSERT_TRUE(eventually([&] { return larger->has(12); }));
  const auto watch = contents_.watch_have(digest_);
  EXPECT_TRUE(watch->current().have.has(12));
  peers_.script.otherwise = {p2p::kUpstream};
  source_->hold_after(100'000);
  auto reading = read_async(range(0, kStripe));
  ASSERT_TRUE(eventually([&] { return larger->gone() && blobs_->running(digest_); }));
  EXPECT_TRUE(eventually([&] { return watch->current().gone; }));  // it is told of the purge a moment later
  EXPECT_FALSE(watch->first_hand(12));
  source_->release();
  EXPECT_FALSE(finish(std::move(reading)).cut);
}

// All who follow a blob are told of each change, whoever else follows it and leaves.
TEST_F(PeerContentsTest, SeveralFollowOneBlob) {
  peers_.script.otherwise = {p2p::kUpstream};
  source_->hold_after(100'000);
  auto reading = read_async(range(0, kStripe));
  ASSERT_TRUE(eventually([&] { return contents_.watch_have(digest_) != nullptr; }));
  std::atomic<int> told_first = 0;  // before those who tell: they outlive them
  std::atomic<int> told_second = 0;
  auto first = contents_.watch_have(digest_);
  auto second = contents_.watch_have(digest_);
  first->on_change([&] { ++told_first; });
  second->on_change([&] { ++told_second; });
  EXPECT_FALSE(first->current().have.has(0));
  source_->release();
  ASSERT_TRUE(eventually([&] { return first->current().have.has(0) && second->current().have.has(0); }));
  EXPECT_TRUE(eventually([&] { return told_first > 0; }));  // it is there a moment before that is told
  first.reset();
  const int before = told_second;
  finish(std::move(reading));
  finish(read_async(range(kStripe, 2 * kStripe)));
  EXPECT_TRUE(eventually([&] { return told_second > before && second->current().have.has(1); }));
}

// The reader leaves and the stripe stops arriving: who waits for it is cut and does not wait for ever.
TEST_F(PeerContentsTest, CutWhenItStopsArriving) {
  peers_.script.otherwise = {p2p::kUpstream};
  source_->hold_after(100'000);
  std::unique_ptr<BlobBody> reader;
  on_loop([&] { reader = std::make_unique<BlobBody>(*blobs_, loops_.at(0), range(0, kStripe)); });
  std::optional<p2p::PeerContent::StripeAnswer> answer;
  ASSERT_TRUE(eventually([&] {
    auto asked = ask(0);
    if (asked) answer = std::move(*asked);
    return asked.has_value();
  }));
  auto taking = take(std::move(*answer));
  on_loop([&] { reader.reset(); });
  const auto got = finish(std::move(taking));
  ASSERT_TRUE(got.cut);
  EXPECT_EQ(got.cut->code(), Errc::kUnavailable);
}

// What came from a peer and is not checked is not spoken of and not given; as soon as it is checked it is. It is never
// told as first-hand.
TEST_F(PeerContentsTest, UncheckedIsNotOffered) {
  peers_.reply.midstates = p2p::MidstateList{"c", midstates_of(content_)};
  peers_.script.reply_first = true;
  peers_.script.otherwise = {kA};
  peers_.peer(kA).stalls_after[0] = 65'536;
  auto reading = read_async(range(0, content_.size()), 1);
  ASSERT_TRUE(eventually([&] { return blobs_->running(digest_) && !peers_.asked().empty(); }));
  EXPECT_EQ(ask(0).error().code(), Errc::kNotFound);
  std::atomic<int> changes = 0;
  auto watch = contents_.watch_have(digest_);
  EXPECT_FALSE(watch->current().have.has(0));
  EXPECT_TRUE(watch->current().arriving.empty());
  watch->on_change([&] { ++changes; });
  peers_.release(kA);
  finish(std::move(reading));
  EXPECT_TRUE(eventually([&] { return watch->current().have.has(0); }));
  EXPECT_EQ(watch->first_hand(0), std::nullopt);
  EXPECT_TRUE(eventually([&] { return changes > 0; }));
}

// Upstream goes on with what a peer began: not first-hand, and not given on before it is whole.
TEST_F(PeerContentsTest, PeersBeginningIsNotGivenOn) {
  peers_.script.otherwise = {kA, p2p::kUpstream};
  peers_.peer(kA).dies_after = 65'536;
  source_->hold_after(100'000);
  auto reading = read_async(range(0, 100));
  ASSERT_TRUE(eventually([&] { return source_->requests() == 1; }));
  settle();
  EXPECT_EQ(ask(0).error().code(), Errc::kBusy);
  source_->release();
  EXPECT_TRUE(finish(std::move(reading)).bytes == content_.substr(0, 100));
  EXPECT_EQ(contents_.watch_have(digest_)->first_hand(0), std::nullopt);
}

}  // namespace
}  // namespace oxbow::mirror
