// An HTTP/2 client for long-lived connections: prior knowledge on plaintext, ALPN `h2` on TLS. One `ClientConnection`
// multiplexes any number of calls; it is always drained, so that one slow reader of a stream holds up nobody else
// (a sink that cannot take bytes now takes fewer and its stream's window closes).
// Thread rule: everything on the connection's loop, but where it says "any thread". Lifetime: a call is cancelled by
// destroying it (RST_STREAM CANCEL); a sink outlives its call and is never called from within `call`.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/error.h"
#include "core/http/handler.h"
#include "core/metrics.h"
#include "core/task.h"

namespace oxbow::http {

/// The client's side of mutual TLS. Files are read again when they change (checked when a connection is opened).
/// Lifetime: shared. Thread rule: any thread.
struct ClientTlsConfig {
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  /// Whether a server's certificate is revoked, by its serial number in the digits of tls::serial_of. Asked after each
  /// handshake, and every `ping_interval` while calls run (with its end and its CA, by the files of then), on the
  /// connection's loop; outlives the connections.
  std::function<bool(const std::string& serial)> revoked = {};
};
class ClientTls;
Result<std::shared_ptr<ClientTls>> make_client_tls(ClientTlsConfig config);

struct ClientOptions {
  std::chrono::milliseconds connect_timeout{1'000};  ///< TCP, TLS and the server's first SETTINGS together
  std::chrono::milliseconds ping_interval{5'000};    ///< of an idle connection with calls; no answer within it: broken
  std::chrono::milliseconds idle_timeout{300'000};   ///< without calls the connection is closed
  std::uint32_t stream_window_bytes = 8U * 1024 * 1024;
  std::uint32_t connection_window_bytes = 32U * 1024 * 1024;
  std::uint32_t frame_bytes = 256U * 1024;  ///< SETTINGS_MAX_FRAME_SIZE that we announce
  /// Calls under way at once, or as many as the server allows, whichever is less; with the stream's window the bound of
  /// what a connection holds for slow sinks.
  std::uint32_t streams = 128;
  std::size_t waiting_calls = 1'024;     ///< for the connection, or for a stream; more: kLimit
  Counter* waiting_calls_hit = nullptr;  ///< counts when that limit is hit; outlives the connection
};

struct ClientRequest {
  Method method = Method::kGet;
  std::string path;  ///< with query
  Headers headers;   ///< lower-case names, without pseudo-header fields
  std::string body;
};

class ClientSink {
 public:
  virtual ~ClientSink() = default;
  virtual void on_head(int status, const Headers& headers) = 0;
  /// Bytes taken. Fewer than given: the rest waits for ClientCall::resume.
  virtual std::size_t on_data(std::span<const std::byte> bytes) = 0;
  /// Once, last. Errors: kUnavailable (not connected, broken, reset), kTimeout (connecting), kDenied (the other's
  /// certificate is not what was expected, or it refused ours), kLimit (too many calls wait, or too large a header),
  /// kCancelled (closed by us).
  virtual void on_done(Result<> outcome) = 0;
};

class ClientCall {
 public:
  virtual ~ClientCall() = default;
  virtual void resume() = 0;
};

class ClientConnection {
 public:
  /// Where to and as whom. `expected_name`: must be among the DNS names of the other's SAN; empty: any name that the CA
  /// signed (then `peer_name` says which). `tls` null: plaintext.
  struct Target {
    std::string host;
    std::uint16_t port = 0;
    std::string expected_name;
    std::shared_ptr<ClientTls> tls;
  };

  /// Opens lazily at the first call and again after a break; calls made meanwhile wait for the connection.
  static std::shared_ptr<ClientConnection> create(Loop& loop, Target target, ClientOptions options);
  virtual ~ClientConnection() = default;

  virtual std::unique_ptr<ClientCall> call(ClientRequest request, ClientSink& sink) = 0;
  /// Ends every call with kCancelled, from the loop and not from within this call; later ones end so at once.
  virtual void close() = 0;
  virtual bool connected() const noexcept = 0;
  /// When the last byte of anything came from the other end; `min()`: none has.
  virtual std::chrono::steady_clock::time_point heard() const noexcept = 0;
  /// The first DNS name of the other's certificate, once connected with TLS.
  virtual std::optional<std::string> peer_name() const = 0;
};

/// How long an exchange waits. An answer that waits behind a busy connection's other bytes is late, and not lost: the
/// wait ends when nothing at all has come for `quiet`, and in any case after `at_most`.
struct Patience {
  std::chrono::milliseconds quiet;
  std::chrono::milliseconds at_most;

  explicit Patience(std::chrono::milliseconds timeout) : quiet(timeout), at_most(timeout) {}
  Patience(std::chrono::milliseconds quiet_for, std::chrono::milliseconds longest)
      : quiet(quiet_for), at_most(longest) {}
};

/// A whole small exchange: the body up to `max_body_bytes` (more: kLimit). Errors: as on_done; kTimeout.
struct WholeClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};
Task<Result<WholeClientResponse>> exchange(std::shared_ptr<ClientConnection> connection, ClientRequest request,
                                           Patience patience, std::size_t max_body_bytes);

}  // namespace oxbow::http
