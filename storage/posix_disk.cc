#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "storage/disk.h"

namespace oxbow::storage {
namespace {

constexpr mode_t kFileMode = 0640;

class PosixDisk final : public Disk {
 public:
  Result<int> open(const std::string& path, std::uint64_t bytes) override {
    int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && (errno == EROFS || errno == EACCES || errno == EPERM)) {
      fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    if (fd < 0) return std::unexpected(errno_error(errno, "open " + path));
    struct stat info{};
    if (::fstat(fd, &info) != 0) return close_and_fail(fd, errno, "stat " + path);
    if (!S_ISREG(info.st_mode) || static_cast<std::uint64_t>(info.st_size) < bytes) {
      ::close(fd);
      return fail(Errc::kCorrupt, path + " is shorter than recorded");
    }
    return fd;
  }

  Result<int> create(const std::string& path, std::uint64_t bytes) override {
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kFileMode);
    if (fd < 0 && errno == ENOENT) {
      const std::string folder = path.substr(0, path.rfind('/'));
      if (::mkdir(folder.c_str(), 0750) != 0 && errno != EEXIST) {
        return std::unexpected(errno_error(errno, "mkdir " + folder));
      }
      fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kFileMode);
    }
    if (fd < 0) return std::unexpected(errno_error(errno, "create " + path));
    if (::ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
      const int error = errno;
      ::unlink(path.c_str());
      return close_and_fail(fd, error, "ftruncate " + path);
    }
    return fd;
  }

  Result<> remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return std::unexpected(errno_error(errno, "unlink " + path));
    return {};
  }

  Result<> punch(int fd, ByteRange range) override {
    if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(range.begin),
                    static_cast<off_t>(range.size())) != 0) {
      return std::unexpected(errno_error(errno, "punch hole"));
    }
    return {};
  }

  Result<DiskSpace> space(const std::string& directory) override {
    struct statvfs info{};
    if (::statvfs(directory.c_str(), &info) != 0) return std::unexpected(errno_error(errno, "statvfs " + directory));
    return DiskSpace{.total_bytes = info.f_blocks * info.f_frsize, .free_bytes = info.f_bavail * info.f_frsize};
  }

  Result<> probe(const std::string& directory) override {
    const std::string path = directory + "/probe";
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kFileMode);
    if (fd < 0) return std::unexpected(errno_error(errno, "create " + path));
    constexpr char kBytes[4096] = {};
    int error = ::write(fd, kBytes, sizeof kBytes) == sizeof kBytes ? 0 : (errno != 0 ? errno : EIO);
    if (error == 0 && ::fdatasync(fd) != 0) error = errno;
    ::close(fd);
    ::unlink(path.c_str());
    if (error != 0) return std::unexpected(errno_error(error, "write " + path));
    return {};
  }

 private:
  static std::unexpected<Error> close_and_fail(int fd, int error, const std::string& doing) {
    ::close(fd);
    return std::unexpected(errno_error(error, doing));
  }
};

}  // namespace

std::unique_ptr<Disk> make_posix_disk() { return std::make_unique<PosixDisk>(); }

}  // namespace oxbow::storage
