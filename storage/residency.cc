#include "storage/residency.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace oxbow::storage {
namespace {

constexpr long kCachestat = 451;  // newer than the C library's headers
constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kProbeStepBytes = 256ULL * 1024;

struct CachestatRange {
  std::uint64_t offset;
  std::uint64_t length;
};
struct Cachestat {
  std::uint64_t cached;
  std::uint64_t dirty;
  std::uint64_t writeback;
  std::uint64_t evicted;
  std::uint64_t recently_evicted;
};

}  // namespace

bool is_resident_by_probe(int fd, ByteRange range) noexcept {
  for (std::uint64_t at = range.begin; at < range.end; at += kProbeStepBytes) {
    char byte = 0;
    const iovec part{.iov_base = &byte, .iov_len = 1};
    // EOPNOTSUPP: a file system that cannot tell; blocking now and then is all that is left.
    if (::preadv2(fd, &part, 1, static_cast<off_t>(at), RWF_NOWAIT) < 0 && errno == EAGAIN) return false;
  }
  return true;
}

bool is_resident(int fd, ByteRange range) noexcept {
  if (range.empty()) return true;
  CachestatRange query{.offset = range.begin, .length = range.size()};
  Cachestat stat{};
  if (::syscall(kCachestat, fd, &query, &stat, 0U) != 0) return is_resident_by_probe(fd, range);
  const std::uint64_t pages = (range.end + kPageBytes - 1) / kPageBytes - range.begin / kPageBytes;
  return stat.cached >= pages;
}

}  // namespace oxbow::storage
