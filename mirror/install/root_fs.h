// The files of a node as `oxbow install` reads and changes them, below a prefix ("/" on the node itself, the mounted
// root of the node in a container). Paths are given as the node sees them: absolute, without the prefix.
// A file is replaced by rename(2) from a synced temporary file in its directory, so that a reader, or a crash, finds it
// whole: old or new. Nothing outside the prefix is touched, also when a directory is a symbolic link.
// Thread rule: one thread; blocks on the disk.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace oxbow::mirror::install {

class RootFs {
 public:
  static constexpr std::size_t kMaxFileBytes = 4 << 20;

  explicit RootFs(std::filesystem::path root) : root_(std::move(root)) {}

  /// Nothing if there is no such file. Errors: kLimit (larger than 4 MiB), kInvalid (not UTF-8, or not a regular file),
  /// kDenied, kIo.
  Result<std::optional<std::string>> read(const std::filesystem::path& path) const;
  bool is_directory(const std::filesystem::path& path) const;
  /// Names in a directory, sorted; empty if there is none.
  std::vector<std::string> list(const std::filesystem::path& directory) const;

  /// Whether a write could be done, as far as can be known before: the path stays below the prefix, is no symbolic
  /// link, and the nearest directory that exists may be written to. Errors: kDenied, kInvalid.
  Result<> check_writable(const std::filesystem::path& path) const;
  /// A new file gets `mode`; one that is replaced keeps its mode and owner. The directory must exist. Errors: kDenied,
  /// kNoSpace, kNotFound, kIo.
  Result<> write(const std::filesystem::path& path, std::string_view text, unsigned mode = 0644) const;
  /// Fine if there is none.
  Result<> remove(const std::filesystem::path& path) const;
  /// It and its parents, as far as they do not exist, outermost first.
  std::vector<std::filesystem::path> missing_directories(const std::filesystem::path& directory) const;
  /// Makes them, mode 0755.
  Result<> make_directories(const std::filesystem::path& directory) const;
  /// Leaves it if something is in it.
  void remove_if_empty(const std::filesystem::path& directory) const;

  /// Where the file is for this process.
  std::filesystem::path real(const std::filesystem::path& path) const;

 private:
  std::filesystem::path root_;
};

/// The whole text is valid UTF-8.
bool is_utf8(std::string_view text);

}  // namespace oxbow::mirror::install
