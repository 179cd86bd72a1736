// One connection of a client from look-up to FIN: it connects, shakes hands, moves bytes between the socket and a
// ClientSession, and finds out when the other end is gone: no answer to PING while calls run. The addresses of a name
// are tried in turn: one that swallows packets has its share of `connect_timeout` and no more. Part of the client's
// implementation. Thread rule: the connection's loop. Lifetime: shared with what runs; after `close` it calls nobody.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/http/client_reactor.h"
#include "core/http/client_session.h"
#include "core/http/transport.h"

namespace oxbow::http {

class ClientLink final : public EventTarget, public std::enable_shared_from_this<ClientLink> {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    /// The link has had a turn: calls may be started now, unprocessed ones taken back.
    virtual void on_turn(ClientLink& link) = 0;
    /// The last word. `unprocessed` may be tried again; `broken` not, at least not by us.
    virtual void on_closed(ClientLink& link, Error why, ClientSession::Calls unprocessed,
                           ClientSession::Calls broken) = 0;
  };

  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;

  ClientLink(Loop& loop, ClientConnection::Target target, const ClientOptions& options, Owner& owner);
  ~ClientLink() override;

  void open();
  /// To these, in this order, without a look-up.
  void open_to(Endpoints endpoints);
  /// Says goodbye and closes. The owner is not called; the session's calls are detached and returned.
  ClientSession::Calls close();
  /// Asks for a turn.
  void schedule();

  void on_event(std::uint32_t events) override;

  /// Handshake done, and the server's SETTINGS have come.
  bool ready() const noexcept { return session_ && session_->ready(); }
  bool established() const noexcept { return phase_ == Phase::kOpen; }
  ClientSession& session() noexcept { return *session_; }
  /// When the last byte came; `min()`: none has.
  std::chrono::steady_clock::time_point heard() const noexcept { return last_byte_; }
  const std::optional<std::string>& peer_name() const noexcept { return peer_name_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  enum class Phase { kNew, kConnecting, kHandshake, kOpen, kClosed };

  void begin();
  void connect_next();
  void start_share();
  void end_share();
  void on_connected();
  void shake_hands();
  void speak();
  void run();
  void turn();
  bool read_turn();
  bool write_turn();
  void fail(Error why);
  void fail_transport();
  void release_socket();
  Result<> check_certificate() const;
  void arm_timer();
  void on_timer();
  Time next_look() const;

  Loop& loop_;
  ClientReactor& reactor_;
  const ClientConnection::Target target_;
  const ClientOptions options_;
  Owner* owner_;
  Phase phase_ = Phase::kNew;
  boost::asio::ip::tcp::resolver resolver_;
  Endpoints endpoints_;
  std::size_t endpoint_ = 0;
  std::string connect_error_;
  std::string silence_;  ///< which address did not answer, for the error of the ones after it
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<ClientSession> session_;
  std::optional<std::string> peer_name_;
  std::shared_ptr<PeerCertificate> certificate_;
  OutQueue out_;
  boost::asio::steady_timer timer_;
  Time armed_for_ = Time::max();
  Time connect_deadline_{};
  Time share_deadline_{};  ///< of the current endpoint, until TCP stands
  Time::duration share_{};
  Time heard_{};  ///< silence counts from here
  Time last_byte_ = Time::min();
  Time idle_since_{};
  std::optional<Time> ping_sent_;
  bool idle_ = true;
  bool scheduled_ = false;
  bool running_ = false;
  bool will_write_ = false;  // this turn: a wake-up needs no turn of its own
};

}  // namespace oxbow::http
