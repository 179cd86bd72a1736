// Listening sockets: binding them, and handing each accepted connection to the least loaded worker.
// Thread rule: `bind_address` from main; a Listener lives on the first worker's loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/http/worker.h"

namespace oxbow::http {

class UnixSocketFile;

struct BoundSocket {
  int fd = -1;
  std::string address;                   ///< with the real port
  std::shared_ptr<UnixSocketFile> file;  ///< of a Unix socket that was bound here
};

/// "127.0.0.1:5050", "[::1]:5050", "unix:/path" (core/http/unix_socket.h) or "fd:3". Non-blocking and listening.
/// Errors: kInvalid, kBusy, kDenied, kIo, kUnsupported (`[::1]` on a machine without IPv6).
/// An address that systemd listens on for this service (core/http/inherited.h) is taken over, not bound again.
/// What a loopback address accepts does not pace its packets, whatever the machine's congestion control.
Result<BoundSocket> bind_address(const std::string& address);

/// systemd accepts connections on what it handed over whether or not it is served: kInvalid, with the address, for a
/// socket that none of `addresses` names, where clients would wait for ever.
Result<> check_inherited(const std::vector<std::string>& addresses);

class Listener final : public EventTarget {
 public:
  /// `workers` outlive it. Takes `fd`.
  Listener(int fd, std::vector<std::shared_ptr<Worker>> workers);
  ~Listener() override;

  void on_event(std::uint32_t events) override;
  int fd() const noexcept { return fd_; }

 private:
  void hand_over(int fd, std::string remote);
  void refuse(int fd) const;

  const int fd_;
  const std::vector<std::shared_ptr<Worker>> workers_;
};

}  // namespace oxbow::http
