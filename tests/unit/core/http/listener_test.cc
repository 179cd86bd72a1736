#include "core/http/listener.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace oxbow::http {
namespace {

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

std::string congestion_control(int fd) {
  std::array<char, 16> name{};
  socklen_t length = name.size();
  EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), &length), 0);
  return name.data();
}

std::string machine_default() {
  const Socket fresh(::socket(AF_INET, SOCK_STREAM, 0));
  return congestion_control(fresh.fd());
}

/// What a client of 127.0.0.1 gets from this listener.
std::string accepted_from(int listener) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const Socket client(::socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(::connect(client.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  pollfd wait{listener, POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 10'000), 1);
  const Socket accepted(::accept(listener, nullptr, nullptr));
  return congestion_control(accepted.fd());
}

// Proves: a connection over loopback is not paced by the machine's congestion control.
TEST(Listener, LoopbackConnectionsAreNotPaced) {
  const auto bound = bind_address("127.0.0.1:0");
  ASSERT_TRUE(bound);
  const Socket listener(bound->fd);
  EXPECT_EQ(accepted_from(listener.fd()), "reno");
}

// Proves: so is one of an inherited socket, which was listening before it was ours.
TEST(Listener, InheritedLoopbackConnectionsAreNotPaced) {
  const Socket given(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(given.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(given.fd(), 1), 0);
  const auto bound = bind_address(fmt::format("fd:{}", given.fd()));
  ASSERT_TRUE(bound);
  const Socket listener(bound->fd);
  EXPECT_EQ(accepted_from(listener.fd()), "reno");
}

// Proves: an address that other machines reach keeps the congestion control that the machine's owner chose.
TEST(Listener, OtherAddressesKeepTheMachinesChoice) {
  const auto bound = bind_address("0.0.0.0:0");
  ASSERT_TRUE(bound);
  const Socket listener(bound->fd);
  EXPECT_EQ(accepted_from(listener.fd()), machine_default());
}

}  // namespace
}  // namespace oxbow::http
