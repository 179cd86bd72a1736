#include "core/http/http1_parser.h"

#include <gtest/gtest.h>

namespace oxbow::http {
namespace {

using State = Http1Parser::State;

struct Parsed {
  State state;
  int status = 0;
  Request request;
  std::size_t consumed = 0;
};

Parsed parse(std::string_view bytes, Http1Limits limits = {}) {
  Http1Parser parser(limits, true);
  const auto progress = parser.feed(bytes);
  Parsed out{progress.state, parser.status(), {}, progress.consumed};
  if (progress.state == State::kComplete) out.request = parser.take();
  return out;
}

// The parts of a request stand where the handler looks for them.
TEST(Http1Parser, SplitsTargetAndFields) {
  const auto got = parse("GET /v2/a%2Fb/blobs?ns=docker.io&x HTTP/1.1\r\nHost: h\r\nX-Y:  z \r\n\r\nrest");
  ASSERT_EQ(got.state, State::kComplete);
  EXPECT_EQ(got.request.method, Method::kGet);
  EXPECT_EQ(got.request.path, "/v2/a%2Fb/blobs");
  EXPECT_EQ(got.request.query, "ns=docker.io&x");
  EXPECT_EQ(got.request.headers.find("x-y"), "z");
}

// Bytes of the next request are left alone.
TEST(Http1Parser, ConsumesOneRequestOnly) {
  const std::string one = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  EXPECT_EQ(parse(one + one).consumed, one.size());
}

// However the bytes are cut, the same request comes out.
TEST(Http1Parser, AnySplitGivesTheSameRequest) {
  const std::string bytes =
      "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\n...\r\n0\r\nT: "
      "1\r\n\r\n";
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    Http1Parser parser({}, true);
    auto first = parser.feed(std::string_view(bytes).substr(0, cut));
    ASSERT_EQ(first.state, State::kNeedMore) << cut;
    const auto second = parser.feed(std::string_view(bytes).substr(first.consumed));
    ASSERT_EQ(second.state, State::kComplete) << cut;
    const auto request = parser.take();
    EXPECT_EQ(request.body, "hello...");
    EXPECT_FALSE(request.headers.find("T")) << "a trailer is no header field";
  }
}

// Byte by byte too: Beast's parser asserts when the last chunk reaches it in parts.
TEST(Http1Parser, TakesAChunkedBodyByteByByte) {
  const std::string bytes =
      "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n000;e=1\r\nT: 1\r\n\r\n";
  Http1Parser parser({}, true);
  std::string waiting;
  auto state = State::kNeedMore;
  for (const char c : bytes) {
    ASSERT_EQ(state, State::kNeedMore);
    waiting += c;
    const auto progress = parser.feed(waiting);
    waiting.erase(0, progress.consumed);
    state = progress.state;
  }
  EXPECT_EQ(state, State::kComplete);
  EXPECT_EQ(parser.take().body, "hello");
}

// What one reader takes for the end of a request and another does not is refused.
TEST(Http1Parser, RefusesWhatCouldBeSmuggled) {
  const std::string start = "POST / HTTP/1.1\r\nHost: h\r\n";
  const std::vector<std::string> bad{
      start + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      start + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
      start + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      start + "Transfer-Encoding: identity\r\n\r\n",
      start + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
      start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      start + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      start + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
      start + "Content-Length: -1\r\n\r\n",
      start + "Content-Length: +1\r\n\r\na",
      start + "Content-Length: 0x1\r\n\r\na",
      start + "X: a\r\n folded\r\n\r\n",
      start + "X : a\r\n\r\n",
      start + std::string("X: a\0b\r\n\r\n", 10),
      start + "X: a\nY: b\r\n\r\n",
      start + "Host: other\r\n\r\n",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\nHost: h\n\n",
      "GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
      "G@T / HTTP/1.1\r\nHost: h\r\n\r\n",
  };
  for (const auto& bytes : bad) {
    const auto got = parse(bytes);
    EXPECT_EQ(got.state, State::kError) << bytes;
    EXPECT_EQ(got.status, 400) << bytes;
  }
}

// A proxy's form of a target is understood; its authority is the host (RFC 9112, section 3.2.2).
TEST(Http1Parser, TakesThePathOfAnAbsoluteTarget) {
  const auto got = parse("GET http://mirror:5050/v2/?a=1 HTTP/1.1\r\nHost: wrong\r\n\r\n");
  ASSERT_EQ(got.state, State::kComplete);
  EXPECT_EQ(got.request.target, "/v2/?a=1");
  EXPECT_EQ(got.request.path, "/v2/");
  EXPECT_EQ(got.request.headers.find("host"), "mirror:5050");
  EXPECT_EQ(parse("GET http://mirror HTTP/1.1\r\nHost: h\r\n\r\n").request.path, "/");
}

// Each limit has its status: line 414, header 431, body 413, version 505, expectation 417.
TEST(Http1Parser, LimitsAnswerWithTheirStatus) {
  const Http1Limits limits{.header_bytes = 2'000, .target_bytes = 500, .fields = 10, .body_bytes = 100};
  EXPECT_EQ(parse("GET /" + std::string(600, 'a'), limits).status, 414);
  EXPECT_EQ(parse("GET /" + std::string(600, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n", limits).status, 414);
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(2'000, 'a'), limits).status, 431);
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(2'000, 'a') + "\r\n\r\n", limits).status, 431);
  std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 20; ++i) many += "A: b\r\n";
  EXPECT_EQ(parse(many + "\r\n", limits).status, 431);
  EXPECT_EQ(parse("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", limits).status, 413);
  EXPECT_EQ(parse("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n", limits).status, 413);
  EXPECT_EQ(parse("GET / HTTP/2.0\r\nHost: h\r\n\r\n", limits).status, 505);
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", limits).status, 417);
}

// A 64 KiB field, as zstd:chunked pullers send for 1,024 ranges, passes whole.
TEST(Http1Parser, TakesAFieldOfMoreThan64KiB) {
  const std::string range(70'000, '7');
  const auto got = parse("GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=" + range + "\r\n\r\n");
  ASSERT_EQ(got.state, State::kComplete);
  EXPECT_EQ(got.request.headers.find("range")->size(), range.size() + 6);
}

}  // namespace
}  // namespace oxbow::http
