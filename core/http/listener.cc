#include "core/http/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "core/http/inherited.h"
#include "core/http/unix_socket.h"
#include "core/log.h"

namespace oxbow::http {
namespace {

constexpr int kBacklog = 4096;
constexpr int kAcceptsPerTurn = 64;
constexpr std::string_view kUnix = "unix:";

std::string format_address(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    return fmt::format("[{}]:{}", text.data(), ntohs(v6.sin6_port));
  }
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return fmt::format("{}:{}", text.data(), ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_UNIX) return std::string(kUnix) + reinterpret_cast<const sockaddr_un&>(address).sun_path;
  return "unknown";
}

std::string bound_address(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return format_address(address);
}

template <typename Number>
bool parse_number(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

bool is_loopback(const sockaddr_storage& address) noexcept {
  constexpr std::uint32_t kLoopbackNet = 127;
  if (address.ss_family == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24 == kLoopbackNet;
  }
  if (address.ss_family != AF_INET6) return false;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == kLoopbackNet);
}

/// BBR, where it is the machine's default, paces by a timer for every few packets. On loopback there is nothing to pace
/// for, and the timers cost more than the bytes (docs/decisions/0006-unsent-backlog.md). Accepted sockets inherit it
/// from their listener; on the accepted socket it would come too late, pacing then stays on. Reno is in every kernel
/// and open to every user.
void set_congestion_control(int fd) noexcept {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 || !is_loopback(address)) return;
  constexpr std::string_view kUnpaced = "reno";
  ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, kUnpaced.data(), static_cast<socklen_t>(kUnpaced.size()));
}

Result<BoundSocket> take_over(int fd, const std::string& address) {
  const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (own < 0) return std::unexpected(errno_error(errno, address));
  ::fcntl(own, F_SETFL, ::fcntl(own, F_GETFL) | O_NONBLOCK);
  set_congestion_control(own);
  return BoundSocket{own, bound_address(own), nullptr};
}

Result<BoundSocket> inherited(const std::string& address) {
  int fd = -1;
  if (!parse_number(std::string_view(address).substr(3), fd) || fd < 0) {
    return fail(Errc::kInvalid, fmt::format("\"{}\" is not an inherited socket; write for example \"fd:3\"", address));
  }
  int listening = 0;
  socklen_t length = sizeof listening;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0 || listening == 0) {
    return fail(Errc::kInvalid, fmt::format("{} is not a listening socket", address));
  }
  return take_over(fd, address);
}

Result<socklen_t> parse_address(const std::string& address, sockaddr_storage& out) {
  const auto invalid = [&] {
    return fail(
        Errc::kInvalid,
        fmt::format("\"{}\" is not an address; write for example \"127.0.0.1:5050\" or \"[::1]:5050\"", address));
  };
  const auto colon = address.rfind(':');
  std::uint16_t port = 0;
  if (colon == std::string::npos || !parse_number(std::string_view(address).substr(colon + 1), port)) return invalid();
  auto host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) return invalid();
    return static_cast<socklen_t>(sizeof v6);
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(out);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1) return invalid();
  return static_cast<socklen_t>(sizeof v4);
}

/// Also one that cannot be bound, whose path is too long: then nothing that systemd hands over is it.
sockaddr_storage unix_address(std::string_view path) {
  sockaddr_storage out{};
  auto& address = reinterpret_cast<sockaddr_un&>(out);
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return out;
}

Result<BoundSocket> bind_unix(const std::string& address) {
  const auto path = address.substr(kUnix.size());
  if (const auto held = find_socket(inherited_sockets(), unix_address(path))) return take_over(*held, address);
  auto bound = bind_unix_socket(path, kBacklog);
  if (!bound) return std::unexpected(std::move(bound.error()));
  return BoundSocket{bound->fd, address, std::move(bound->file)};
}

/// A machine without IPv6 lacks even `[::1]`, which is in the defaults: that alone is not to keep it from starting.
bool lacks_ipv6(int error, const sockaddr_storage& address) noexcept {
  if (address.ss_family != AF_INET6 || (error != EAFNOSUPPORT && error != EADDRNOTAVAIL)) return false;
  return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
}

}  // namespace

