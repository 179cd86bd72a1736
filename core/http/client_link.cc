#include "core/http/client_link.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "core/http/client_tls.h"
#include "core/http/tls_peer.h"

namespace oxbow::http {
namespace {

constexpr std::size_t kTurnBytes = 1UL * 1024 * 1024;
constexpr std::size_t kBatchBytes = 256UL * 1024;
/// Of an address: a round trip around the world.
constexpr std::chrono::milliseconds kShareMin{300};

std::string authority_of(const ClientConnection::Target& target) {
  const bool bare_ipv6 = target.host.contains(':') && !target.host.starts_with('[');
  return bare_ipv6 ? fmt::format("[{}]:{}", target.host, target.port) : fmt::format("{}:{}", target.host, target.port);
}

std::string error_text(int error_number) { return errno_error(error_number, "connect").what(); }

}  // namespace

ClientLink::ClientLink(Loop& loop, ClientConnection::Target target, const ClientOptions& options, Owner& owner)
    : loop_(loop),
      reactor_(ClientReactor::of(loop)),
      target_(std::move(target)),
      options_(options),
      owner_(&owner),
      resolver_(loop),
      timer_(loop) {}

ClientLink::~ClientLink() { close(); }

void ClientLink::open() {
  boost::system::error_code not_literal;
  const auto address = boost::asio::ip::make_address(target_.host, not_literal);
  if (!not_literal) return open_to(Endpoints{{address, target_.port}});
  begin();
  resolver_.async_resolve(target_.host, std::to_string(target_.port),
                          [weak = weak_from_this()](const boost::system::error_code& error, const auto& results) {
                            const auto self = weak.lock();
                            if (!self || self->phase_ != Phase::kConnecting) return;
                            for (const auto& result : results) self->endpoints_.push_back(result.endpoint());
                            self->connect_error_ = error.message();
                            self->connect_next();
                          });
}

void ClientLink::open_to(Endpoints endpoints) {
  begin();
  endpoints_ = std::move(endpoints);
  asio::post(loop_, [weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && self->phase_ == Phase::kConnecting) self->connect_next();
  });
}

void ClientLink::begin() {
  phase_ = Phase::kConnecting;
  connect_deadline_ = share_deadline_ = std::chrono::steady_clock::now() + options_.connect_timeout;
  arm_timer();
}

void ClientLink::connect_next() {
  while (endpoint_ < endpoints_.size()) {
    const auto& endpoint = endpoints_[endpoint_++];
    const int fd = ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      connect_error_ = error_text(errno);
      continue;
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 && errno != EINPROGRESS) {
      connect_error_ = error_text(errno);
      ::close(fd);
      continue;
    }
    SSL* ssl = target_.tls ? target_.tls->new_session() : nullptr;
    transport_ = std::make_unique<Transport>(fd, ssl);
    if ((!target_.tls || ssl != nullptr) && reactor_.watch(fd, *this)) return start_share();
    transport_.reset();
    connect_error_ = "out of descriptors or memory";
  }
  fail({Errc::kUnavailable, fmt::format("connect to {}: {}{}", authority_of(target_), connect_error_, silence_)});
}

/// Of what is left, with the endpoints to come; the last one has all of it. Ours until TCP stands and no longer: the
/// kernel answers SYN at once, while a handshake waits for a busy daemon.
void ClientLink::start_share() {
  const auto now = std::chrono::steady_clock::now();
  const auto untried = static_cast<Time::rep>(endpoints_.size() - endpoint_);
  const auto left = connect_deadline_ - now;
  share_ = std::min(left, std::max<Time::duration>(left / (untried + 1), kShareMin));
  share_deadline_ = now + share_;
  arm_timer();
}

void ClientLink::end_share() {
  silence_ = fmt::format("; {}: no answer within {} ms", endpoints_[endpoint_ - 1].address().to_string(),
                         std::chrono::round<std::chrono::milliseconds>(share_).count());
  release_socket();
  connect_next();
}

void ClientLink::on_event(std::uint32_t events) {
  if (phase_ == Phase::kClosed) return;
  transport_->note_events(events);
  run();
}

void ClientLink::schedule() {
  if (will_write_ || phase_ != Phase::kOpen || std::exchange(scheduled_, true)) return;
  asio::post(loop_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->scheduled_ = false;
    self->run();
  });
}

