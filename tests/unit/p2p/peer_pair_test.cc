// The two ends of the peer protocol against each other, over real sockets.
#include <gtest/gtest.h>

#include <random>

#include "core/geometry.h"
#include "core/tls/ca.h"
#include "p2p/peer_route.h"
#include "p2p/protocol/stripe_fields.h"
#include "peer_pair.h"

namespace oxbow::p2p::test {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kMiB = 1024ULL * 1024;
const Digest kDigest = Digest::sha256(std::string_view("blob"));

std::string noise(std::size_t bytes) {
  std::mt19937 random(static_cast<unsigned>(bytes));
  std::string out(bytes, '\0');
  for (auto& c : out) c = static_cast<char>(random());
  return out;
}

/// A blob whose stripe 3 is whole and whose stripe 5 arrives when the test says.
struct Stripes {
  explicit Stripes(Pair& pair, std::uint64_t size = 64 * kMiB) {
    blob.size = size;
    blob.have = HaveMap(Geometry(size).stripes());
    blob.have.set(3);
    whole = noise(Geometry(size).stripe_bytes());
    blob.stripes[3] = whole;
    blob.feeds[5] = feed;
    pair.content.change(kDigest, [&](FakeContent::Blob& other) { other = blob; });
  }
  StripeAsk ask(std::uint32_t stripe, std::uint64_t offset = 0) const {
    StripeAsk ask;
    ask.digest = kDigest;
    ask.blob_bytes = blob.size;
    ask.stripe = stripe;
    ask.offset = offset;
    return ask;
  }
  FakeContent::Blob blob;
  std::string whole;
  std::shared_ptr<Feed> feed = std::make_shared<Feed>();
};

/// A have stream of that blob, and when it begins and ends. Dropped with its call.
struct Watch {
  void open(Pair& pair, const Stripes& stripes) {
    call = pair.on_loop([&] {
      return pair.client->watch_have(
          pair.server_id(), kDigest, stripes.blob.have.size(), pair.loop(),
          [this](const HaveUpdate&) {
            if (std::exchange(first, false)) begun.set_value();
          },
          [this](Error error) { ended.set_value(std::move(error)); });
    });
  }

