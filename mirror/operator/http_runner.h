// HTTP for a command: libcurl's multi interface driven by the one thread of the command, with Ctrl-C in the same wait.
// Thread rule: one thread. Lifetime: the runner outlives its exchanges; the interrupt outlives the runner.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/http/headers.h"
#include "mirror/operator/interrupt.h"

namespace oxbow::mirror {

struct HttpAsk {
  std::string url;
  http::Headers headers = {};
  std::optional<std::string> form = {};  ///< a POST
  /// `sha256//…` of the server's public key: it is known by this instead of by its name.
  std::string pinned_key = {};
  bool direct = true;  ///< without the proxy of the environment, which is no way to this machine
};

struct HttpHead {
  int status = 0;
  http::Headers headers;
};

/// What becomes of one exchange. Called from `HttpRunner::step`.
struct HttpEvents {
  /// Once, before the body; false ends the exchange.
  std::function<bool(const HttpHead&)> on_head;
  /// False ends the exchange.
  std::function<bool(std::span<const std::byte>)> on_data;
  /// Once, last. Errors: kUnavailable (no connection, a body cut short), kTimeout, kCancelled (a function above said
  /// false).
  std::function<void(Result<>)> on_done;
};

/// Destroying it ends the exchange without a further call.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
};

class HttpRunner {
 public:
  struct Limits {
    std::chrono::seconds connect{5};
    std::chrono::seconds no_progress{60};  ///< without a byte for this long: kTimeout
    std::size_t whole_bytes = 8UL * 1024 * 1024;
  };

  explicit HttpRunner(Interrupt& interrupt) : HttpRunner(interrupt, Limits()) {}
  HttpRunner(Interrupt& interrupt, Limits limits);
  ~HttpRunner();
  HttpRunner(const HttpRunner&) = delete;
  HttpRunner& operator=(const HttpRunner&) = delete;

  std::unique_ptr<HttpExchange> start(HttpAsk ask, HttpEvents events);
  /// Waits for something to happen, and calls what is due. Errors: kCancelled (interrupted).
  Result<> step(std::chrono::milliseconds timeout);

  struct Whole {
    HttpHead head;
    std::string body;
  };
  /// One small exchange to its end. Errors: as on_done; kLimit; kCancelled (interrupted).
  Result<Whole> whole(HttpAsk ask);

 private:
  class Exchange;
  struct Multi;

  Interrupt& interrupt_;
  const Limits limits_;
  std::unique_ptr<Multi> multi_;
};

}  // namespace oxbow::mirror