Result<BoundSocket> bind_address(const std::string& address) {
  if (address.starts_with("fd:")) return inherited(address);
  if (address.starts_with(kUnix)) return bind_unix(address);
  sockaddr_storage storage{};
  const auto length = parse_address(address, storage);
  if (!length) return std::unexpected(length.error());
  if (const auto held = find_socket(inherited_sockets(), storage)) return take_over(*held, address);
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const auto no_ipv6 = [&] { return fail(Errc::kUnsupported, address + ": this machine has no IPv6"); };
  if (fd < 0 && lacks_ipv6(errno, storage)) return no_ipv6();
  if (fd < 0) return std::unexpected(errno_error(errno, "socket for " + address));
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (storage.ss_family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&storage), *length) != 0 || ::listen(fd, kBacklog) != 0) {
    const int error = errno;
    ::close(fd);
    if (lacks_ipv6(error, storage)) return no_ipv6();
    if (error == EADDRINUSE) return fail(Errc::kBusy, fmt::format("listen on {}: the address is in use", address));
    return std::unexpected(errno_error(error, "listen on " + address));
  }
  set_congestion_control(fd);
  return BoundSocket{fd, bound_address(fd), nullptr};
}

Result<> check_inherited(const std::vector<std::string>& addresses) {
  auto unnamed = inherited_sockets();
  for (const auto& address : addresses) {
    sockaddr_storage storage{};
    std::optional<int> named;
    int number = -1;
    if (address.starts_with("fd:")) {
      if (parse_number(std::string_view(address).substr(3), number)) named = number;
    } else if (address.starts_with(kUnix)) {
      named = find_socket(unnamed, unix_address(std::string_view(address).substr(kUnix.size())));
    } else if (parse_address(address, storage)) {
      named = find_socket(unnamed, storage);
    }
    if (named) std::erase(unnamed, *named);
  }
  if (unnamed.empty()) return {};
  return fail(Errc::kInvalid,
              fmt::format("systemd listens on {} for this service, but nobody would serve it; change client.listen, or "
                          "ListenStream= by `systemctl edit oxbow.socket`",
                          bound_address(unnamed.front())));
}

Listener::Listener(int fd, std::vector<std::shared_ptr<Worker>> workers) : fd_(fd), workers_(std::move(workers)) {}

Listener::~Listener() { ::close(fd_); }

void Listener::on_event(std::uint32_t) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    const int fd = ::accept4(fd_, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      hand_over(fd, format_address(peer));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      workers_.front()->context().limits.connections.Increment();
      workers_.front()->evict_idle();
    }
    if (errno != ECONNABORTED && errno != EINTR) return;
  }
}

void Listener::hand_over(int fd, std::string remote) {
  auto& context = workers_.front()->context();
  const auto& limits = context.config.limits;
  if (context.connections.load() >= limits.connections) {
    context.limits.connections.Increment();
    // Somebody idle makes room; who is served is not disturbed.
    if (!workers_.front()->evict_idle()) {
      // The other loops make room for the next ones.
      for (std::size_t i = 1; i < workers_.size(); ++i) {
        asio::post(workers_[i]->loop(), [worker = workers_[i]] { worker->evict_idle(); });
      }
      return refuse(fd);
    }
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ++context.connections;
  const auto& worker = *std::min_element(workers_.begin(), workers_.end(),
                                         [](const auto& a, const auto& b) { return a->load() < b->load(); });
  worker->add_load();
  if (worker == workers_.front()) {
    worker->adopt(fd, std::move(remote));
    return;
  }
  boost::asio::post(worker->loop(),
                    [worker, fd, remote = std::move(remote)]() mutable { worker->adopt(fd, std::move(remote)); });
}

void Listener::refuse(int fd) const {
  if (!workers_.front()->context().tls) {
    constexpr std::string_view kAnswer =
        "HTTP/1.1 503 Service Unavailable\r\nServer: oxbow\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n";
    [[maybe_unused]] const auto sent = ::send(fd, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(fd, SHUT_WR);
  }
  ::close(fd);
}

}  // namespace oxbow::http
