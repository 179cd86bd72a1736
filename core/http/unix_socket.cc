#include "core/http/unix_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace oxbow::http {
namespace {

constexpr mode_t kSocketMode = 0660;
constexpr mode_t kDirectoryMode = 0750;

class Socket {
 public:
  Socket() : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

const sockaddr* general(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

Result<> make_parent(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path().string();
  if (parent.empty() || ::mkdir(parent.c_str(), kDirectoryMode) == 0 || errno == EEXIST) return {};
  return std::unexpected(errno_error(errno, "make the directory " + parent));
}

/// Removes what a dead process left. Its socket refuses connections; a living one's accepts them, or has too many.
Result<> remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat found{};
  if (::lstat(path.c_str(), &found) != 0) return {};
  if (!S_ISSOCK(found.st_mode)) return fail(Errc::kInvalid, path + " is there and is no socket");
  const Socket probe;
  if (probe.fd() < 0) return std::unexpected(errno_error(errno, "socket for " + path));
  if (::connect(probe.fd(), general(address), sizeof address) == 0 || errno == EAGAIN)
    return fail(Errc::kBusy, "a process listens on " + path);
  if (errno != ECONNREFUSED) return std::unexpected(errno_error(errno, "try " + path));
  if (::unlink(path.c_str()) != 0) return std::unexpected(errno_error(errno, "replace " + path));
  return {};
}

}  // namespace

UnixSocketFile::UnixSocketFile(std::string path) : path_(std::move(path)) {
  struct stat made{};
  if (::lstat(path_.c_str(), &made) != 0) return;
  device_ = made.st_dev;
  inode_ = made.st_ino;
}

UnixSocketFile::~UnixSocketFile() {
  struct stat found{};
  if (::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_) ::unlink(path_.c_str());
}

Result<BoundUnixSocket> bind_unix_socket(const std::string& path, int backlog) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(Errc::kInvalid, fmt::format("\"{}\" is no path for a Unix socket: at most {} bytes", path,
                                            sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (auto made = make_parent(path); !made) return std::unexpected(std::move(made.error()));
  if (auto free = remove_stale(path, address); !free) return std::unexpected(std::move(free.error()));
  Socket socket;
  if (socket.fd() < 0) return std::unexpected(errno_error(errno, "socket for " + path));
  // The mode of the descriptor, less the umask, becomes the file's: nobody connects before chmod has widened it.
  ::fchmod(socket.fd(), kSocketMode);
  if (::bind(socket.fd(), general(address), sizeof address) != 0) {
    const int error = errno;
    if (error == EADDRINUSE) return fail(Errc::kBusy, "a process listens on " + path);
    return std::unexpected(errno_error(error, "listen on " + path));
  }
  auto file = std::make_unique<UnixSocketFile>(path);
  if (::chmod(path.c_str(), kSocketMode) != 0 || ::listen(socket.fd(), backlog) != 0)
    return std::unexpected(errno_error(errno, "listen on " + path));
  return BoundUnixSocket{socket.release(), std::move(file)};
}

}  // namespace oxbow::http
