#include "core/tls/ca_paths.h"

#include "core/tls/ca.h"

namespace oxbow::tls {

namespace fs = std::filesystem;

bool is_present(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(file, ignored));
}

Result<fs::path> absolute_path(const fs::path& path) {
  std::error_code wrong;
  auto out = fs::absolute(path, wrong).lexically_normal();
  if (wrong) return std::unexpected(errno_error(wrong.value(), "find " + path.string()));
  if (!out.has_filename() && out.has_relative_path()) out = out.parent_path();  // "dir/" is "dir"
  return out;
}

Result<> make_directory(const fs::path& path, fs::perms mode) {
  std::error_code wrong;
  const bool made = fs::create_directories(path, wrong);
  if (!wrong && made) fs::permissions(path, mode, wrong);
  if (wrong) return std::unexpected(errno_error(wrong.value(), "make the directory " + path.string()));
  return {};
}

Result<> check_days(int days) {
  if (days >= 1 && days <= kDaysLimit) return {};
  return fail(Errc::kInvalid, fmt::format("--days {}: write 1 to {}", days, kDaysLimit));
}

}  // namespace oxbow::tls
