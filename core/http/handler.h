// What a server calls: Request in, Response out. One interface for HTTP/1.1 and HTTP/2.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/http/body.h"
#include "core/http/headers.h"
#include "core/task.h"

namespace oxbow::http {

class PeerCertificate;

enum class Version { kHttp11, kHttp2 };

/// A request whose header has been read. `target` is origin-form as received; `path` and `query` are its two halves,
/// still percent-encoded. `Host` stands in `headers` for HTTP/2 too (from :authority). Request bodies are read and
/// dropped (up to the server's limit), unless the server is set to keep small ones, which then stand in `body`.
struct Request {
  Method method = Method::kGet;
  std::string method_text;
  std::string target;
  std::string path;
  std::string query;
  Version version = Version::kHttp11;
  bool secure = false;
  Headers headers;
  std::string body;
  /// `ip:port` of the client; a certificate's first DNS name and serial number (hex) where TLS asked for one.
  std::string remote;
  std::optional<std::string> peer_name;
  std::optional<std::string> peer_serial;
  std::shared_ptr<PeerCertificate> peer_certificate;  ///< null without one; a handshake has judged it, long ago maybe
  std::chrono::steady_clock::time_point received{};
};

/// `content_length` is sent exactly; without it and with a body, HTTP/1.1 uses chunked coding and HTTP/2 none is
/// announced. For HEAD give the length the GET would have and no body. Null `body`: an empty one.
struct Response {
  int status = 200;
  Headers headers;
  std::optional<std::uint64_t> content_length;
  std::unique_ptr<Body> body;
  /// Clients are known to leave such a response in the middle (an open-ended range of a lazy reader): little of it is
  /// given to the kernel ahead.
  bool may_be_abandoned = false;

  static Response text(int status, std::string content_type, std::string content);
};

/// Thread rule: `handle` is called on the connection's loop and must stay on it; many run at once. Lifetime: outlives
/// the server. `handle` never throws; its first answer is due within 3 s. A client that goes away
/// while `handle` runs does not cancel it; its response is destroyed unsent.
class Handler {
 public:
  virtual ~Handler() = default;
  virtual Task<Response> handle(Request request) = 0;
};

}  // namespace oxbow::http