void ClientLink::run() {
  if (running_) return;
  const auto self = shared_from_this();
  running_ = true;
  if (phase_ == Phase::kConnecting) on_connected();
  if (phase_ == Phase::kHandshake) shake_hands();
  if (phase_ == Phase::kOpen) turn();
  running_ = false;
}

void ClientLink::on_connected() {
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(transport_->fd(), SOL_SOCKET, SO_ERROR, &error, &length);
  sockaddr_storage peer{};
  socklen_t peer_length = sizeof peer;
  if (error == 0 && ::getpeername(transport_->fd(), reinterpret_cast<sockaddr*>(&peer), &peer_length) == 0) {
    if (!target_.tls) return speak();
    phase_ = Phase::kHandshake;
    return;
  }
  if (error == 0) return;  // still on its way
  connect_error_ = error_text(error);
  release_socket();
  connect_next();
}

void ClientLink::shake_hands() {
  const Io status = transport_->handshake();
  if (status == Io::kBlocked) return;
  if (status != Io::kDone) return fail_transport();
  if (auto checked = target_.tls->check_server(transport_->ssl(), transport_->alpn(), target_.expected_name);
      !checked) {
    return fail(std::move(checked.error()).in(authority_of(target_)));
  }
  peer_name_ = transport_->peer_name();
  certificate_ = target_.tls->server_certificate(transport_->ssl());
  speak();
}

void ClientLink::speak() {
  phase_ = Phase::kOpen;
  heard_ = idle_since_ = std::chrono::steady_clock::now();
  session_ =
      std::make_unique<ClientSession>(ClientSession::Limits{.stream_window_bytes = options_.stream_window_bytes,
                                                            .connection_window_bytes = options_.connection_window_bytes,
                                                            .frame_bytes = options_.frame_bytes,
                                                            .streams = options_.streams},
                                      target_.tls ? "https" : "http", authority_of(target_), [this] { schedule(); });
  owner_->on_turn(*this);
}

void ClientLink::turn() {
  will_write_ = true;
  bool more = read_turn();
  if (phase_ == Phase::kOpen) owner_->on_turn(*this);
  will_write_ = false;
  if (phase_ != Phase::kOpen) return;
  more |= write_turn();
  if (phase_ != Phase::kOpen) return;
  if (session_->finished() || (session_->draining() && session_->active() == 0 && out_.empty())) {
    const auto& why = session_->failure();
    return fail({Errc::kUnavailable, why.empty() ? "connection closed by the server" : why});
  }
  if (more) schedule();
  arm_timer();
}

/// True when there may be more to read than one turn allows.
bool ClientLink::read_turn() {
  std::size_t taken = 0;
  while (transport_->readable()) {
    if (taken >= kTurnBytes) return true;
    const auto scratch = reactor_.read_scratch();
    const auto got = transport_->read(scratch);
    if (got.status == Io::kBlocked) return false;
    if (got.status != Io::kDone) {
      fail_transport();
      return false;
    }
    taken += got.bytes;
    reactor_.note_bytes(got.bytes);
    heard_ = last_byte_ = std::chrono::steady_clock::now();
    ping_sent_.reset();
    const bool sound = session_->feed({scratch.data(), got.bytes});
    if (phase_ != Phase::kOpen) return false;
    if (!sound) {
      write_turn();
      if (phase_ == Phase::kOpen) fail({Errc::kUnavailable, session_->failure()});
      return false;
    }
  }
  return false;
}

/// True when there is more to write than one turn allows.
bool ClientLink::write_turn() {
  std::size_t budget = kTurnBytes;
  while (budget > 0) {
    if (!transport_->writable()) return false;
    const bool sound = out_.bytes() >= kBatchBytes || session_->produce(out_, kBatchBytes);
    if (phase_ != Phase::kOpen) return false;
    if (!sound) {
      fail({Errc::kUnavailable, "HTTP/2 session failed"});
      return false;
    }
    if (out_.empty()) return false;
    const auto sent = transport_->flush(out_, budget, reactor_.write_scratch());
    budget -= std::min(budget, sent.bytes);
    if (sent.status == Io::kBlocked) return false;
    if (sent.status != Io::kDone) {
      // What the server said before it left is still to be read: an alert, a GOAWAY, whole answers.
      out_.clear();
      return transport_->readable() ? read_turn() : (fail_transport(), false);
    }
  }
  return true;
}

