// What the parts of ClusterCa share about paths and limits. Thread rule: plain functions; they block on the disk.
#pragma once

#include <filesystem>

#include "core/error.h"

namespace oxbow::tls {

inline constexpr std::size_t kPemLimit = 1 << 20;

bool is_present(const std::filesystem::path& file);
/// Absolute and normal; "dir/" is "dir", so that two spellings of one directory compare equal.
Result<std::filesystem::path> absolute_path(const std::filesystem::path& path);
/// With its parents; `mode` is for a directory that was not there.
Result<> make_directory(const std::filesystem::path& path, std::filesystem::perms mode);
/// 1 to kDaysLimit. Errors: kInvalid.
Result<> check_days(int days);

}  // namespace oxbow::tls
