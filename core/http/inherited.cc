#include "core/http/inherited.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace oxbow::http {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
constexpr int kMost = 64;

int number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return 0;
  const std::string_view digits(text);
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc{} && end == digits.data() + digits.size() ? value : 0;
}

bool listens(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

bool same(const sockaddr_storage& left, const sockaddr_storage& right) {
  if (left.ss_family != right.ss_family) return false;
  if (left.ss_family == AF_INET) {
    const auto& a = reinterpret_cast<const sockaddr_in&>(left);
    const auto& b = reinterpret_cast<const sockaddr_in&>(right);
    return a.sin_port == b.sin_port && a.sin_addr.s_addr == b.sin_addr.s_addr;
  }
  if (left.ss_family == AF_UNIX) {
    const auto& a = reinterpret_cast<const sockaddr_un&>(left);
    const auto& b = reinterpret_cast<const sockaddr_un&>(right);
    return std::strncmp(a.sun_path, b.sun_path, sizeof a.sun_path) == 0;
  }
  if (left.ss_family != AF_INET6) return false;
  const auto& a = reinterpret_cast<const sockaddr_in6&>(left);
  const auto& b = reinterpret_cast<const sockaddr_in6&>(right);
  return a.sin6_port == b.sin6_port && std::memcmp(&a.sin6_addr, &b.sin6_addr, sizeof a.sin6_addr) == 0;
}

}  // namespace

std::vector<int> inherited_sockets() {
  std::vector<int> sockets;
  if (number_in("LISTEN_PID") != ::getpid()) return sockets;
  const int count = std::min(number_in("LISTEN_FDS"), kMost);
  for (int fd = kFirst; fd < kFirst + count; ++fd) {
    if (!listens(fd)) continue;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    sockets.push_back(fd);
  }
  return sockets;
}

std::optional<int> find_socket(const std::vector<int>& sockets, const sockaddr_storage& address) {
  for (const int fd : sockets) {
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) == 0 && same(bound, address)) return fd;
  }
  return std::nullopt;
}

}  // namespace oxbow::http