void ClientLink::fail_transport() {
  const auto* ssl = transport_->ssl();
  const auto where = authority_of(target_);
  if (ssl != nullptr && transport_->tls_reason() != 0)
    return fail(tls_failure(ssl, transport_->tls_reason()).in(where));
  const bool said = session_ && !session_->failure().empty();
  fail({Errc::kUnavailable,
        fmt::format("{}: {}", where, said ? session_->failure() : "connection closed by the server")});
}

void ClientLink::fail(Error why) {
  if (phase_ == Phase::kClosed) return;
  const auto self = shared_from_this();
  ClientSession::Calls unprocessed;
  if (session_) unprocessed = session_->take_unprocessed();
  auto* owner = std::exchange(owner_, nullptr);
  auto broken = close();
  if (owner != nullptr) owner->on_closed(*this, std::move(why), std::move(unprocessed), std::move(broken));
}

ClientSession::Calls ClientLink::close() {
  if (phase_ == Phase::kClosed) return {};
  const bool was_open = phase_ == Phase::kOpen;
  phase_ = Phase::kClosed;
  owner_ = nullptr;
  resolver_.cancel();
  timer_.cancel();
  ClientSession::Calls calls;
  if (session_) {
    calls = session_->take_all();
    auto unprocessed = session_->take_unprocessed();
    calls.insert(calls.end(), unprocessed.begin(), unprocessed.end());
  }
  // In the middle of a turn nghttp2 may be running: then only FIN is said.
  if (was_open && !running_) {
    session_->drain();
    if (session_->produce(out_, kBatchBytes)) transport_->flush(out_, kBatchBytes, reactor_.write_scratch());
  }
  if (transport_) transport_->finish_writing();
  release_socket();
  return calls;
}

void ClientLink::release_socket() {
  if (!transport_ || transport_->fd() < 0) return;  // the socket of a failed attempt is gone already
  reactor_.unwatch(transport_->fd(), *this);
  transport_->close();
}

ClientLink::Time ClientLink::next_look() const {
  if (phase_ == Phase::kConnecting) return share_deadline_;
  if (!ready()) return connect_deadline_;
  if (session_->active() == 0) return idle_since_ + options_.idle_timeout;
  return ping_sent_.value_or(heard_) + options_.ping_interval;
}

void ClientLink::arm_timer() {
  const auto now = std::chrono::steady_clock::now();
  const bool idle = !session_ || session_->active() == 0;
  if (idle && !idle_) idle_since_ = now;
  if (!idle && idle_) heard_ = now;  // silence counts from the first call on
  idle_ = idle;
  const auto next = next_look();
  if (next >= armed_for_) return;  // the earlier look arms again
  armed_for_ = next;
  timer_.expires_at(next);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self && self->phase_ != Phase::kClosed) self->on_timer();
  });
}

/// It may be revoked, expire, or be dropped with its CA while the connection lasts.
Result<> ClientLink::check_certificate() const {
  if (auto checked = target_.tls->check_revoked(transport_->ssl()); !checked) return checked;
  return certificate_ ? certificate_->check(std::chrono::system_clock::now()) : Result<>();
}

void ClientLink::on_timer() {
  armed_for_ = Time::max();
  const auto self = shared_from_this();
  const auto now = std::chrono::steady_clock::now();
  if (established() && target_.tls) {
    if (auto checked = check_certificate(); !checked) return fail(std::move(checked.error()).in(authority_of(target_)));
  }
  if (now < next_look()) return arm_timer();
  if (phase_ == Phase::kConnecting && now < connect_deadline_) return end_share();
  if (!ready()) {
    return fail({Errc::kTimeout, fmt::format("connect to {}: no answer within {} ms", authority_of(target_),
                                             options_.connect_timeout.count())});
  }
  if (session_->active() == 0) return fail({Errc::kUnavailable, "idle"});
  if (ping_sent_) return fail({Errc::kUnavailable, fmt::format("{}: no answer to PING", authority_of(target_))});
  session_->ping();
  ping_sent_ = now;
  arm_timer();
  run();
}

}  // namespace oxbow::http
