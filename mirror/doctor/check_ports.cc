// The addresses that the daemon listens on: held by it, or free for it.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "core/error.h"
#include "mirror/doctor/checks.h"

namespace oxbow::mirror::doctor {
namespace {

bool is_ours(const Subject& subject, const AskedPort& port) {
  if (std::ranges::any_of(port.use.holders, &Holder::is_oxbow)) return true;
  const auto& daemon = subject.daemon;
  const auto& reply = port.key == "client.listen" ? daemon.client : daemon.status;
  const bool speaks = reply && reply->answered() && reply->header("server") == "oxbow";
  if (port.use.holders.empty()) return speaks;  // not to be seen by this user
  return std::ranges::all_of(port.use.holders, &Holder::is_init);
}

std::string id_of(const AskedPort& port) { return "ports." + port.key.substr(0, port.key.find('.')); }

void held(const Subject& subject, const AskedPort& port, Findings& out) {
  const auto& holders = port.use.holders;
  if (is_ours(subject, port)) {
    const bool waits = std::ranges::all_of(holders, &Holder::is_init) && !holders.empty();
    return out.ok(id_of(port), fmt::format("{} {} is held by {}", port.key, port.address,
                                           waits ? "systemd, for oxbow.service" : "oxbow"));
  }
  if (holders.empty()) {
    return out.fail("ports.taken",
                    fmt::format("{} {} is held by a process that this user may not see", port.key, port.address),
                    "The daemon cannot start while another program has its address.",
                    fmt::format("sudo ss -ltnp 'sport = :{}'", port.address.substr(port.address.rfind(':') + 1)));
  }
  const auto& holder = holders.front();
  out.fail("ports.taken",
           fmt::format("{} {} is held by {} (process {})", port.key, port.address, holder.name, holder.pid),
           "The daemon cannot start while another program has its address.",
           fmt::format("stop process {}, or give {} another address in oxbow.toml{}", holder.pid, port.key,
                       port.key == "client.listen" ? " and run oxbow install again" : ""));
}

void free(const Subject& subject, const AskedPort& port, Findings& out) {
  const int error = subject.system.bind_errno(port.address);
  const bool runs = subject.daemon.pid || subject.daemon.answers();
  const bool second_loopback = port.address.starts_with("[::1]");
  if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT) {
    if (second_loopback) return out.ok(id_of(port), port.address + " is left out: this machine has no IPv6");
    return out.fail("ports.address", fmt::format("{} {}: this machine has no such address", port.key, port.address),
                    "The daemon cannot start.",
                    fmt::format("write one of those that `ip -brief address` shows into {}", port.key));
  }
  if (error == EACCES && subject.system.user() != 0) {
    return out.skipped(id_of(port), fmt::format("{} {} is free; a port below 1024 needs rights that this user has not",
                                                port.key, port.address));
  }
  if (error != 0) {
    return out.fail("ports.bind", fmt::format("{} {}: {}", port.key, port.address, errno_error(error, "bind").what()),
                    "The daemon cannot start.", fmt::format("give {} an address that can be had", port.key));
  }
  if (runs) {
    return out.fail("ports.unserved",
                    fmt::format("{} {}: nobody listens, though the daemon runs", port.key, port.address),
                    "It was started with another configuration.", "systemctl restart oxbow");
  }
  out.ok(id_of(port), fmt::format("{} {} is free", port.key, port.address));
}

}  // namespace

void check_ports(const Subject& subject, Findings& out) {
  for (const auto& port : subject.daemon.ports) {
    if (port.use.listening)
      held(subject, port, out);
    else
      free(subject, port, out);
  }
  if (subject.daemon.ports.empty()) out.skipped("ports", "all sockets are inherited: there is no address to look at");
}

}  // namespace oxbow::mirror::doctor
