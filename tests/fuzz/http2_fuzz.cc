// Any bytes on an HTTP/2 connection: no crash, never more live streams than allowed, each request well formed and
// answered at most once, queued output bounded, and every body destroyed when the session is.
#include <cstdlib>
#include <deque>
#include <string>

#include "core/http/http2_session.h"

namespace {

using namespace oxbow::http;

constexpr std::size_t kQueueLimit = 64UL * 1024;
int live_bodies = 0;  // counted across one input

void require(bool holds) {
  if (!holds) std::abort();
}

/// What it does is in its seed: memory, waits, ends or cuts.
class SeededBody final : public Body {
 public:
  explicit SeededBody(unsigned seed) : seed_(seed) { ++live_bodies; }
  ~SeededBody() override { --live_bodies; }
  Piece next(std::size_t) override {
    seed_ = seed_ * 1103515245U + 12345U;
    static constexpr char kBytes[3'000] = {};
    switch ((seed_ >> 16) % 8) {
      case 0:
        return Wait{};
      case 1:
        return End{};
      case 2:
        return Cut{oxbow::Error(oxbow::Errc::kIo, "seeded")};
      default:
        return MemoryPiece{{kBytes, (seed_ >> 20) % sizeof kBytes + 1}, nullptr};
    }
  }
  void on_ready(std::move_only_function<void()> wake) override { wake_ = std::move(wake); }

 private:
  unsigned seed_;
  std::move_only_function<void()> wake_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Http2Limits limits{.header_bytes = 2'000,
                           .fields = 20,
                           .body_bytes = 500,
                           .bodies_bytes = 800,
                           .streams = 4,
                           .resets_per_second = 10,
                           .control_frames_per_second = 50};
  const std::size_t step = data[0] + 1U;
  unsigned seed = data[1];
  // The preface is no secret to find; the fuzzer starts behind it.
  std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  bytes.append(reinterpret_cast<const char*>(data) + 2, size - 2);
  {
    std::size_t outcomes = 0;
    Http2Session session(
        limits, true, [] {},
        [&](const Http2Session::Outcome& outcome) {
          ++outcomes;
          require(*outcome.end != '\0');
        });
    std::deque<std::int32_t> unanswered;
    OutQueue out;
    bool open = true;
    for (std::size_t at = 0; at < bytes.size() && open; at += step) {
      open = session.feed(std::string_view(bytes).substr(at, step), Http2Session::Time{});
      for (auto& incoming : session.take_requests()) {
        require(!incoming.request.target.empty());
        require(incoming.request.headers.size() <= limits.fields + 1 &&
                incoming.request.body.size() <= limits.body_bytes);
        unanswered.push_back(incoming.stream);
      }
      // The peer's acknowledgement of our limit may be late; nghttp2 then holds to it as pending.
      require(session.streams() <= limits.streams);
      if (unanswered.size() > 1 || (seed & 1U) != 0) {
        for (; !unanswered.empty(); unanswered.pop_front()) {
          Response response;
          if ((seed & 2U) != 0) response.content_length = seed * 100;
          response.body = std::make_unique<SeededBody>(seed++);
          session.respond(unanswered.front(), std::move(response), "now", Http2Session::Time{});
        }
      }
      if (!session.produce(out, kQueueLimit, Http2Session::Time{})) open = false;
      require(out.bytes() < 2 * kQueueLimit + 256UL * 1024);
      out.clear();
    }
    if ((seed & 4U) != 0) session.drain();
    if ((seed & 8U) != 0) session.cut();
    if ((seed & 16U) != 0) session.reset_stalled(Http2Session::Time{});
    session.produce(out, kQueueLimit, Http2Session::Time{});
  }
  require(live_bodies == 0);
  return 0;
}
