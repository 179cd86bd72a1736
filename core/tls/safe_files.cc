#include "core/tls/safe_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace oxbow::tls {
namespace {

constexpr std::chrono::milliseconds kLockRetry{20};

/// Closes at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::unexpected<Error> failed(std::string_view doing, const std::string& file) {
  return std::unexpected(errno_error(errno, fmt::format("{} {}", doing, file)));
}

Result<> write_all(int fd, std::string_view bytes, const std::string& file) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("write", file);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

/// The mode and, where possible, the owner that the new file gets.
Result<> adopt(int fd, const std::filesystem::path& target, Secrecy secrecy) {
  mode_t mode = secrecy == Secrecy::kPrivate ? 0600 : 0644;
  struct stat old{};
  if (::stat(target.c_str(), &old) == 0) {
    // A daemon that runs as its own user would lose its key at a renewal by root. Where giving away is not allowed, the
    // group's right to read goes too: it would be another group's.
    const bool given = ::fchown(fd, old.st_uid, old.st_gid) == 0;
    if (secrecy == Secrecy::kPrivate && given) mode |= old.st_mode & 0040;
  }
  if (::fchmod(fd, mode) != 0) return failed("set the mode of", target.string());
  return {};
}

}  // namespace

Result<StagedFile> StagedFile::write(std::filesystem::path target, std::string_view bytes, Secrecy secrecy) {
  std::string temporary = (target.parent_path() / fmt::format(".{}.new-XXXXXX", target.filename().string())).string();
  const Descriptor fd(::mkostemp(temporary.data(), O_CLOEXEC));  // mode 0600 from its first moment
  if (fd.get() < 0) return failed("create a file beside", target.string());
  StagedFile staged(std::move(target), std::move(temporary));
  if (auto adopted = adopt(fd.get(), staged.target_, secrecy); !adopted) return std::unexpected(adopted.error());
  if (auto written = write_all(fd.get(), bytes, staged.temporary_); !written) return std::unexpected(written.error());
  if (::fsync(fd.get()) != 0) return failed("sync", staged.temporary_);
  return staged;
}

StagedFile::StagedFile(StagedFile&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::exchange(other.temporary_, {})) {}

StagedFile::~StagedFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<> StagedFile::commit() {
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) return failed("put in place", target_.string());
  temporary_.clear();
  return {};
}

Result<> sync_directory(const std::filesystem::path& directory) {
  const Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return failed("open", directory.string());
  if (::fsync(fd.get()) != 0 && errno != EINVAL) return failed("sync", directory.string());  // EINVAL: has no fsync
  return {};
}

Result<> replace_file(const std::filesystem::path& target, std::string_view bytes, Secrecy secrecy) {
  auto staged = StagedFile::write(target, bytes, secrecy);
  if (!staged) return std::unexpected(std::move(staged.error()));
  if (auto put = staged->commit(); !put) return put;
  return sync_directory(target.has_parent_path() ? target.parent_path() : std::filesystem::path("."));
}

Result<std::string> read_file(const std::filesystem::path& file, std::size_t limit_bytes) {
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a FIFO must not hold us
  if (fd.get() < 0) return failed("open", file.string());
  std::string out;
  std::array<char, 16384> part{};
  while (true) {
    const ssize_t n = ::read(fd.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("read", file.string());
    if (n == 0) return out;
    if (out.size() + static_cast<std::size_t>(n) > limit_bytes)
      return fail(Errc::kLimit, fmt::format("{} is larger than {} bytes", file.string(), limit_bytes));
    out.append(part.data(), static_cast<std::size_t>(n));
  }
}

Result<ExclusiveLock> ExclusiveLock::take(const std::filesystem::path& file, std::chrono::milliseconds patience) {
  Descriptor fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (fd.get() < 0) return failed("open", file.string());
  for (auto left = patience;; left -= kLockRetry) {
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return ExclusiveLock(fd.release());
    if (errno != EWOULDBLOCK && errno != EINTR) return failed("lock", file.string());
    if (left <= std::chrono::milliseconds::zero())
      return fail(Errc::kBusy,
                  fmt::format("another process holds {}: wait for it to end and try again", file.string()));
    std::this_thread::sleep_for(kLockRetry);
  }
}

ExclusiveLock::ExclusiveLock(ExclusiveLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

ExclusiveLock::~ExclusiveLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace oxbow::tls
