#include "p2p/peer_link.h"

#include <charconv>

#include "core/http/client_tls.h"

namespace oxbow::p2p {
namespace {

constexpr std::chrono::milliseconds kCheckIdentityEvery{1'000};  // three files are looked at

}  // namespace

Result<HostPort> parse_host_port(std::string_view address) {
  const auto wrong = [&] { return fail(Errc::kInvalid, fmt::format("{}: not host:port", address)); };
  const auto colon = address.rfind(':');
  if (colon == address.npos) return wrong();
  auto host = address.substr(0, colon);
  const auto port_text = address.substr(colon + 1);
  if (host.starts_with('[')) {
    if (!host.ends_with(']')) return wrong();
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != host.npos) {
    return wrong();
  }
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (host.empty() || error != std::errc() || end != port_text.data() + port_text.size() || port == 0) return wrong();
  return HostPort{std::string(host), port};
}

PeerLink::PeerLink(Loop& loop, std::string name, std::vector<std::string> addresses,
                   std::shared_ptr<http::ClientTls> tls, http::ClientOptions options)
    : loop_(loop), name_(std::move(name)), tls_(std::move(tls)), options_(options), addresses_(std::move(addresses)) {}

void PeerLink::set_addresses(std::vector<std::string> addresses) {
  if (addresses == addresses_) return;
  addresses_ = std::move(addresses);
  current_ = 0;
  connection_.reset();
}

Result<std::shared_ptr<http::ClientConnection>> PeerLink::connection() {
  if (closed_) return fail(Errc::kCancelled, "the peer client is closed");
  const auto now = std::chrono::steady_clock::now();
  if (tls_ && (!connection_ || now - identity_checked_ >= kCheckIdentityEvery)) {
    identity_checked_ = now;
    auto identity = tls_->identity();
    if (identity != identity_) connection_.reset();
    identity_ = std::move(identity);
  }
  if (connection_) return connection_;
  for (std::size_t i = 0; i < addresses_.size(); ++i) {
    const auto parsed = parse_host_port(addresses_[current_]);
    if (parsed) {
      connection_ = http::ClientConnection::create(
          loop_, {.host = parsed->host, .port = parsed->port, .expected_name = name_, .tls = tls_}, options_);
      return connection_;
    }
    current_ = (current_ + 1) % addresses_.size();
  }
  return fail(Errc::kUnavailable, fmt::format("no usable address of peer {}", name_));
}

void PeerLink::move_on(const std::shared_ptr<http::ClientConnection>& failed) {
  if (connection_ != failed || addresses_.empty()) return;
  current_ = (current_ + 1) % addresses_.size();
  connection_.reset();
}

void PeerLink::close() {
  closed_ = true;
  if (connection_) connection_->close();
  connection_.reset();
}

bool Attempts::again(PeerLink& link, const std::shared_ptr<http::ClientConnection>& connection, const Error& error) {
  const auto code = error.code();
  if (code != Errc::kUnavailable && code != Errc::kTimeout && code != Errc::kDenied) return false;
  if (connection->connected()) return false;  // the peer is there and has refused this call alone
  if (was_connected_) return !std::exchange(reopened_, true);
  link.move_on(connection);
  return ++addresses_tried_ < link.addresses();
}

}  // namespace oxbow::p2p
