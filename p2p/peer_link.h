// The way to one peer: its addresses, and the connection to the one that works. Thread rule: everything on its loop but
// the constructor, `loop` and `have_streams`. Lifetime: shared by the client and its calls.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/client.h"
#include "core/task.h"

namespace oxbow::p2p {

struct HostPort {
  std::string host;  ///< without brackets
  std::uint16_t port = 0;
};
/// `10.0.0.7:5051`, `[fd00::7]:5051`, `node-7:5051`. Errors: kInvalid.
Result<HostPort> parse_host_port(std::string_view address);

class PeerLink {
 public:
  /// `name` empty: any name that the CA signed.
  PeerLink(Loop& loop, std::string name, std::vector<std::string> addresses, std::shared_ptr<http::ClientTls> tls,
           http::ClientOptions options);

  Loop& loop() noexcept { return loop_; }
  /// Held by each have stream that is followed by this link: its use count, less this one, is their number.
  const std::shared_ptr<void>& have_streams() const noexcept { return have_streams_; }
  std::size_t addresses() const noexcept { return addresses_.size(); }
  /// Other addresses: the next call opens a connection there, running calls end on the old one.
  void set_addresses(std::vector<std::string> addresses);
  /// To the address of the moment, by the certificate of the moment: once it was renewed the old one may be revoked,
  /// and a connection made by it, which stands, would be refused every request. Running calls end on the old one.
  /// Errors: kUnavailable (no usable address), kCancelled (closed).
  Result<std::shared_ptr<http::ClientConnection>> connection();
  /// `failed` could not connect: the next call tries the next address.
  void move_on(const std::shared_ptr<http::ClientConnection>& failed);
  void close();

 private:
  Loop& loop_;
  const std::string name_;
  const std::shared_ptr<http::ClientTls> tls_;
  const http::ClientOptions options_;
  std::vector<std::string> addresses_;
  std::size_t current_ = 0;
  std::shared_ptr<http::ClientConnection> connection_;
  std::shared_ptr<const void> identity_;  ///< by which it was made
  std::chrono::steady_clock::time_point identity_checked_{};
  bool closed_ = false;
  const std::shared_ptr<void> have_streams_ = std::make_shared<char>();
};

/// Decides whether a call that failed before its head is made again: each address once, and once more when it was the
/// break of a connection that had stood before. Thread rule: one thread.
class Attempts {
 public:
  /// Before each attempt.
  void begin(bool connected) noexcept { was_connected_ = connected; }
  /// After one that failed.
  bool again(PeerLink& link, const std::shared_ptr<http::ClientConnection>& connection, const Error& error);

 private:
  bool was_connected_ = false;
  bool reopened_ = false;
  std::size_t addresses_tried_ = 0;
};

}  // namespace oxbow::p2p
