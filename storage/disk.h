// The file operations that block: the seam at which tests make a disk fail.
// Thread rule: every method from any thread; all block. Errors: see errno_error.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/error.h"
#include "core/geometry.h"

namespace oxbow::storage {

struct DiskSpace {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;  ///< to an unprivileged process
};

class Disk {
 public:
  virtual ~Disk() = default;
  /// An existing file; read-only when the file system is. Its size must be at least `bytes`, else kCorrupt.
  virtual Result<int> open(const std::string& path, std::uint64_t bytes) = 0;
  /// A new sparse file of `bytes`.
  virtual Result<int> create(const std::string& path, std::uint64_t bytes) = 0;
  virtual Result<> remove(const std::string& path) = 0;
  /// Frees a range of the file; it reads as zeros.
  virtual Result<> punch(int fd, ByteRange range) = 0;
  virtual Result<DiskSpace> space(const std::string& directory) = 0;
  /// Writes, syncs and removes a small file.
  virtual Result<> probe(const std::string& directory) = 0;
};

std::unique_ptr<Disk> make_posix_disk();

}  // namespace oxbow::storage
