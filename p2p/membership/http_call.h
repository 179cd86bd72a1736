// One request at a time over libcurl, blocking, with a wake descriptor beside its sockets: what waits for a server ends
// at once when its thread has to. Connections are kept between calls. Thread rule: one thread at a time. Lifetime: ends
// before the thread that may stop it. Units: milliseconds, bytes.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "p2p/membership/stoppable_thread.h"

namespace oxbow::p2p {

struct TlsFiles {
  std::string ca, certificate, key;  ///< empty: the system's CAs; no client certificate
};

/// Takes a response while it comes.
class CallSink {
 public:
  virtual ~CallSink() = default;
  /// The head is there, and nothing of the body yet.
  virtual void on_head(long) {}
  /// False gives the call up (kCancelled).
  virtual bool on_bytes(long status, std::string_view bytes) = 0;
  /// Between two waits (a wake ends one): how long the next may be; nothing gives the call up (kCancelled).
  virtual std::optional<std::chrono::milliseconds> on_turn() { return std::chrono::milliseconds(60'000); }
};

struct CallRequest {
  std::string url;
  std::string method = "POST";  ///< GET has no body
  std::string body;
  std::vector<std::string> headers;      ///< whole lines
  std::chrono::milliseconds timeout{0};  ///< of the whole exchange; 0: none, a stream that is watched by TCP keep-alive
  bool finish_when_stopping = false;     ///< for what has to be said on the way out
};

class HttpCall {
 public:
  /// `owner`: whose stop ends a call; null: only its timeout does.
  HttpCall(TlsFiles tls, StoppableThread* owner);
  HttpCall(const HttpCall&) = delete;
  HttpCall& operator=(const HttpCall&) = delete;
  ~HttpCall();

  /// The status. Errors: kUnavailable (with a text that is the same for the same cause), kTimeout, kCancelled.
  Result<long> run(const CallRequest& request, CallSink& sink);
  /// Whether the last `run` may have reached a server.
  bool sent() const noexcept { return sent_; }

 private:
  struct Handles;

  const TlsFiles tls_;
  StoppableThread* const owner_;
  std::unique_ptr<Handles> handles_;
  bool sent_ = false;
};

}  // namespace oxbow::p2p
