// The client's end of one HTTP/2 connection without I/O (RFC 9113, by nghttp2): calls in, frames out; bytes in, calls'
// sinks are told. The connection's window is given back at once and a stream's as its sink takes bytes, so that
// the connection never stands still for one slow sink. nghttp2 sends WINDOW_UPDATE for half a window at a time.
// Thread rule: the connection's loop. Lifetime: `wake` outlives it; calls are detached when it goes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/http/client_call.h"
#include "core/http/out_queue.h"

struct nghttp2_session;

namespace oxbow::http {

class ClientSession {
 public:
  struct Limits {
    std::uint32_t stream_window_bytes = 8U * 1024 * 1024;
    std::uint32_t connection_window_bytes = 32U * 1024 * 1024;
    std::uint32_t frame_bytes = 256U * 1024;
    std::uint32_t streams = 128;
    std::size_t header_bytes = 64UL * 1024;
    std::size_t fields = 1'000;
  };
  using Calls = std::vector<std::shared_ptr<CallState>>;

  /// `wake`: there is something to `produce`.
  ClientSession(Limits limits, std::string scheme, std::string authority, std::function<void()> wake);
  ~ClientSession();
  ClientSession(const ClientSession&) = delete;

  /// Fewer streams than we and the server allow, and the connection is not ending.
  bool can_start() const;
  /// False when the connection takes no more calls: it must be drained.
  bool start(const std::shared_ptr<CallState>& call);
  void consume(CallState& call, std::size_t bytes);
  void cancel(CallState& call);
  /// The call has been told its outcome.
  void release(CallState& call);

  /// False: the connection is broken; what `produce` still gives (GOAWAY) may be sent.
  bool feed(std::string_view bytes);
  bool produce(OutQueue& out, std::size_t limit);
  void ping();
  /// GOAWAY: calls that run finish.
  void drain();

  /// Calls that the server has not processed and that may be tried again elsewhere.
  Calls take_unprocessed() { return std::exchange(unprocessed_, {}); }
  /// Detaches all calls.
  Calls take_all();

  /// The server's SETTINGS have come.
  bool ready() const noexcept { return ready_; }
  bool draining() const noexcept { return draining_; }
  bool finished() const;
  std::size_t active() const noexcept { return calls_.size(); }
  /// Why the connection broke.
  const std::string& failure() const noexcept { return failure_; }

 private:
  struct Callbacks;

  void finish_head(CallState& call);
  void stream_failed(const std::shared_ptr<CallState>& call, std::uint32_t code);
  void forget(CallState& call);

  const Limits limits_;
  const std::string scheme_;
  const std::string authority_;
  const std::function<void()> wake_;
  nghttp2_session* session_ = nullptr;
  /// By stream; a call stays while its stream lives or bytes are held for it.
  std::unordered_map<std::int32_t, std::shared_ptr<CallState>> calls_;
  Calls unprocessed_;
  std::string failure_;
  bool ready_ = false;
  bool draining_ = false;
};

}  // namespace oxbow::http
