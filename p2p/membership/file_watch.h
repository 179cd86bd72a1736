// Tells that a file may have changed: inotify on the directory that names it and on the directory where it really is,
// so that renames over it and swapped symlinks (editors, Kubernetes ConfigMaps) are seen as well as writes.
// Thread rule: one thread. Lifetime: a value of its own.
#pragma once

#include <filesystem>
#include <set>

#include "core/error.h"

namespace oxbow::p2p {

class FileWatch {
 public:
  explicit FileWatch(std::filesystem::path file);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;
  ~FileWatch();

  /// Readable when something has happened; -1 where inotify is not to be had.
  int fd() const noexcept { return fd_; }
  /// Forgets what has happened and watches the directories as they are now. Call it before every read of the file.
  void rearm();

 private:
  const std::filesystem::path file_;
  int fd_ = -1;
  std::set<int> watches_;
};

}  // namespace oxbow::p2p
