// What `oxbow install` would do to a node for one runtime: made without touching anything, then shown (--dry-run) or
// applied. Thread rule: plain values.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "mirror/install/hunks.h"
#include "mirror/install/manifest.h"
#include "mirror/install/root_fs.h"

namespace oxbow::mirror::install {

/// What the runtime is to be pointed at.
struct Target {
  std::string mirror;  ///< http://host:port, without a slash at the end
  struct Registry {
    std::string name;  ///< host or host:port
    std::vector<std::string> aliases;
  };
  std::vector<Registry> registries;
  bool any_registry = false;  ///< the mirror serves registries that it does not know, too
  std::string default_registry;

  bool plaintext() const { return mirror.starts_with("http://"); }
  /// host:port
  std::string address() const { return mirror.substr(mirror.find("://") + 3); }
};

/// The node's files without what an earlier `oxbow install` put into them, so that a plan never builds on its own
/// effects. Errors as RootFs::read.
class View {
 public:
  View(const RootFs& files, const Manifest& before) : files_(files), before_(before) {}

  Result<std::optional<std::string>> read(const std::filesystem::path& path) const;
  /// Directories that exist, also before an earlier `oxbow install` made them.
  bool is_directory(const std::filesystem::path& path) const;
  std::vector<std::string> list(const std::filesystem::path& directory) const;
  /// An earlier `oxbow install` changed it.
  bool was_changed(const std::filesystem::path& path) const { return before_.find(path) != nullptr; }

 private:
  const RootFs& files_;
  const Manifest& before_;
};

struct FileChange {
  std::filesystem::path path;
  std::optional<std::string> original;  ///< nothing: a new file
  Edited edited;
};

struct Plan {
  std::vector<FileChange> changes;
  std::vector<std::filesystem::path> already;  ///< somebody else made them point at the mirror; they stay
  std::vector<std::string> errors;             ///< any: nothing is written
  std::vector<std::string> warnings;           ///< it works, and something should be changed
  std::vector<std::string> notes;              ///< what to know
  std::vector<std::string> after;              ///< what to do when something was written
  std::vector<std::string> after_undo;         ///< what to do when it was taken back

  void error(std::string text) { errors.push_back(std::move(text)); }
  void warn(std::string text) { warnings.push_back(std::move(text)); }
  void note(std::string text) { notes.push_back(std::move(text)); }
  /// A file that did not exist.
  void create(std::filesystem::path path, std::string text);
};

/// The first line of files and parts that we write.
inline std::string written_by(std::string_view runtime) {
  return "# Written by \"oxbow install " + std::string(runtime) + "\"; \"oxbow uninstall " + std::string(runtime) +
         "\" takes it out again.\n";
}

}  // namespace oxbow::mirror::install
