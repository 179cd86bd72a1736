// The HTTP server: HTTP/1.1 and HTTP/2 on plaintext (h2c by prior knowledge) and TLS (ALPN), one handler interface.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/http/handler.h"
#include "core/metrics.h"
#include "core/task.h"

namespace oxbow::http {

/// PEM files of one server identity. `client_ca` set: clients must show a certificate that it signed.
struct TlsConfig {
  std::string certificate_file;
  std::string key_file;
  std::string client_ca_file;
};

struct ServerLimits {
  std::size_t header_bytes = 96UL * 1024;              ///< 64 KiB of fields and a request line (clients.md row 14)
  std::size_t request_body_bytes = 1UL * 1024 * 1024;  ///< read and dropped up to this; more closes the connection
  std::size_t connections = 16'384;
  /// Headers and kept bodies of all requests of a connection that are still incomplete, together; one with a body of
  /// `request_body_bytes` may always come.
  std::size_t h2_bodies_bytes = 2UL * 1024 * 1024;
  std::uint32_t h2_streams = 128;
  std::uint32_t h2_frame_bytes = 256U * 1024;  ///< at most, also bounded by the peer's SETTINGS_MAX_FRAME_SIZE
  std::uint32_t h2_resets_per_second = 100;    ///< rapid-reset defence: more closes the connection
  std::size_t turn_bytes = 1UL * 1024 * 1024;  ///< fairness: at most this much to one connection before others' turn
  std::size_t unsent_bytes = 256UL * 1024;     ///< TCP_NOTSENT_LOWAT: what an abandoned response has read in vain
  /// The most, once an HTTP/1.1 response has sent `bulk_after_bytes`, or where an HTTP/2 connection is fast enough
  /// (send_rate.h): the client's acknowledgements then pull the packets, which costs the server half as much CPU
  /// (docs/decisions/0006-unsent-backlog.md).
  std::size_t bulk_unsent_bytes = 4UL * 1024 * 1024;
  std::size_t bulk_after_bytes = 1UL * 1024 * 1024;
  std::chrono::milliseconds header_timeout{10'000};  ///< from the first byte of a request to the end of its header;
                                                     ///< on HTTP/2 also between the bytes of a body
  std::chrono::milliseconds idle_timeout{120'000};   ///< between requests
  /// A client that takes no byte for this long is cut; a response on HTTP/2 that it has stopped by a window for so long
  /// is reset, whatever else its connection carries.
  std::chrono::milliseconds send_timeout{120'000};
  std::chrono::milliseconds tls_timeout{10'000};
  std::chrono::milliseconds linger{2'000};  ///< after a cut or refused body: FIN, then drain this long, then close
};

struct ServerConfig {
  std::string name;                 ///< for logs and metric labels: "client", "admin"
  std::vector<std::string> listen;  ///< "127.0.0.1:5050", "[::1]:5050"; port 0 picks one; and those of listener.h
  std::optional<TlsConfig> tls;
  ServerLimits limits;
  bool keep_request_bodies = false;
};

/// Thread rule: `create`, `start`, `drain`, `close` from main; the rest runs on the loops. Lifetime: the loops and the
/// handler outlive it; it is closed before it is destroyed.
class Server {
 public:
  /// Binds, so that a taken port or a bad certificate is known at start. Errors: kInvalid, kBusy (address in use), kIo,
  /// kDenied.
  static Result<std::unique_ptr<Server>> create(ServerConfig config, Loops& loops, Handler& handler,
                                                MetricsRegistry& metrics);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void start();
  /// The bound addresses, with real ports.
  std::vector<std::string> addresses() const;
  std::size_t connections() const noexcept;
  /// Stops accepting, ends idle connections, lets running responses finish for at most `timeout`, then cuts what is
  /// left with FIN. Blocks the calling thread (not a loop) until all connections are gone.
  void drain(std::chrono::milliseconds timeout);

 private:
  struct State;
  explicit Server(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace oxbow::http
