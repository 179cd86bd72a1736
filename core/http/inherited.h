// Listening sockets that systemd hands over with its socket units (sd_listen_fds(3)), without libsystemd.
// systemd keeps them open while the service restarts, so that connections wait in the kernel and nobody is refused.
// Thread rule: main, at start. Lifetime: the descriptors stay open for the whole process; users of one duplicate it.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <vector>

namespace oxbow::http {

/// Descriptors 3 and up, as many as LISTEN_FDS says, when LISTEN_PID names this process; else none. Child processes
/// do not get them.
std::vector<int> inherited_sockets();

/// The one of `sockets` that listens on exactly `address`.
std::optional<int> find_socket(const std::vector<int>& sockets, const sockaddr_storage& address);

}  // namespace oxbow::http
