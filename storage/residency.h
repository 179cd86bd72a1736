// Is a range of a file in the page cache? `cachestat` (Linux 6.5) where the kernel has it, else one byte per 256 KiB by
// `preadv2(RWF_NOWAIT)`.
// Thread rule: any thread; one short system call (the fallback: one per 256 KiB).
#pragma once

#include "core/geometry.h"

namespace oxbow::storage {

bool is_resident(int fd, ByteRange range) noexcept;
/// The fallback alone, for kernels without cachestat.
bool is_resident_by_probe(int fd, ByteRange range) noexcept;

}  // namespace oxbow::storage
