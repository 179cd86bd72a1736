// Listening on a Unix socket: a file whose mode says who may connect.
// Thread rule: main, at start and end.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "core/error.h"

namespace oxbow::http {

/// Removes the socket's file, if it still is the one that was bound: a later process may have put its own there.
class UnixSocketFile {
 public:
  explicit UnixSocketFile(std::string path);
  ~UnixSocketFile();
  UnixSocketFile(const UnixSocketFile&) = delete;
  UnixSocketFile& operator=(const UnixSocketFile&) = delete;

 private:
  const std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

struct BoundUnixSocket {
  int fd = -1;  ///< non-blocking and listening; the caller's
  std::unique_ptr<UnixSocketFile> file;
};

/// Mode 0660 from its first moment; a missing parent directory is made with mode 0750; what a process left that is
/// gone is replaced. Errors: kInvalid (too long a path, or something that is no socket is there), kBusy (a process
/// listens there), kDenied, kNotFound, kNoSpace (a read-only file system), kIo.
Result<BoundUnixSocket> bind_unix_socket(const std::string& path, int backlog);

}  // namespace oxbow::http
