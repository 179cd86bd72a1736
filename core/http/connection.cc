#include "core/http/connection.h"

#include <algorithm>

#include "core/http/http1_connection.h"
#include "core/http/http2_connection.h"
#include "core/log.h"

namespace oxbow::http {
namespace {

/// RFC 9113, section 3.4.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Who has just connected is about to ask, and many clients do not ask again when a new connection ends unanswered.
constexpr std::chrono::milliseconds kFirstRequestInDrain{1'000};

}  // namespace

Connection::Connection(Worker& worker, int fd, SSL* ssl, std::string remote)
    : worker_(worker),
      worker_owner_(worker.shared_from_this()),
      transport_(fd, ssl),
      remote_(std::move(remote)),
      phase_(ssl != nullptr ? Phase::kHandshake : Phase::kDetect),
      deadline_(worker.now() + (ssl != nullptr ? worker.limits().tls_timeout : worker.limits().idle_timeout)) {
  transport_.set_unsent_limit(worker.limits().unsent_bytes);
}

Connection::~Connection() = default;

void Connection::start() { idle_since_ = worker_.now(); }

void Connection::on_event(std::uint32_t events) {
  if (phase_ == Phase::kClosed) return;
  transport_.note_events(events);
  if (transport_.hung_up() && phase_ != Phase::kLinger) {
    close();
    return;
  }
  advance();
}

void Connection::on_turn() {
  scheduled_ = false;
  if (phase_ != Phase::kClosed) advance();
}

void Connection::schedule() {
  if (std::exchange(scheduled_, true)) return;
  worker_.schedule(shared_from_this());
}

void Connection::advance() {
  switch (phase_) {
    case Phase::kHandshake:
      return handshake();
    case Phase::kDetect:
      return detect();
    case Phase::kProtocol:
      return protocol_->run();
    case Phase::kLinger:
      return read_away();
    case Phase::kClosed:
      return;
  }
}

void Connection::handshake() {
  const Io status = transport_.handshake();
  if (status == Io::kBlocked) return;
  if (status != Io::kDone) {
    log::debug("tls handshake failed", {{"remote", remote_}});
    // Not at once: a client that has already sent would get RST in place of the alert that tells it why.
    return linger();
  }
  peer_name_ = transport_.peer_name();
  peer_serial_ = transport_.peer_serial();
  peer_certificate_ = context().tls->client_certificate(transport_.ssl());
  if (transport_.alpn() == "h2") return speak(make_http2(*this), {});
  speak(make_http1(*this), {});
}

void Connection::detect() {
  const auto scratch = worker_.read_scratch();
  const auto got = transport_.read(scratch);
  if (got.status == Io::kClosed) return close();
  if (got.status == Io::kBlocked) return;
  std::string_view bytes(scratch.data(), got.bytes);
  if (!first_bytes_.empty()) {
    first_bytes_.append(bytes);
    bytes = first_bytes_;
  }
  const auto common = std::min(bytes.size(), kHttp2Preface.size());
  if (bytes.substr(0, common) != kHttp2Preface.substr(0, common)) return speak(make_http1(*this), bytes);
  if (common == kHttp2Preface.size()) return speak(make_http2(*this), bytes);
  if (first_bytes_.empty()) {
    first_bytes_ = bytes;
    deadline_ = worker_.now() + limits().header_timeout;
  }
}

void Connection::speak(std::unique_ptr<Protocol> protocol, std::string_view first_bytes) {
  phase_ = Phase::kProtocol;
  protocol_ = std::move(protocol);
  idle_since_ = worker_.now();
  deadline_ = worker_.now() + limits().idle_timeout;
  // HTTP/2 can say which requests it will not answer, HTTP/1.1 only ends: its first request is waited for.
  const bool knows_of_end = !first_bytes.empty() || transport_.alpn() == "h2";
  const std::string kept = first_bytes.data() == first_bytes_.data() ? std::exchange(first_bytes_, {}) : std::string();
  protocol_->start(kept.empty() ? first_bytes : std::string_view(kept));
  if (!worker_.draining() || phase_ != Phase::kProtocol) return;
  if (knows_of_end) return protocol_->drain();
  expect_first_request();
}

void Connection::expect_first_request() { deadline_ = std::min(deadline_, worker_.now() + kFirstRequestInDrain); }

void Connection::on_deadline() {
  if (phase_ == Phase::kClosed) return;
  deadline_ = kNever;
  switch (phase_) {
    case Phase::kHandshake:
      context().limits.tls_timeout.Increment();
      return close();
    case Phase::kDetect:
      if (!worker_.draining())
        (first_bytes_.empty() ? context().limits.idle_timeout : context().limits.header_timeout).Increment();
      return linger();
    case Phase::kProtocol:
      return protocol_->on_deadline();
    case Phase::kLinger:
      context().limits.linger.Increment();
      return close();
    case Phase::kClosed:
      return;
  }
}

void Connection::drain() {
  switch (phase_) {
    case Phase::kHandshake:
    case Phase::kDetect:
      return expect_first_request();
    case Phase::kProtocol:
      return protocol_->drain();
    case Phase::kLinger:
    case Phase::kClosed:
      return;
  }
}

void Connection::cut() {
  switch (phase_) {
    case Phase::kHandshake:
      return close();
    case Phase::kDetect:
      return linger();
    case Phase::kProtocol:
      return protocol_->cut();
    case Phase::kLinger:
    case Phase::kClosed:
      return;
  }
}

void Connection::linger() {
  if (phase_ == Phase::kClosed || phase_ == Phase::kLinger) return;
  transport_.finish_writing();
  phase_ = Phase::kLinger;
  deadline_ = worker_.now() + limits().linger;
  if (protocol_) protocol_->abandon();
  read_away();
}

void Connection::read_away() {
  switch (transport_.discard(worker_.read_scratch())) {
    case Io::kBlocked:
      return;
    case Io::kDone:
      return schedule();  // a client that sends without end waits for its turns
    default:
      return close();
  }
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  const auto self = shared_from_this();
  phase_ = Phase::kClosed;
  deadline_ = kNever;
  transport_.close();
  worker_.forget(*this);
  // The protocol is left to the destructor: its own function may be running.
  if (protocol_) protocol_->abandon();
}

}  // namespace oxbow::http
