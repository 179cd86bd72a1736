// Files that another process may read at any moment: each is whole, old or new, never half of one. A file is staged
// (written under a temporary name in the same directory and synced) and then put in place by rename(2).
// Several files that belong together are all staged first and then put in place one after the other, so that nothing
// but a crash between two renames can part them.
// Thread rule: one thread an object; blocks on the disk.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/error.h"

namespace oxbow::tls {

enum class Secrecy {
  kPublic,   ///< mode 0644
  kPrivate,  ///< mode 0600; a file that its group might read (0640) keeps that when it is replaced
};

class StagedFile {
 public:
  /// A file that is replaced hands its owner and group on, where this process may give files away. Errors: kNoSpace,
  /// kNotFound (no such directory), kDenied, kIo.
  static Result<StagedFile> write(std::filesystem::path target, std::string_view bytes, Secrecy secrecy);
  StagedFile(StagedFile&& other) noexcept;
  StagedFile& operator=(StagedFile&&) = delete;
  /// Removes what was not put in place.
  ~StagedFile();

  /// Puts it in place. A crash may undo that until `sync_directory`.
  Result<> commit();

 private:
  StagedFile(std::filesystem::path target, std::string temporary)
      : target_(std::move(target)), temporary_(std::move(temporary)) {}

  std::filesystem::path target_;
  std::string temporary_;  ///< empty: nothing to remove
};

Result<> sync_directory(const std::filesystem::path& directory);

/// One file: stage, commit and sync.
Result<> replace_file(const std::filesystem::path& target, std::string_view bytes, Secrecy secrecy);

/// Errors: kNotFound, kDenied, kIo, kLimit (larger than `limit_bytes`).
Result<std::string> read_file(const std::filesystem::path& file, std::size_t limit_bytes);

/// An exclusive flock(2) on a file, which the kernel drops with the process. The file itself stays: removing it would
/// let two processes hold locks on different files of one name.
class ExclusiveLock {
 public:
  /// Waits for another holder up to `patience`. Errors: kBusy, kNotFound (no such directory), kDenied, kIo.
  static Result<ExclusiveLock> take(const std::filesystem::path& file, std::chrono::milliseconds patience);
  ExclusiveLock(ExclusiveLock&& other) noexcept;
  ExclusiveLock& operator=(ExclusiveLock&&) = delete;
  ~ExclusiveLock();

 private:
  explicit ExclusiveLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace oxbow::tls
