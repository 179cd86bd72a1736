#include "mirror/install/root_fs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "core/tls/safe_files.h"

namespace oxbow::mirror::install {
namespace fs = std::filesystem;
namespace {

std::unexpected<Error> failed(std::string_view doing, const fs::path& path) {
  return std::unexpected(errno_error(errno, fmt::format("{} {}", doing, path.string())));
}

/// The nearest ancestor that exists (or the path itself).
fs::path nearest_existing(fs::path path) {
  std::error_code ignored;
  while (!fs::exists(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path;
}

/// A temporary file that goes away unless it was put in place.
class Temporary {
 public:
  explicit Temporary(const fs::path& target)
      : name_((target.parent_path() / fmt::format(".{}.oxbow-XXXXXX", target.filename().string())).string()),
        fd_(::mkostemp(name_.data(), O_CLOEXEC)) {}
  ~Temporary() {
    if (fd_ < 0) return;
    ::close(fd_);
    if (!placed_) ::unlink(name_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  int fd() const { return fd_; }
  bool write(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t n = ::write(fd_, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return ::fsync(fd_) == 0;
  }
  bool place(const fs::path& target) {
    placed_ = ::rename(name_.c_str(), target.c_str()) == 0;
    return placed_;
  }

 private:
  std::string name_;
  int fd_;
  bool placed_ = false;
};

}  // namespace

bool is_utf8(std::string_view text) {
  using Json = nlohmann::json;
  // Its writer is strict about UTF-8, and this is not a hot path.
  try {
    static_cast<void>(Json(std::string(text)).dump());
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

fs::path RootFs::real(const fs::path& path) const { return (root_ / path.relative_path()).lexically_normal(); }

Result<std::optional<std::string>> RootFs::read(const fs::path& path) const {
  struct stat found{};
  const auto file = real(path);
  if (::stat(file.c_str(), &found) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    return failed("look at", file);
  }
  if (!S_ISREG(found.st_mode)) return fail(Errc::kInvalid, fmt::format("{} is not a file", file.string()));
  auto text = tls::read_file(file, kMaxFileBytes);
  if (!text) return std::unexpected(text.error());
  if (!is_utf8(*text)) return fail(Errc::kInvalid, fmt::format("{} is not UTF-8 text", file.string()));
  return std::move(*text);
}

bool RootFs::is_directory(const fs::path& path) const {
  std::error_code ignored;
  return fs::is_directory(real(path), ignored);
}

std::vector<std::string> RootFs::list(const fs::path& directory) const {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator it(real(directory), error), end; !error && it != end; it.increment(error))
    out.push_back(it->path().filename().string());
  std::ranges::sort(out);
  return out;
}

Result<> RootFs::check_writable(const fs::path& path) const {
  const auto file = real(path);
  std::error_code error;
  if (fs::is_symlink(file, error)) {
    return fail(Errc::kInvalid,
                fmt::format("{} is a symbolic link to {}, which something else looks after: replace it by a file",
                            file.string(), fs::read_symlink(file, error).string()));
  }
  const auto directory = nearest_existing(file.parent_path());
  const auto root = fs::canonical(root_, error);
  if (error) return fail(Errc::kNotFound, fmt::format("{}: {}", root_.string(), error.message()));
  const auto target = fs::canonical(directory, error);
  if (error || std::mismatch(root.begin(), root.end(), target.begin(), target.end()).first != root.end())
    return fail(Errc::kDenied, fmt::format("{} leads outside {}", directory.string(), root_.string()));
  if (!fs::is_directory(directory, error))
    return fail(Errc::kInvalid, fmt::format("{} is not a directory", directory.string()));
  if (::access(directory.c_str(), W_OK | X_OK) != 0)
    return fail(Errc::kDenied, fmt::format("{} cannot be written to ({})", directory.string(),
                                           std::error_code(errno, std::generic_category()).message()));
  return {};
}

Result<> RootFs::write(const fs::path& path, std::string_view text, unsigned mode) const {
  const auto file = real(path);
  Temporary temporary(file);
  if (temporary.fd() < 0) return failed("create a file beside", file);
  struct stat old{};
  if (::stat(file.c_str(), &old) == 0) {
    mode = old.st_mode & 07777U;
    if ((old.st_uid != ::geteuid() || old.st_gid != ::getegid()) &&
        ::fchown(temporary.fd(), old.st_uid, old.st_gid) != 0)
      return failed("keep the owner of", file);
  }
  if (::fchmod(temporary.fd(), mode) != 0) return failed("set the mode of", file);
  if (!temporary.write(text)) return failed("write", file);
  if (!temporary.place(file)) return failed("put in place", file);
  return tls::sync_directory(file.parent_path());
}

Result<> RootFs::remove(const fs::path& path) const {
  const auto file = real(path);
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) return failed("remove", file);
  return {};
}

std::vector<fs::path> RootFs::missing_directories(const fs::path& directory) const {
  std::vector<fs::path> out;
  for (auto at = directory; at.has_relative_path() && !is_directory(at); at = at.parent_path()) out.push_back(at);
  std::ranges::reverse(out);
  return out;
}

Result<> RootFs::make_directories(const fs::path& directory) const {
  for (const auto& one : missing_directories(directory)) {
    const auto made = real(one);
    if (::mkdir(made.c_str(), 0755) != 0 && errno != EEXIST) return failed("make the directory", made);
    // Whatever the umask says: runtimes run as root, but people and other programs read these too.
    if (::chmod(made.c_str(), 0755) != 0) return failed("set the mode of", made);
  }
  return {};
}

void RootFs::remove_if_empty(const fs::path& directory) const { ::rmdir(real(directory).c_str()); }

}  // namespace oxbow::mirror::install
