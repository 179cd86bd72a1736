#include "mirror/doctor/real_system.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/tls/safe_files.h"

namespace oxbow::mirror::doctor {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxFileBytes = 4UL << 20;

/// The magic numbers of statfs(2).
std::string type_name(std::int64_t magic) {
  struct Known {
    std::int64_t magic;
    const char* name;
  };
  constexpr std::array kKnown{Known{0xEF53, "ext4"},        Known{0x58465342, "xfs"},   Known{0x9123683E, "btrfs"},
                              Known{0x2FC12FC1, "zfs"},     Known{0x01021994, "tmpfs"}, Known{0x858458F6, "ramfs"},
                              Known{0x6969, "nfs"},         Known{0xFF534D42, "cifs"},  Known{0xFE534D42, "smb2"},
                              Known{0x65735546, "fuse"},    Known{0x01021997, "9p"},    Known{0x794C7630, "overlay"},
                              Known{0xF2F52010, "f2fs"},    Known{0x00C36400, "ceph"},  Known{0x4D44, "vfat"},
                              Known{0x73717368, "squashfs"}};
  const auto* found = std::ranges::find(kKnown, magic, &Known::magic);
  return found == kKnown.end() ? std::string() : found->name;
}

}  // namespace

Result<std::string> RealSystem::read(const fs::path& path) const {
  auto text = tls::read_file(path, kMaxFileBytes);
  if (!text || !text->empty()) return text;
  // Files of /proc say that they are empty.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::unexpected(errno_error(errno, "open " + path.string()));
  std::array<char, 16384> part;
  std::string out;
  ssize_t got = 0;
  while (out.size() < kMaxFileBytes && (got = ::read(fd, part.data(), part.size())) > 0)
    out.append(part.data(), static_cast<std::size_t>(got));
  const int error = got < 0 ? errno : 0;
  ::close(fd);
  if (error != 0) return std::unexpected(errno_error(error, "read " + path.string()));
  return out;
}

Result<FileFacts> RealSystem::look(const fs::path& path) const {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return std::unexpected(errno_error(errno, path.string()));
  FileFacts out;
  out.kind = S_ISREG(facts.st_mode)   ? FileFacts::Kind::kFile
             : S_ISDIR(facts.st_mode) ? FileFacts::Kind::kDirectory
                                      : FileFacts::Kind::kOther;
  out.mode = facts.st_mode & 07777U;
  out.owner = facts.st_uid;
  out.group = facts.st_gid;
  return out;
}

std::vector<std::string> RealSystem::list(const fs::path& directory) const {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
    out.push_back(at->path().filename());
  std::ranges::sort(out);
  return out;
}

std::string RealSystem::link(const fs::path& path) const {
  std::error_code error;
  return fs::read_symlink(path, error).string();
}

Result<DiskFacts> RealSystem::disk(const fs::path& path) const {
  struct statvfs space{};
  struct statfs kind{};
  if (::statvfs(path.c_str(), &space) != 0 || ::statfs(path.c_str(), &kind) != 0)
    return std::unexpected(errno_error(errno, path.string()));
  DiskFacts out;
  out.total_bytes = std::uint64_t{space.f_blocks} * space.f_frsize;
  out.available_bytes = std::uint64_t{space.f_bavail} * space.f_frsize;
  out.inodes = space.f_files;
  out.free_inodes = space.f_favail;
  out.read_only = (space.f_flag & ST_RDONLY) != 0;
  out.type = type_name(static_cast<std::int64_t>(kind.f_type));
  return out;
}

uid_t RealSystem::user() const { return ::geteuid(); }

std::string RealSystem::environment(const std::string& name) const {
  const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nobody changes it
  return value == nullptr ? std::string() : value;
}

std::chrono::sys_seconds RealSystem::now() const {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::optional<bool> RealSystem::clock_is_kept() const {
  timex state{};
  const int said = ::adjtimex(&state);
  if (said < 0) return std::nullopt;
  return said != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
}

int RealSystem::io_uring_errno() const {
  io_uring_params parameters{};
  const auto fd = ::syscall(__NR_io_uring_setup, 4, &parameters);
  if (fd < 0) return errno;
  ::close(static_cast<int>(fd));
  return 0;
}

int RealSystem::bind_errno(const std::string& address) const {
  const auto colon = address.rfind(':');
  auto host = address.substr(0, colon);
  const auto port = static_cast<std::uint16_t>(std::strtoul(address.c_str() + colon + 1, nullptr, 10));
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  const bool is_v6 = host.starts_with('[');
  if (is_v6) host = host.substr(1, host.size() - 2);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  const int parsed =
      is_v6 ? ::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) : ::inet_pton(AF_INET, host.c_str(), &v4.sin_addr);
  if (parsed != 1) return EINVAL;
  const int fd = ::socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (is_v6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  const auto* to = is_v6 ? reinterpret_cast<const sockaddr*>(&v6) : reinterpret_cast<const sockaddr*>(&v4);
  const int error = ::bind(fd, to, is_v6 ? sizeof v6 : sizeof v4) == 0 ? 0 : errno;
  ::close(fd);
  return error;
}

}  // namespace oxbow::mirror::doctor
