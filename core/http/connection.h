// One accepted connection from handshake to FIN: it finds out which protocol is spoken, hands the socket's events to
// it, and ends politely: FIN first, then what the client still sends is read away, then close. Thread rule: the
// worker's loop. Lifetime: shared by the worker, by running handlers and by scheduled turns; after `close` it does
// nothing any more.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/http/server_context.h"
#include "core/http/transport.h"
#include "core/http/worker.h"

namespace oxbow::http {

class Connection;

/// HTTP/1.1 or HTTP/2 on a connection. Any call may close the connection; the object lives until the event is over.
class Protocol {
 public:
  virtual ~Protocol() = default;
  /// Bytes read before the protocol was known.
  virtual void start(std::string_view first_bytes) = 0;
  /// The socket became readable or writable, or its turn has come again.
  virtual void run() = 0;
  /// Between requests: may be closed without anybody losing anything.
  virtual bool idle() const = 0;
  virtual void on_deadline() = 0;
  virtual void drain() = 0;
  virtual void cut() = 0;
  /// The connection has closed: bodies are destroyed now.
  virtual void abandon() = 0;
};

class Connection final : public EventTarget, public std::enable_shared_from_this<Connection> {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr Time kNever = Time::max();

  Connection(Worker& worker, int fd, SSL* ssl, std::string remote);
  ~Connection() override;

  void start();
  void on_event(std::uint32_t events) override;
  void on_turn();
  void on_deadline();
  void drain();
  void cut();
  /// At once. Responses that still run are abandoned.
  void close();
  /// FIN, then drain the input for at most `linger`, then close.
  void linger();

  bool closed() const noexcept { return phase_ == Phase::kClosed; }
  bool idle() const { return phase_ == Phase::kProtocol && protocol_->idle(); }
  Time idle_since() const noexcept { return idle_since_; }
  Time deadline() const noexcept { return deadline_; }
  void set_deadline(Time deadline) noexcept { deadline_ = deadline; }
  void set_idle_since(Time since) noexcept { idle_since_ = since; }
  /// Asks for another turn, once.
  void schedule();

  Worker& worker() noexcept { return worker_; }
  ServerContext& context() noexcept { return worker_.context(); }
  const ServerLimits& limits() const noexcept { return worker_.limits(); }
  Transport& transport() noexcept { return transport_; }
  const std::string& remote() const noexcept { return remote_; }
  const std::optional<std::string>& peer_name() const noexcept { return peer_name_; }
  const std::optional<std::string>& peer_serial() const noexcept { return peer_serial_; }
  const std::shared_ptr<PeerCertificate>& peer_certificate() const noexcept { return peer_certificate_; }

 private:
  enum class Phase { kHandshake, kDetect, kProtocol, kLinger, kClosed };

  void advance();
  void handshake();
  void detect();
  void speak(std::unique_ptr<Protocol> protocol, std::string_view first_bytes);
  void expect_first_request();
  void read_away();

  Worker& worker_;
  const std::shared_ptr<Worker> worker_owner_;
  Transport transport_;
  const std::string remote_;
  std::optional<std::string> peer_name_;
  std::optional<std::string> peer_serial_;
  std::shared_ptr<PeerCertificate> peer_certificate_;
  std::unique_ptr<Protocol> protocol_;
  std::string first_bytes_;
  Phase phase_;
  bool scheduled_ = false;
  Time deadline_;
  Time idle_since_{};
};

}  // namespace oxbow::http
