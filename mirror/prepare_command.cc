#include "mirror/prepare_command.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <filesystem>
#include <optional>

#include "core/error.h"

namespace oxbow::mirror {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kMode = 0750;  // images of private repositories are in it
constexpr int kMaxDepth = 32;   // each level holds a descriptor; the daemon's own directories have 3

struct Owner {
  uid_t user = 0;
  gid_t group = 0;
  bool has(const struct stat& info) const { return info.st_uid == user && info.st_gid == group; }
};

std::optional<Owner> parse_owner(std::string_view text) {
  const auto number = [](std::string_view part) -> std::optional<unsigned> {
    unsigned value = 0;
    const auto* const end = part.data() + part.size();
    const auto [stop, wrong] = std::from_chars(part.data(), end, value);
    // The largest means "leave it" to chown(2).
    if (wrong != std::errc() || stop != end || value == ~0U) return std::nullopt;
    return value;
  };
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto user = number(text.substr(0, colon)), group = number(text.substr(colon + 1));
  if (!user || !group) return std::nullopt;
  return Owner{*user, *group};
}

std::unexpected<Error> failed(const char* doing, const fs::path& path) {
  return std::unexpected(errno_error(errno, fmt::format("{} {}", doing, path.string())));
}

/// What is in the open directory, and all below it. By descriptors and without following links: whoever could write
/// here before must not lead root out of it.
Result<> give_content(int fd, const fs::path& path, const Owner& owner, int depth) {
  if (depth > kMaxDepth) {
    ::close(fd);
    return fail(Errc::kLimit, fmt::format("{}: directories are nested more than {} deep", path.string(), kMaxDepth));
  }
  DIR* const directory = ::fdopendir(fd);
  if (directory == nullptr) {
    ::close(fd);
    return failed("open", path);
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> closing(directory, ::closedir);
  while (true) {
    errno = 0;
    const auto* const entry = ::readdir(directory);
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info{};
    if (::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) return failed("look at", path / name);
    if (!owner.has(info) && ::fchownat(fd, entry->d_name, owner.user, owner.group, AT_SYMLINK_NOFOLLOW) != 0)
      return failed("give away", path / name);
    if (!S_ISDIR(info.st_mode)) continue;
    const int below = ::openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0) return failed("open", path / name);
    if (auto given = give_content(below, path / name, owner, depth + 1); !given) return given;
  }
  if (errno != 0) return failed("read", path);
  return {};
}

Result<> prepare(const fs::path& path, const Owner& owner) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return std::unexpected(errno_error(error.value(), "make " + path.string()));
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return failed("open", path);
  struct stat info{};
  // The mode first: afterwards it is somebody else's. A mode that its owner has chosen stays.
  const bool done = ::fstat(fd, &info) == 0 &&
                    (owner.has(info) || (::fchmod(fd, kMode) == 0 && ::fchown(fd, owner.user, owner.group) == 0));
  if (!done) {
    auto error_of = failed("give away", path);
    ::close(fd);
    return error_of;
  }
  return give_content(fd, path, owner, 1);
}

/// All that is in it is given away, so that a slip (/etc) would ruin a machine: only what is named as a directory of
/// Oxbow.
bool is_ours(const fs::path& path) {
  return path.is_absolute() && path == path.lexically_normal() && path.filename().string().starts_with("oxbow");
}

}  // namespace

PrepareCommand::PrepareCommand(CLI::App& app) {
  command_ =
      app.add_subcommand("prepare", "Make directories of Oxbow, and give them and all that is in them to a user");
  command_
      ->add_option("DIR", directories_,
                   "Made with mode 0750 if it is not there; its name begins with \"oxbow\", as /var/lib/oxbow")
      ->required();
  command_->add_option("--owner", owner_, "UID:GID, as numbers")->required();
  command_->footer(
      "\nFor init containers, where the image has no shell, and the directories of the node belong to root:\n"
      "  oxbow prepare /var/lib/oxbow /run/oxbow --owner 65532:65532\n");
}

bool PrepareCommand::parsed() const { return command_->parsed(); }

int PrepareCommand::run(std::FILE* out, std::FILE* errors) const {
  const auto owner = parse_owner(owner_);
  if (!owner) {
    std::fprintf(errors, "oxbow prepare: --owner %s: write two numbers, as 65532:65532\n", owner_.c_str());
    return 2;
  }
  for (const auto& directory : directories_) {
    if (is_ours(directory)) continue;
    std::fprintf(errors,
                 "oxbow prepare: %s: only directories of Oxbow are given away: write an absolute path whose last part "
                 "begins with \"oxbow\", as /var/lib/oxbow\n",
                 directory.c_str());
    return 2;
  }
  for (const auto& directory : directories_) {
    if (const auto done = prepare(directory, *owner); !done) {
      std::fprintf(errors, "oxbow prepare: %s\n", done.error().what().c_str());
      return 1;
    }
    std::fprintf(out, "%s belongs to %s\n", directory.c_str(), owner_.c_str());
  }
  return std::fflush(out) == 0 ? 0 : 1;
}

}  // namespace oxbow::mirror
