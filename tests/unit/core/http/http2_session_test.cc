// What an HTTP/2 session does with frames and time, without a socket.
#include "core/http/http2_session.h"

#include <gtest/gtest.h>

#include "http_client_support.h"

namespace oxbow::http::test {
namespace {

using std::chrono::seconds;
using Time = Http2Session::Time;

constexpr std::uint32_t kNoError = 0, kInternalError = 2, kCancel = 8;

/// HPACK: `:scheme: http`, `:path: /`, `:authority: h`; before it GET or POST from the static table.
const std::string kRest = "\x86\x84\x41\x01h";
/// Of a POST, with 32 bytes for each of its four fields.
constexpr std::size_t kPostHeaderBytes = 11 + 11 + 6 + 11 + 4 * 32;

/// Gives its text, then waits without end.
class QuietBody final : public Body {
 public:
  explicit QuietBody(std::string text) : text_(std::make_shared<const std::string>(std::move(text))) {}
  Piece next(std::size_t) override {
    if (std::exchange(given_, true)) return Wait{};
    return MemoryPiece{*text_, text_};
  }
  void on_ready(std::move_only_function<void()>) override {}

 private:
  const std::shared_ptr<const std::string> text_;
  bool given_ = false;
};

class Http2SessionTest : public testing::Test {
 protected:
  struct Frame {
    std::uint8_t type = 0;
    std::uint32_t stream = 0;
    std::string payload;
  };

  void begin(Http2Limits limits, std::uint32_t window_bytes) {
    session = std::make_unique<Http2Session>(
        limits, true, [] {}, [this](const Http2Session::Outcome& outcome) { outcomes.push_back(outcome); });
    const std::string initial_window_size("\0\4", 2);
    feed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, initial_window_size + u32(window_bytes)));
  }
  void feed(const std::string& bytes) { ASSERT_TRUE(session->feed(bytes, now)); }
  /// A request for `/` that is complete, or one whose body follows.
  void get(std::uint32_t stream) { feed(frame(kHeaders, kEndHeaders | kEndStream, stream, "\x82" + kRest)); }
  void post(std::uint32_t stream) { feed(frame(kHeaders, kEndHeaders, stream, "\x83" + kRest)); }
  void data(std::uint32_t stream, std::size_t bytes, bool end = false) {
    feed(frame(kData, end ? kEndStream : 0, stream, std::string(bytes, 'b')));
  }
  void open_window(std::uint32_t stream, std::uint32_t bytes) { feed(frame(kWindowUpdate, 0, stream, u32(bytes))); }
  void answer(std::int32_t stream, std::unique_ptr<Body> body) {
    Response response;
    response.body = std::move(body);
    session->respond(stream, std::move(response), "now", now);
  }
  /// What the session sends now.
  std::vector<Frame> sent() {
    OutQueue out;
    EXPECT_TRUE(session->produce(out, 1UL << 20, now));
    std::string all;
    for (std::size_t i = 0; i < out.segments(); ++i) all += out.segment(i).memory();
    std::vector<Frame> frames;
    const auto byte = [&](std::size_t at) { return static_cast<std::uint32_t>(static_cast<unsigned char>(all[at])); };
    for (std::size_t at = 0; at + 9 <= all.size();) {
      const std::size_t length = byte(at) << 16U | byte(at + 1) << 8U | byte(at + 2);
      const auto stream = byte(at + 5) << 24U | byte(at + 6) << 16U | byte(at + 7) << 8U | byte(at + 8);
      frames.push_back({static_cast<std::uint8_t>(byte(at + 3)), stream, all.substr(at + 9, length)});
      at += 9 + length;
    }
    return frames;
  }
  /// The streams that were reset with that code.
  static std::vector<std::uint32_t> resets(const std::vector<Frame>& frames, std::uint32_t code) {
    std::vector<std::uint32_t> streams;
    for (const auto& one : frames) {
      if (one.type == kRst && one.payload == u32(code)) streams.push_back(one.stream);
    }
    return streams;
  }
  static std::size_t data_bytes(const std::vector<Frame>& frames) {
    std::size_t bytes = 0;
    for (const auto& one : frames) bytes += one.type == kData ? one.payload.size() : 0;
    return bytes;
  }

