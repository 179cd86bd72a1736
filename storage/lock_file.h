// One daemon a directory: an exclusive flock on `<directory>/lock`, which names its process.
// Thread rule: one thread. The kernel drops the lock with the process, however it ends.
#pragma once

#include <string>

#include "core/error.h"

namespace oxbow::storage {

class LockFile {
 public:
  LockFile() = default;
  ~LockFile() { release(); }
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;

  /// Errors: kBusy (the message names the process that has it), kNoSpace, kDenied, kIo.
  Result<> take(const std::string& path);
  void release();

 private:
  int fd_ = -1;
};

}  // namespace oxbow::storage
