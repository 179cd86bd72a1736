// Any bytes from an HTTP/2 server: no crash; a call gets one head, before its data, and one outcome, last; what a sink
// takes of a call comes in order and without gaps; a cancelled call hears nothing more; only calls without a head are
// called unprocessed; and what is queued for the server stays bounded.
#include <cstdlib>
#include <string>

#include "core/http/client_session.h"

namespace {

using namespace oxbow;
using namespace oxbow::http;

constexpr std::size_t kQueueLimit = 64UL * 1024;

void require(bool holds) {
  if (!holds) std::abort();
}

/// What it takes, and when it gives up, is in its seed.
class SeededSink final : public ClientSink {
 public:
  void on_head(int status, const Headers&) override {
    require(!cancelled && heads++ == 0 && dones == 0 && status >= 200);
    maybe_cancel(13);
  }
  std::size_t on_data(std::span<const std::byte> bytes) override {
    require(!cancelled && heads == 1 && dones == 0 && !bytes.empty());
    if (maybe_cancel(17)) return 0;
    seed = seed * 1103515245U + 12345U;
    return seed % 3 == 0 ? bytes.size() : (seed >> 16U) % bytes.size();
  }
  void on_done(Result<>) override {
    require(!cancelled && dones++ == 0);
    maybe_cancel(2);
  }
  bool maybe_cancel(unsigned one_in) {
    seed = seed * 1103515245U + 12345U;
    if ((seed >> 16U) % one_in != 0) return false;
    cancelled = true;
    call->cancel();
    return true;
  }

  unsigned seed = 0;
  std::shared_ptr<CallState> call;
  int heads = 0;
  int dones = 0;
  bool cancelled = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t step = data[0] + 1U;
  const unsigned seed = data[1];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::array<SeededSink, 4> sinks;
  {
    ClientSession session({.stream_window_bytes = 65'535,
                           .connection_window_bytes = 65'535,
                           .streams = 3,
                           .header_bytes = 2'000,
                           .fields = 20},
                          "http", "peer:1", [] {});
    std::size_t next = 0;
    const auto start = [&] {
      while (next < sinks.size() && session.can_start()) {
        auto& sink = sinks[next];
        sink.seed = seed + static_cast<unsigned>(next);
        ClientRequest request{
            .method = next == 1 ? Method::kHead : Method::kGet, .path = "/", .headers = {}, .body = {}};
        if (next == 2) request.body.assign(100'000, 'b');
        sink.call = std::make_shared<CallState>(std::move(request), sink);
        ++next;
        if (!session.start(sink.call)) sink.call->finish(fail(Errc::kUnavailable, "no stream"));
      }
    };
    OutQueue out;
    start();
    bool open = session.produce(out, kQueueLimit);
    for (std::size_t at = 0; at < bytes.size() && open; at += step) {
      open = session.feed(bytes.substr(at, step));
      for (const auto& call : session.take_unprocessed()) {
        require(!call->head_given && call->live());
        call->finish(fail(Errc::kUnavailable, "unprocessed"));
      }
      start();
      require(session.active() <= 3);
      if ((at / step) % 4 == 3) {
        for (auto& sink : sinks) {
          if (sink.call) sink.call->deliver();
        }
      }
      out.clear();
      if (!session.produce(out, kQueueLimit)) open = false;
      require(out.bytes() < 2 * kQueueLimit);
    }
    for (const auto& call : session.take_all()) call->finish(fail(Errc::kUnavailable, "closed"));
    for (const auto& call : session.take_unprocessed()) call->finish(fail(Errc::kUnavailable, "closed"));
  }
  for (auto& sink : sinks) {
    if (!sink.call) continue;
    for (int i = 0; i < 10'000 && !sink.cancelled && sink.dones == 0; ++i) sink.call->deliver();
    require(sink.cancelled || sink.dones == 1);
    sink.call.reset();
  }
  return 0;
}