  Time now{seconds(1'000)};
  std::vector<Http2Session::Outcome> outcomes;
  std::unique_ptr<Http2Session> session;
};

// A response that its own window has stopped is told of by when it moved last, and can be ended alone: its neighbour,
// which moves, lives on.
TEST_F(Http2SessionTest, AResponseStoppedByItsWindowIsReset) {
  begin({}, 0);
  get(1);
  get(3);
  const auto begun = now;
  answer(1, std::make_unique<StringBody>(std::string(1'000, 'a')));
  answer(3, std::make_unique<StringBody>(std::string(1'000, 'b')));
  open_window(3, 10);
  EXPECT_EQ(data_bytes(sent()), 10U);
  EXPECT_EQ(session->stalled_since(), begun);

  now += seconds(5);
  open_window(3, 10);
  EXPECT_EQ(data_bytes(sent()), 10U);
  EXPECT_EQ(session->stalled_since(), begun);
  EXPECT_EQ(session->reset_stalled(begun - seconds(1)), 0U);
  EXPECT_EQ(session->reset_stalled(begun), 1U);
  EXPECT_EQ(resets(sent(), kInternalError), (std::vector<std::uint32_t>{1}));
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_STREQ(outcomes[0].end, "cut");
  EXPECT_EQ(session->streams(), 1U);
  EXPECT_EQ(session->stalled_since(), now);

  open_window(3, 1'000);
  EXPECT_EQ(data_bytes(sent()), 980U);
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_STREQ(outcomes[1].end, "sent");
}

// A body that has nothing to give is not stopped by anybody, however long it is silent.
TEST_F(Http2SessionTest, ASilentBodyIsNotStalled) {
  begin({}, 1'000);
  get(1);
  answer(1, std::make_unique<QuietBody>("a line"));
  EXPECT_EQ(data_bytes(sent()), 6U);
  now += seconds(1'000);
  EXPECT_EQ(session->stalled_since(), Time::max());
  EXPECT_EQ(session->reset_stalled(now), 0U);
  EXPECT_EQ(session->streams(), 1U);
}

// With the connection's window closed responses take turns: bytes of one are progress of all.
TEST_F(Http2SessionTest, AClosedConnectionWindowStopsAll) {
  begin({}, 1U << 20);
  get(1);
  get(3);
  for (const auto stream : {1, 3}) answer(stream, std::make_unique<StringBody>(std::string(200'000, 'a')));
  EXPECT_EQ(data_bytes(sent()), 65'535U);
  EXPECT_EQ(session->stalled_since(), now);
  now += seconds(5);
  open_window(0, 100);
  EXPECT_EQ(data_bytes(sent()), 100U);
  EXPECT_EQ(session->stalled_since(), now);
  EXPECT_EQ(session->reset_stalled(now - seconds(1)), 0U);
  EXPECT_EQ(session->reset_stalled(now), 2U);
  EXPECT_EQ(resets(sent(), kInternalError).size(), 2U);
  EXPECT_EQ(session->streams(), 0U);
}

// Requests that are still coming share a bound, header and body: who goes beyond it is refused, and what is complete or
// given up makes room.
TEST_F(Http2SessionTest, IncompleteRequestsShareABound) {
  begin({.body_bytes = 100, .bodies_bytes = 3 * kPostHeaderBytes + 150}, 1'000);
  for (const std::uint32_t stream : {1U, 3U, 5U}) {
    post(stream);
    data(stream, 60);
  }
  EXPECT_EQ(resets(sent(), kNoError), (std::vector<std::uint32_t>{5})) << "answered before its body was there";
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].status, 503);
  EXPECT_EQ(session->take_hits().bodies_bytes, 1U);

  data(1, 30, true);
  const auto first = session->take_requests();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].request.body.size(), 90U);
  feed(frame(kRst, 0, 3, u32(kCancel)));
  for (const std::uint32_t stream : {7U, 9U}) {
    post(stream);
    data(stream, 100);
  }
  data(7, 0, true);
  data(9, 0, true);
  EXPECT_EQ(session->take_requests().size(), 2U);
  EXPECT_EQ(session->take_hits().bodies_bytes, 0U);
}

// Headers alone fill it too: a few bytes on the wire may be many in memory.
TEST_F(Http2SessionTest, HeadersOfIncompleteRequestsCount) {
  begin({.body_bytes = 100, .bodies_bytes = 2 * kPostHeaderBytes}, 1'000);
  for (const std::uint32_t stream : {1U, 3U, 5U}) post(stream);
  EXPECT_EQ(resets(sent(), kNoError), (std::vector<std::uint32_t>{5}));
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].status, 503);
  EXPECT_EQ(session->take_hits().bodies_bytes, 1U);
  data(1, 0, true);
  post(7);
  data(7, 0, true);
  EXPECT_EQ(session->take_requests().size(), 2U);
  EXPECT_EQ(session->take_hits().bodies_bytes, 0U);
}

// A body has to go on, and to end: each byte gives it time, up to a bound. Who is late is answered alone.
TEST_F(Http2SessionTest, ALateBodyIsRefused) {
  const Http2Session::RequestTimes times{.header = seconds(10), .body = seconds(25)};
  begin({}, 1'000);
  EXPECT_EQ(session->request_due(times), Time::max());
  post(1);
  post(3);
  const auto begun = now;
  EXPECT_EQ(session->request_due(times), begun + seconds(10));
  for (int i = 0; i < 2; ++i) {
    now += seconds(9);
    data(1, 1);
    if (i == 0) {
      EXPECT_EQ(session->refuse_late(times, now), 0U);
    }
  }
  EXPECT_EQ(session->refuse_late(times, now), 1U);
  EXPECT_EQ(resets(sent(), kNoError), (std::vector<std::uint32_t>{3}));
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].status, 408);
  EXPECT_EQ(session->request_due(times), begun + seconds(25));

  now = begun + seconds(24);
  data(1, 1);
  EXPECT_EQ(session->refuse_late(times, now), 0U);
  now = begun + seconds(25);
  EXPECT_EQ(session->refuse_late(times, now), 1U);
  EXPECT_EQ(session->request_due(times), Time::max());
  sent();
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[1].status, 408);
}

// What stands in the middle of its header holds the whole connection: it is due, and cannot be answered alone.
TEST_F(Http2SessionTest, AHeaderThatStandsStillIsDue) {
  const Http2Session::RequestTimes times{.header = seconds(10), .body = seconds(25)};
  begin({}, 1'000);
  feed(frame(kHeaders, 0, 1, "\x83"));
  EXPECT_EQ(session->request_due(times), now + seconds(10));
  now += seconds(10);
  EXPECT_EQ(session->refuse_late(times, now), 0U);
  EXPECT_EQ(session->request_due(times), now);
}

}  // namespace
}  // namespace oxbow::http::test
