// What `oxbow install` did to a node, kept on that node so that `oxbow uninstall` can take it back byte for byte: one
// JSON file a runtime. It holds each changed file's text before and after. Thread rule: plain values.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "mirror/install/hunks.h"

namespace oxbow::mirror::install {

struct FileRecord {
  std::filesystem::path path;           ///< as the node sees it, without --root
  std::optional<std::string> original;  ///< nothing: there was no such file
  std::string written;
  std::vector<Hunk> hunks;
  bool operator==(const FileRecord&) const = default;
};

struct Manifest {
  std::vector<std::string> runtimes;  ///< who uses these files: podman and cri-o read the same
  std::vector<FileRecord> files;
  std::vector<std::filesystem::path> directories;  ///< made by us, outermost first
  std::vector<std::string> after_undo;             ///< what a person has to do when it was taken back
  bool operator==(const Manifest&) const = default;

  const FileRecord* find(const std::filesystem::path& path) const;
};

std::string to_json(const Manifest& manifest);
/// Errors: kCorrupt.
Result<Manifest> manifest_from_json(std::string_view text);

/// A file without what was put into it.
struct Undone {
  enum class Kind {
    kAsBefore,  ///< it is as it was before, or gone
    kRestored,  ///< byte for byte what it was
    kKept,      ///< our part is out, what others changed since is still in it
    kConflict,  ///< our own part was changed: `text` is the file as it is
  };
  Kind kind = Kind::kAsBefore;
  std::optional<std::string> text;  ///< nothing: no such file
};
Undone undo(const FileRecord& record, const std::optional<std::string>& current);

}  // namespace oxbow::mirror::install
