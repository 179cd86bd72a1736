#include "core/sd_notify.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace oxbow {
namespace {

std::string notify_through(const std::string& name) {
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path, sizeof address.sun_path);
  if (name[0] == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), length), 0);
  ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  EXPECT_TRUE(sd_notify("READY=1"));
  ::unsetenv("NOTIFY_SOCKET");
  std::array<char, 64> got{};
  const auto count = ::recv(fd, got.data(), got.size(), MSG_DONTWAIT);
  ::close(fd);
  if (name[0] == '/') ::unlink(name.c_str());
  return {got.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))};
}

// The service manager gets the datagram on a socket in the file system and on an abstract one.
TEST(SdNotify, SendsOneDatagram) {
  const auto unique = std::to_string(::getpid());
  EXPECT_EQ(notify_through("/tmp/oxbow-notify-" + unique), "READY=1");
  EXPECT_EQ(notify_through("@oxbow-notify-" + unique), "READY=1");
}

// Without a service manager, or with a broken address, nothing happens.
TEST(SdNotify, IsQuietWithoutASocket) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_FALSE(sd_notify("READY=1"));
  ::setenv("NOTIFY_SOCKET", "relative", 1);
  EXPECT_FALSE(sd_notify("READY=1"));
  ::setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
  EXPECT_FALSE(sd_notify("READY=1"));
  ::unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace oxbow