  std::promise<void> begun;
  std::promise<Error> ended;
  bool first = true;
  std::unique_ptr<PeerCall> call;
};

double counter(MetricsRegistry& metrics, const std::string& line_start) {
  const auto text = render_metrics(metrics);
  const auto at = text.find("\n" + line_start);
  return at == std::string::npos ? -1 : std::stod(text.substr(text.find("} ", at) + 2));
}

class PairTest : public ::testing::TestWithParam<bool> {
 protected:
  static PairOptions options() { return {.tls = GetParam()}; }
};
INSTANTIATE_TEST_SUITE_P(Both, PairTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Tls" : "Plain"; });

// A stripe that is there comes whole, with all that rides on its answer, and both ends count its bytes. Several askers
// on both loops get the same: one of them shares the connection's loop, the other does not.
TEST_P(PairTest, WholeStripe) {
  Pair pair(options());
  const Stripes stripes(pair);
  for (std::size_t i = 0; i < 2; ++i) {
    Collector sink;
    auto& loop = pair.client_loops.at(i);
    auto call =
        asio::post(loop,
                   asio::use_future([&] { return pair.client->stripe(pair.server_id(), stripes.ask(3), loop, sink); }))
            .get();
    ASSERT_TRUE(sink.wait_done());
    ASSERT_TRUE(*sink.outcome) << sink.outcome->error().what();
    EXPECT_EQ(sink.bytes, stripes.whole);
    ASSERT_TRUE(sink.facts);
    EXPECT_EQ(sink.facts->length, stripes.whole.size());
    EXPECT_TRUE(sink.facts->verified);
    EXPECT_EQ(sink.facts->checksum_hex, kChecksum);
    ASSERT_TRUE(sink.news);
    EXPECT_EQ(sink.news->load, (Load{.used = 1, .slots = 8, .waiting = 0}));
    EXPECT_EQ(sink.news->have, (HaveSlice{0, stripes.blob.have}));
    asio::post(loop, asio::use_future([&] { call.reset(); })).get();
  }
  const auto moved = 2 * static_cast<double>(stripes.whole.size());
  EXPECT_EQ(counter(pair.client_side.metrics_, "oxbow_peer_bytes_total{direction=\"in\"}"), moved);
  EXPECT_EQ(counter(pair.server_side.metrics_, "oxbow_peer_bytes_total{direction=\"out\"}"), moved);
  EXPECT_EQ(counter(pair.server_side.metrics_, "oxbow_peer_requests_total{code=\"200\",route=\"stripe\"}"), 2);
}

// The missing tail of a stripe is asked for by an offset in it.
TEST_P(PairTest, TailOfAStripe) {
  Pair pair(options());
  const Stripes stripes(pair);
  Collector sink;
  auto call = pair.ask(stripes.ask(3, 1'000), sink);
  ASSERT_TRUE(sink.wait_done());
  ASSERT_TRUE(*sink.outcome) << sink.outcome->error().what();
  EXPECT_EQ(sink.bytes, stripes.whole.substr(1'000));
  EXPECT_EQ(sink.facts->offset, 1'000U);
  pair.drop(call);
}

// A stripe that is still arriving is passed on as it arrives, before its end is known.
TEST_P(PairTest, ArrivingStripeIsPassedOn) {
  Pair pair(options());
  const Stripes stripes(pair);
  const auto bytes = noise(Geometry(stripes.blob.size).stripe_bytes());
  Collector sink;
  auto call = pair.ask(stripes.ask(5), sink);
  stripes.feed->give(bytes.substr(0, 100));
  ASSERT_TRUE(sink.wait_for_bytes(100));
  stripes.feed->give(bytes.substr(100, 200'000));
  ASSERT_TRUE(sink.wait_for_bytes(200'100));
  stripes.feed->give(bytes.substr(200'100));
  ASSERT_TRUE(sink.wait_done());
  EXPECT_TRUE(*sink.outcome);
  EXPECT_EQ(sink.bytes, bytes);
  pair.drop(call);
}

// A stripe that stops arriving is cut: the asker keeps what came and hears kUnavailable; the peer itself is not blamed.
TEST_P(PairTest, CutStripe) {
  Pair pair(options());
  const Stripes stripes(pair);
  Collector sink;
  auto call = pair.ask(stripes.ask(5), sink);
  stripes.feed->give("some bytes");
  ASSERT_TRUE(sink.wait_for_bytes(10));
  stripes.feed->cut();
  ASSERT_TRUE(sink.wait_done());
  ASSERT_FALSE(*sink.outcome);
  EXPECT_EQ(sink.outcome->error().code(), Errc::kUnavailable);
  EXPECT_EQ(sink.bytes, "some bytes");
  pair.drop(call);
  for (int i = 0; i < 5; ++i) {
    Collector again;
    auto other = pair.ask(stripes.ask(5), again);
    ASSERT_TRUE(again.wait_done());
    pair.drop(other);
  }
  EXPECT_EQ(pair.client_side.state("server"), PeerState::kEligible);
}

// What the peer does not have, or knows with another size, is kNotFound.
TEST_P(PairTest, NotThere) {
  Pair pair(options());
  const Stripes stripes(pair);
  auto other_size = stripes.ask(3);
  other_size.blob_bytes += 1;
  auto other_blob = stripes.ask(3);
  other_blob.digest = Digest::sha256(std::string_view("other"));
  for (const auto& ask : {stripes.ask(4), other_size, other_blob}) {
    Collector sink;
    auto call = pair.ask(ask, sink);
    ASSERT_TRUE(sink.wait_done());
    ASSERT_FALSE(*sink.outcome);
    EXPECT_EQ(sink.outcome->error().code(), Errc::kNotFound);
    ASSERT_TRUE(sink.news) << "a refusal says too how loaded the peer is, and what it has";
    EXPECT_EQ(sink.news->load, (Load{.used = 0, .slots = 8, .waiting = 0}));
    EXPECT_FALSE(sink.facts);
    pair.drop(call);
  }
}

/// Stripe 5 is being sent and does not end: a byte of it has come.
bool stays_under_way(const Stripes& stripes, Collector& sink) {
  if (!stripes.feed->wait_until_open()) return false;
  stripes.feed->give("x");
  return sink.wait_for_bytes(1);
}

/// Whoever finds the slot taken is told soon.
PairOptions with_one_slot(PairOptions given) {
  given.service.upload_slots = 1;
  given.service.slot_wait = milliseconds(20);
  return given;
}

/// Asks, and is told that the node is busy.
void ask_in_vain(Pair& pair, const StripeAsk& ask, Collector& refused) {
  auto call = pair.ask(ask, refused);
  ASSERT_TRUE(refused.wait_done());
  pair.drop(call);
  ASSERT_FALSE(*refused.outcome);
  EXPECT_EQ(refused.outcome->error().code(), Errc::kBusy);
}

// With all slots taken and nobody leaving in time the answer is busy and names others; a small tail needs no slot.
TEST_P(PairTest, BusyNamesAlternatives) {
  Pair pair(with_one_slot(options()));
  const Stripes stripes(pair);
  Collector first;
  auto holder = pair.ask(stripes.ask(5), first);
  ASSERT_TRUE(stays_under_way(stripes, first));
  Collector second;
  ask_in_vain(pair, stripes.ask(3), second);
  ASSERT_FALSE(HasFatalFailure());
  ASSERT_TRUE(second.news);
  EXPECT_EQ(second.news->load, (Load{.used = 1, .slots = 1, .waiting = 0}));
  EXPECT_EQ(second.news->have, (HaveSlice{0, stripes.blob.have}));
  EXPECT_EQ(second.alternatives, (std::vector<std::string>{"node-8", "node-9"}));
  EXPECT_EQ(pair.service->load(), (Load{.used = 1, .slots = 1, .waiting = 0}));
  EXPECT_EQ(counter(pair.server_side.metrics_, "oxbow_limit_hits_total{limit=\"peer_upload_slots\"}"), 1);
  Collector small;
  auto tail = pair.ask(stripes.ask(3, stripes.whole.size() - 65'536), small);
  ASSERT_TRUE(small.wait_done());
  EXPECT_TRUE(*small.outcome);
  pair.drop(holder);
  pair.drop(tail);
}

// A holder that fetches nothing knows of no other by its have map: it names whom it has sent the stripe to.
TEST(Pairs, BusyNamesWhoWasSentTheStripe) {
  Pair pair(with_one_slot({}));
  const Stripes stripes(pair);
  Collector sent;
  auto whole = pair.ask(stripes.ask(3), sent);
  ASSERT_TRUE(sent.wait_done());
  ASSERT_TRUE(*sent.outcome);
  Collector first;
  auto holder = pair.ask(stripes.ask(5), first);
  ASSERT_TRUE(stays_under_way(stripes, first));

  pair.server_side.table_.set_members(named({"client", "late"}));
  pair.server_side.table_.note_hello(pair.server_side.id("client"), facts("client", 42));
  ASSERT_EQ(pair.server_side.state("client"), PeerState::kEligible);
  const auto named_to = [&](PeerClient& client) {
    Collector refused;
    auto call = pair.on_loop([&] { return client.stripe(pair.server_id(), stripes.ask(3), pair.loop(), refused); });
    EXPECT_TRUE(refused.wait_done());
    pair.drop(call);
    return refused.alternatives;
  };
  MetricsRegistry metrics;
  const auto late = make_peer_client({.own_name = "late", .tls = nullptr, .http = {}}, pair.client_side.table_,
                                     pair.client_loops, metrics);
  EXPECT_EQ(named_to(*pair.client), (std::vector<std::string>{"node-8", "node-9"})) << "not the asker itself";
  EXPECT_EQ(named_to(*late), (std::vector<std::string>{"node-8", "node-9", "client"}));
  late->close();
  pair.drop(holder);
  pair.drop(whole);
}

// Of one stripe only so many copies are sent side by side; another stripe finds its slot.
TEST_P(PairTest, CopiesOfOneStripeAreFew) {
  auto given = options();
  given.service.same_stripe = 1;
  given.service.slot_wait = milliseconds(20);
  Pair pair(given);
  const Stripes stripes(pair);
  Collector first;
  auto holder = pair.ask(stripes.ask(5), first);
  ASSERT_TRUE(stays_under_way(stripes, first));
  Collector second;
  ask_in_vain(pair, stripes.ask(5), second);
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(second.alternatives, (std::vector<std::string>{"node-8", "node-9"}));
  EXPECT_EQ(counter(pair.server_side.metrics_, "oxbow_limit_hits_total{limit=\"peer_uploads_of_one_stripe\"}"), 1);
  Collector other;
  auto served = pair.ask(stripes.ask(3), other);
  ASSERT_TRUE(other.wait_done());
  EXPECT_TRUE(*other.outcome);
  pair.drop(holder);
  pair.drop(served);
}

// Of a blob with few stripes the copies go in turn: whoever comes meanwhile does not wait, and sees that slots are
// free.
TEST_P(PairTest, CopiesOfASmallBlobGoInTurn) {
  auto given = options();
  given.service.slot_wait = milliseconds(30'000);
  Pair pair(given);
  const Stripes stripes(pair, 8 * kMiB);
  Collector first;
  auto holder = pair.ask(stripes.ask(5), first);
  ASSERT_TRUE(stays_under_way(stripes, first));
  Collector second;
  ask_in_vain(pair, stripes.ask(5), second);
  ASSERT_FALSE(HasFatalFailure());
  ASSERT_TRUE(second.news && second.news->load);
  EXPECT_EQ(*second.news->load, (Load{.used = 1, .slots = given.service.upload_slots, .waiting = 0}));
  EXPECT_EQ(counter(pair.server_side.metrics_, "oxbow_limit_hits_total{limit=\"peer_uploads_of_one_stripe\"}"), 1);
  pair.drop(holder);
}

// A request that waits for a slot gets it when the holder leaves: giving a call up frees its slot.
TEST_P(PairTest, WaitsForASlot) {
  auto given = options();
  given.service.upload_slots = 1;
  given.service.slot_wait = milliseconds(30'000);
  Pair pair(given);
  const Stripes stripes(pair);
  Collector first;
  auto holder = pair.ask(stripes.ask(5), first);
  stripes.feed->give("x");
  ASSERT_TRUE(first.wait_for_bytes(1));
  Collector second;
  auto waiting = pair.ask(stripes.ask(3), second);
  while (pair.service->load().waiting == 0) std::this_thread::sleep_for(milliseconds(1));
  pair.drop(holder);
  ASSERT_TRUE(stripes.feed->wait_until_closed());
  ASSERT_TRUE(second.wait_done());
  EXPECT_TRUE(*second.outcome);
  EXPECT_FALSE(first.outcome) << "called back after its end";
  pair.drop(waiting);
}

// Who holds a slot and does not take what is there loses it to others, and is cut when it goes on. A stripe that is
// still arriving keeps its slot, however long nothing comes.
TEST_P(PairTest, WhoTakesTooLittleLosesItsSlot) {
  auto given = with_one_slot(options());
  given.service.upload_slots = 2;
  given.service.upload_stall = milliseconds(500);
  given.http.stream_window_bytes = 64 * 1024;
  Pair pair(given);
  const Stripes stripes(pair);
  Collector arriving;
  auto patient = pair.ask(stripes.ask(5), arriving);
  ASSERT_TRUE(stays_under_way(stripes, arriving));
  Collector slow(0);
  auto stopped = pair.ask(stripes.ask(3), slow);
  const auto hits = [&] {
    return counter(pair.server_side.metrics_, "oxbow_limit_hits_total{limit=\"peer_upload_stall\"}");
  };
  const auto end = std::chrono::steady_clock::now() + kPairPatience;
  while (hits() < 1 && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(pair.service->load(), (Load{.used = 1, .slots = 2, .waiting = 0}));

  Collector other;
  auto served = pair.ask(stripes.ask(3), other);
  ASSERT_TRUE(other.wait_done());
  EXPECT_TRUE(*other.outcome);
  slow.open_room();
  pair.on_loop([&] { stopped->resume(); });
  ASSERT_TRUE(slow.wait_done());
  ASSERT_FALSE(*slow.outcome);
  EXPECT_EQ(slow.outcome->error().code(), Errc::kUnavailable);
  stripes.feed->give(stripes.whole.substr(1));
  ASSERT_TRUE(arriving.wait_done());
  EXPECT_TRUE(*arriving.outcome);
  EXPECT_EQ(hits(), 1);
  pair.drop(patient);
  pair.drop(stopped);
  pair.drop(served);
}

// An asker that takes nothing stops the sender: what is on its way stays bounded, and all comes once it takes again.
TEST_P(PairTest, BackPressure) {
  auto given = options();
  given.http.stream_window_bytes = 256 * 1024;
  Pair pair(given);
  const Stripes stripes(pair, 4'096 * kMiB);  // stripes of 8 MiB
  Collector sink(0);
  auto call = pair.ask(stripes.ask(3), sink);
  // Another call on the same connection is not held up by it.
  Collector other;
  auto second = pair.ask(stripes.ask(3, stripes.whole.size() - 100), other);
  ASSERT_TRUE(other.wait_done());
  const auto sent = counter(pair.server_side.metrics_, "oxbow_peer_bytes_total{direction=\"out\"}");
  EXPECT_LT(sent, 4.0 * kMiB);
  sink.open_room();
  pair.on_loop([&] { call->resume(); });
  ASSERT_TRUE(sink.wait_done());
  EXPECT_TRUE(*sink.outcome);
  EXPECT_EQ(sink.bytes, stripes.whole);
  pair.drop(call);
  pair.drop(second);
}

// A limited rate holds pieces back and still delivers every byte.
TEST_P(PairTest, LimitedRate) {
  auto given = options();
  given.service.upload_bandwidth = 8 * kMiB;
  Pair pair(given);
  const Stripes stripes(pair);
  Collector sink;
  auto call = pair.ask(stripes.ask(3), sink);
  ASSERT_TRUE(sink.wait_done());
  EXPECT_TRUE(*sink.outcome);
  EXPECT_EQ(sink.bytes, stripes.whole);
  EXPECT_GT(counter(pair.server_side.metrics_, "oxbow_limit_hits_total{limit=\"peer_upload_bandwidth\"}"), 0);
  pair.drop(call);
}

// Along a path: the path travels, and its end without the right to fetch says so as kNotFound. A peer that takes longer
// than the deadline for its first word is kTimeout.
TEST_P(PairTest, AlongAPath) {
  Pair pair(options());
  const Stripes stripes(pair);
  auto ask = stripes.ask(4);
  ask.path = {"node-1", "node-2"};
  ask.along = true;
  ask.client = "node-9";
  ask.wants = 3;
  Collector sink;
  auto call = pair.ask(ask, sink);
  ASSERT_TRUE(sink.wait_done());
  EXPECT_EQ(sink.outcome->error().code(), Errc::kNotFound);
  EXPECT_TRUE(sink.lease);
  EXPECT_EQ(pair.content.last_ask.path, ask.path);
  EXPECT_EQ(pair.content.last_ask.client, "node-9");
  EXPECT_EQ(pair.content.last_ask.wants, 3U);
  pair.drop(call);
  ask.path = {};
  ask.deadline = milliseconds(50);
  pair.content.along_takes = milliseconds(2'000);
  Collector late;
  call = pair.ask(ask, late);
  ASSERT_TRUE(late.wait_done());
  EXPECT_EQ(late.outcome->error().code(), Errc::kTimeout);
  pair.drop(call);
}

// A request says how long its asker really waits for the answer's head, and no longer.
TEST_P(PairTest, DeadlinesAreWhatIsLeft) {
  Pair pair(options());
  const Stripes stripes(pair);
  const auto expect_said = [&](long most) {
    const std::lock_guard lock(pair.mutex);
    const auto said = std::stol(std::string(pair.asked.back().headers.find(field::kDeadline).value_or("0")));
    EXPECT_GT(said, 0);
    EXPECT_LE(said, most);
  };
  const auto ask = [&](StripeAsk ask) {
    Collector sink;
    auto call = pair.ask(std::move(ask), sink);
    EXPECT_TRUE(sink.wait_done());
    pair.drop(call);
  };
  ask(stripes.ask(3));
  expect_said(3'000);
  auto hurried = stripes.ask(3);
  hurried.deadline = milliseconds(700);
  ask(hurried);
  expect_said(700);
  hurried.along = true;
  ask(hurried);
  expect_said(700);
  EXPECT_TRUE(pair.run(pair.client->known(pair.server_id(), {"r", "a", "latest", true}, milliseconds(10'000))));
  expect_said(10'000);
  EXPECT_FALSE(pair.run(pair.client->small(pair.server_id(), kDigest, milliseconds(9'000))));
  expect_said(9'000);
}

// The have stream: the whole map, what changes, and its end when the blob is gone.
TEST_P(PairTest, HaveStream) {
  Pair pair(options());
  const Stripes stripes(pair);
  std::mutex mutex;
  std::condition_variable changed;
  HaveMap map;
  std::set<std::uint32_t> arriving;
  std::vector<std::pair<std::uint32_t, std::string>> sums;
  std::optional<Load> load;
  std::optional<Error> why;
  auto call = pair.on_loop([&] {
    return pair.client->watch_have(
        pair.server_id(), kDigest, stripes.blob.have.size(), pair.loop(),
        [&](const HaveUpdate& update) {
          const std::lock_guard lock(mutex);
          if (update.map) map = *update.map;
          for (const auto stripe : update.have) map.set(stripe);
          for (const auto stripe : update.lost) map.clear(stripe);
          arriving.insert(update.arriving.begin(), update.arriving.end());
          sums.insert(sums.end(), update.sums.begin(), update.sums.end());
          if (update.load) load = update.load;
          changed.notify_all();
        },
        [&](Error error) {
          const std::lock_guard lock(mutex);
          why = std::move(error);
          changed.notify_all();
        });
  });
  const auto wait_for = [&](auto condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, kPairPatience, condition);
  };
  ASSERT_TRUE(wait_for([&] { return map.has(3) && load; }));
  pair.content.change(kDigest, [](FakeContent::Blob& blob) {
    blob.have.set(7);
    blob.have.clear(3);
    blob.arriving = {9};
  });
  ASSERT_TRUE(wait_for([&] { return map.has(7) && !map.has(3) && arriving.contains(9); }));
  EXPECT_FALSE(why);
  EXPECT_EQ(sums, (std::vector<std::pair<std::uint32_t, std::string>>{{kFirstHandStripe, kChecksum}}));
  pair.content.change(kDigest, [](FakeContent::Blob& blob) { blob.gone = true; });
  ASSERT_TRUE(wait_for([&] { return why.has_value(); }));
  EXPECT_EQ(why->code(), Errc::kNotFound);
  pair.drop(call);
}

// Have streams have no end, and stripes and announces go by the same connection: only so many are followed of one peer,
// and one that ends makes room.
TEST_P(PairTest, OwnHaveStreamsAreBounded) {
  auto given = options();
  given.have_streams = 1;
  Pair pair(given);
  const Stripes stripes(pair);
  Watch first;
  Watch second;
  Watch third;
  first.open(pair, stripes);
  ASSERT_EQ(first.begun.get_future().wait_for(kPairPatience), std::future_status::ready);
  second.open(pair, stripes);
  auto refused = second.ended.get_future();
  ASSERT_EQ(refused.wait_for(kPairPatience), std::future_status::ready);
  EXPECT_EQ(refused.get().code(), Errc::kLimit);
  EXPECT_EQ(counter(pair.client_side.metrics_, "oxbow_limit_hits_total{limit=\"peer_own_have_streams\"}"), 1);
  EXPECT_EQ(pair.client_side.state("server"), PeerState::kEligible);
  pair.drop(first.call);
  third.open(pair, stripes);
  EXPECT_EQ(third.begun.get_future().wait_for(kPairPatience), std::future_status::ready);
  pair.drop(second.call);
  pair.drop(third.call);
}

// A peer is given its share of the have streams and no more, whatever it follows itself; that is no fault of either.
TEST_P(PairTest, HaveStreamsToOnePeerAreBounded) {
  auto given = options();
  given.service.have_streams_each = 1;
  Pair pair(given);
  const Stripes stripes(pair);
  Watch first;
  Watch second;
  first.open(pair, stripes);
  ASSERT_EQ(first.begun.get_future().wait_for(kPairPatience), std::future_status::ready);
  second.open(pair, stripes);
  auto refused = second.ended.get_future();
  ASSERT_EQ(refused.wait_for(kPairPatience), std::future_status::ready);
  EXPECT_EQ(refused.get().code(), Errc::kBusy);
  EXPECT_EQ(counter(pair.server_side.metrics_, "oxbow_limit_hits_total{limit=\"peer_have_streams_to_one_peer\"}"), 1);
  EXPECT_EQ(pair.client_side.state("server"), PeerState::kEligible);
  pair.drop(first.call);
  pair.drop(second.call);
}

// Draining ends have streams, which would never end by themselves.
TEST_P(PairTest, DrainingEndsHaveStreams) {
  Pair pair(options());
  const Stripes stripes(pair);
  Watch watch;
  watch.open(pair, stripes);
  ASSERT_EQ(watch.begun.get_future().wait_for(kPairPatience), std::future_status::ready);
  pair.service->drain();
  EXPECT_EQ(watch.ended.get_future().wait_for(kPairPatience), std::future_status::ready);
  pair.drop(watch.call);
}

// Announcements reach the coordinator as the member that sent them, in batches where there are too many for one.
TEST_P(PairTest, Announcements) {
  Pair pair(options());
  std::vector<Announce> announces(kMaxAnnounces + 3);
  const auto replies = pair.run(pair.client->announce(pair.server_id(), announces, milliseconds(10'000)));
  ASSERT_TRUE(replies) << replies.error().what();
  EXPECT_EQ(replies->size(), announces.size());
  EXPECT_EQ(replies->front().wanters, pair.server_side.id("client"));
  EXPECT_EQ(pair.announced.size(), announces.size());
}

// A list of midstates is millions of bytes: in one answer it comes once a digest, and none comes any more after the one
// that would not fit. Later ones are not even asked of the coordinator.
TEST(Pairs, MidstatesOfOneAnswerAreBounded) {
  constexpr std::uint32_t kStates = 100'000;
  constexpr std::uint64_t kSize = (kStates + 1) * 8 * kMiB;
  Pair pair;
  pair.midstates = MidstateList{"server", std::vector(kStates, std::string(32, 'm'))};
  std::vector<Announce> announces;
  for (const std::string_view blob : {"one", "one", "two", "three", "four"}) {
    auto& one = announces.emplace_back();
    one.digest = Digest::sha256(blob);
    one.size = kSize;
    one.have = HaveMap(Geometry(kSize).stripes());
  }
  const auto replies = pair.run(pair.client->announce(pair.server_id(), announces, kPairPatience));
  ASSERT_TRUE(replies) << replies.error().what();
  ASSERT_EQ(replies->size(), 5U);
  std::vector<bool> told;
  for (const auto& reply : *replies) told.push_back(reply.midstates.has_value());
  EXPECT_EQ(told, (std::vector<bool>{true, false, true, false, false}));
  std::vector<bool> spared;
  for (const auto& one : pair.announced) spared.push_back(one.know_midstates);
  EXPECT_EQ(spared, (std::vector<bool>{false, true, false, false, true}));
  EXPECT_EQ(counter(pair.server_side.metrics_, "oxbow_limit_hits_total{limit=\"peer_reply_midstates_bytes\"}"), 1);
}

// Facts with and without midstates.
TEST_P(PairTest, Facts) {
  Pair pair(options());
  const Stripes stripes(pair);
  const auto id = pair.server_id();
  const auto plain = pair.run(pair.client->facts(id, kDigest, false, milliseconds(10'000)));
  ASSERT_TRUE(plain) << plain.error().what();
  EXPECT_EQ(plain->have, stripes.blob.have);
  EXPECT_FALSE(plain->midstates);
  const auto more = pair.run(pair.client->facts(id, kDigest, true, milliseconds(10'000)));
  ASSERT_TRUE(more);
  EXPECT_EQ(more->midstates->states.size(), 127U);
  const auto none =
      pair.run(pair.client->facts(id, Digest::sha256(std::string_view("x")), false, milliseconds(10'000)));
  EXPECT_EQ(none.error().code(), Errc::kNotFound);
}

// What a peer knows of a reference, with names that need escapes; whether it may ask upstream travels.
TEST_P(PairTest, Known) {
  Pair pair(options());
  const auto id = pair.server_id();
  const auto tag = pair.run(pair.client->known(id, {"localhost:5000", "a/b c", "latest"}, milliseconds(10'000)));
  ASSERT_TRUE(tag) << tag.error().what();
  EXPECT_EQ(tag->digest, Digest::sha256("localhost:5000|a/b c|latest"));
  EXPECT_EQ(tag->size, 7U);
  EXPECT_TRUE(tag->anonymous);
  EXPECT_FALSE(tag->node);
  EXPECT_EQ(tag->age, milliseconds(1'500));
  EXPECT_EQ(pair.run(pair.client->known(id, {"r", "a", "v1"}, milliseconds(10'000))).error().code(), Errc::kNotFound);
  EXPECT_EQ(pair.run(pair.client->known(id, {"r", "a", "v1", true}, milliseconds(10'000)))->age, milliseconds(0));
  EXPECT_EQ(pair.run(pair.client->known(id, {"r", "a", ""}, milliseconds(10'000))).error().code(), Errc::kInvalid);
}

// Content that is kept whole, with its media type: nothing, little, and what takes a slot; more than 4 MiB is not sent.
TEST_P(PairTest, Small) {
  Pair pair(options());
  const auto id = pair.server_id();
  const auto digest_at = [](int n) { return Digest::sha256(std::to_string(n)); };
  const auto add = [&](int n, std::size_t bytes, std::string type) {
    pair.content.smalls[digest_at(n)] = {std::make_shared<const std::string>(bytes, 'x'), std::move(type)};
  };
  add(1, 0, "");
  add(2, 300, "application/vnd.oci.image.index.v1+json");
  add(3, kMaxSmallBytes, "application/x");
  add(4, kMaxSmallBytes + 1, "application/x");
  const auto small = [&](int n) { return pair.run(pair.client->small(id, digest_at(n), milliseconds(10'000))); };
  EXPECT_EQ(small(1)->bytes, "");
  EXPECT_EQ(small(1)->media_type, "");
  EXPECT_EQ(small(2)->bytes, std::string(300, 'x'));
  EXPECT_EQ(small(2)->media_type, "application/vnd.oci.image.index.v1+json");
  EXPECT_EQ(small(3)->bytes.size(), kMaxSmallBytes);
  EXPECT_EQ(small(4).error().code(), Errc::kNotFound);
  EXPECT_EQ(small(5).error().code(), Errc::kNotFound);
}

// A name that membership does not know may say hello and nothing else; the hello must carry the certificate's name.
TEST_P(PairTest, StrangersMaySayHello) {
  auto given = options();
  given.client_is_member = false;
  Pair pair(given);
  const Stripes stripes(pair);
  const auto id = pair.server_id();
  const auto facts = pair.run(pair.client->facts(id, kDigest, false, milliseconds(10'000)));
  EXPECT_EQ(facts.error().code(), Errc::kDenied);
  const auto hello = pair.run(pair.client->hello(id, hello_of("client"), milliseconds(10'000)));
  ASSERT_TRUE(hello) << hello.error().what();
  EXPECT_EQ(hello->facts.name, "server");
  EXPECT_EQ(hello->facts.incarnation, 42U);
  EXPECT_EQ(pair.greeted, (std::vector<std::string>{"client"}));
  const auto wrong = pair.run(pair.client->hello(id, hello_of("somebody"), milliseconds(10'000)));
  EXPECT_EQ(wrong.error().code(), Errc::kDenied);
}

// A revoked name is refused everything, members and strangers alike.
TEST_P(PairTest, RevokedNamesAreRefused) {
  Pair pair(options());
  const Stripes stripes(pair);
  const auto id = pair.server_id();
  EXPECT_TRUE(pair.run(pair.client->facts(id, kDigest, false, milliseconds(10'000))));
  {
    const std::lock_guard lock(pair.mutex);
    pair.revoked = {"client"};
  }
  EXPECT_EQ(pair.run(pair.client->facts(id, kDigest, false, milliseconds(10'000))).error().code(), Errc::kDenied);
  EXPECT_EQ(pair.run(pair.client->hello(id, hello_of("client"), milliseconds(10'000))).error().code(), Errc::kDenied);
  {
    const std::lock_guard lock(pair.mutex);
    pair.revoked.clear();
  }
  pair.server_side.table_.set_revoked({"client"});
  EXPECT_EQ(pair.run(pair.client->facts(id, kDigest, false, milliseconds(10'000))).error().code(), Errc::kDenied);
}

// To an address whose peer is not known by name: the hello tells the name, and it must be the certificate's.
TEST_P(PairTest, HelloAtAnAddress) {
  Pair pair(options());
  const auto hello = pair.run(pair.client->hello_at(pair.address(), hello_of("client"), milliseconds(10'000)));
  ASSERT_TRUE(hello) << hello.error().what();
  EXPECT_EQ(hello->facts.name, "server");
  const auto nobody = pair.run(pair.client->hello_at("127.0.0.1:1", hello_of("client"), milliseconds(10'000)));
  EXPECT_EQ(nobody.error().code(), Errc::kUnavailable);
}

// When the first address does not answer the next one is tried, within the same call.
TEST_P(PairTest, NextAddress) {
  auto given = options();
  given.addresses = {"127.0.0.1:1", "not an address"};
  Pair pair(given);
  const Stripes stripes(pair);
  Collector sink;
  auto call = pair.ask(stripes.ask(3), sink);
  ASSERT_TRUE(sink.wait_done());
  EXPECT_TRUE(*sink.outcome) << sink.outcome->error().what();
  EXPECT_TRUE(pair.run(pair.client->facts(pair.server_id(), kDigest, false, milliseconds(10'000))));
  pair.drop(call);
}

// A peer whose process is gone costs an error each time, and the table opens its circuit.
TEST_P(PairTest, DeadPeer) {
  Pair pair(options());
  pair.client_side.table_.set_members({member("server", {"127.0.0.1:1"})});
  for (int i = 0; i < 3; ++i) {
    Collector sink;
    auto call = pair.ask(StripeAsk{}, sink);
    ASSERT_TRUE(sink.wait_done());
    EXPECT_EQ(sink.outcome->error().code(), Errc::kUnavailable);
    pair.drop(call);
  }
  EXPECT_EQ(pair.client_side.state("server"), PeerState::kCircuitOpen);
}

// A peer is asked in the newest version that both speak, and where there is none it is only said hello to.
TEST_P(PairTest, VersionsInCommon) {
  Pair pair(options());
  const Stripes stripes(pair);
  const auto id = pair.server_id();
  const auto ask = [&] { return pair.run(pair.client->facts(id, kDigest, false, milliseconds(10'000))); };
  const auto last = [&] {
    const std::lock_guard lock(pair.mutex);
    return pair.asked.back().path;
  };
  auto said = facts("server");
  said.protocol_newest = 2;
  pair.client_side.table_.note_hello(id, said);
  EXPECT_TRUE(ask());
  EXPECT_EQ(last(), "/p2p/v1/blobs/" + kDigest.to_string());

  said.protocol_oldest = 2;
  said.protocol_newest = 3;
  pair.client_side.table_.note_hello(id, said);
  const auto refused = ask();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::kUnavailable);
  Collector sink;
  auto call = pair.ask(stripes.ask(3), sink);
  ASSERT_TRUE(sink.wait_done());
  EXPECT_EQ(sink.outcome->error().code(), Errc::kUnavailable);
  pair.drop(call);
  EXPECT_EQ(last(), "/p2p/v1/blobs/" + kDigest.to_string());
  EXPECT_EQ(pair.client_side.state("server"), PeerState::kIncompatible);
  EXPECT_TRUE(pair.run(pair.client->hello(id, hello_of("client"), milliseconds(10'000))));
  EXPECT_EQ(last(), kHelloPath);
}

// A preheat is asked for, asked about and ended; a node that is full, or has forgotten, says so.
TEST_P(PairTest, Preheats) {
  using What = PeerClient::PreheatCall::What;
  Pair pair(options());
  const PreheatAsk ask{.id = "p1", .registry = "docker.io", .repository = "library/nginx", .digest = kDigest};
  const auto call = [&](What what) {
    return pair.run(pair.client->preheat(pair.server_id(), {.what = what, .ask = ask}, milliseconds(10'000)));
  };
  EXPECT_EQ(call(What::kReport).error().code(), Errc::kNotFound);
  const auto started = call(What::kStart);
  ASSERT_TRUE(started) << started.error().what();
  EXPECT_EQ(started->state, PreheatState::kRunning);
  EXPECT_EQ(pair.preheats.asked, ask);
  EXPECT_EQ(pair.preheats.asked_by, "client");
  EXPECT_EQ(call(What::kReport)->bytes_done, 7U);
  EXPECT_EQ(call(What::kCancel)->state, PreheatState::kCancelled);
  pair.preheats.full = true;
  EXPECT_EQ(call(What::kStart).error().code(), Errc::kBusy);
  Pair stranger([&] {
    auto other = options();
    other.client_is_member = false;
    return other;
  }());
  EXPECT_EQ(
      stranger
          .run(stranger.client->preheat(stranger.server_id(), {.what = What::kStart, .ask = ask}, milliseconds(10'000)))
          .error()
          .code(),
      Errc::kDenied);
  EXPECT_FALSE(stranger.preheats.asked);
}

// After close every call ends with kCancelled, those under way included.
TEST_P(PairTest, Close) {
  Pair pair(options());
  const Stripes stripes(pair);
  Collector sink;
  auto call = pair.ask(stripes.ask(5), sink);
  stripes.feed->give("x");
  ASSERT_TRUE(sink.wait_for_bytes(1));
  pair.client->close();
  ASSERT_TRUE(sink.wait_done());
  EXPECT_EQ(sink.outcome->error().code(), Errc::kCancelled);
  pair.drop(call);
  Collector later;
  call = pair.ask(stripes.ask(3), later);
  ASSERT_TRUE(later.wait_done());
  EXPECT_EQ(later.outcome->error().code(), Errc::kCancelled);
  pair.drop(call);
}

// With TLS a server whose certificate carries another name is not spoken to, and a revoked serial number is refused.
TEST(PairTls, NamesAndSerials) {
  Pair pair({.tls = true});
  pair.client_side.table_.set_members({member("server", {pair.address()}), member("other", {pair.address()})});
  const auto other = pair.client_side.id("other");
  EXPECT_EQ(pair.run(pair.client->hello(other, hello_of("client"), milliseconds(10'000))).error().code(),
            Errc::kDenied);
  const auto listing = tls::ClusterCa(pair.directory / "ca").list();
  ASSERT_TRUE(listing);
  for (const auto& one : listing->index.certificates) {
    const std::lock_guard lock(pair.mutex);
    if (one.identity.name == "client") pair.revoked.insert("serial:" + one.serial);
  }
  EXPECT_EQ(pair.run(pair.client->hello(pair.server_id(), hello_of("client"), milliseconds(10'000))).error().code(),
            Errc::kDenied);
}

// A peer whose certificate expires while its connection stands is refused as one that was revoked, and its have streams
// end.
TEST(PairTls, StandingPeersExpire) {
  Pair pair({.tls = true});
  const Stripes stripes(pair);
  const auto ask = [&] { return pair.run(pair.client->facts(pair.server_id(), kDigest, false, milliseconds(10'000))); };
  Watch watch;
  watch.open(pair, stripes);
  ASSERT_EQ(watch.begun.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_TRUE(ask());
  pair.clock.ahead = std::chrono::hours(6 * 24);
  const auto refused = ask();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().what(), "the peer does not take this node for a member");
  EXPECT_EQ(watch.ended.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  pair.clock.ahead = std::chrono::hours(0);
  EXPECT_TRUE(ask());
  pair.drop(watch.call);
}

// So is one whose CA is dropped from the server's file.
TEST(PairTls, StandingPeersGoWithTheirCa) {
  Pair pair({.tls = true});
  const Stripes stripes(pair);
  const auto ask = [&] { return pair.run(pair.client->facts(pair.server_id(), kDigest, false, milliseconds(10'000))); };
  EXPECT_TRUE(ask());
  tls::ClusterCa other(pair.directory / "other-ca");
  ASSERT_TRUE(other.create("test", 10, std::chrono::floor<std::chrono::seconds>(pair.clock.wall())));
  std::filesystem::rename(pair.directory / "other-ca" / "ca.crt", pair.server_ca);
  auto last = ask();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (last && std::chrono::steady_clock::now() < end) last = ask();  // the files are looked at once a second
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().what(), "the peer does not take this node for a member");
}

}  // namespace
}  // namespace oxbow::p2p::test
