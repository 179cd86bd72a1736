// The index on disk: RocksDB column families behind a few calls that block (docs/disk-format.md names the rows).
// Thread rule: every method from any thread; all block. Nothing is synced unless asked: it is a cache's index.
// Errors: kCorrupt (the index cannot be trusted), kNoSpace, kDenied, kIo.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace oxbow::storage {

enum class Family : std::uint8_t { kMeta, kBlobs, kSpans, kSmall, kSmallInfo, kTables };
inline constexpr std::size_t kFamilies = 6;

/// What is applied together, in order; no value: the key is erased.
struct IndexOp {
  Family family;
  std::string key;
  std::optional<std::string> value;
};

class Index {
 public:
  virtual ~Index() = default;
  virtual Result<> apply(const std::vector<IndexOp>& ops, bool sync) = 0;
  virtual Result<std::optional<std::string>> get(Family family, std::string_view key) = 0;
  /// Rows whose key begins with `prefix`, in order, until `row` returns false.
  virtual Result<> scan(Family family, std::string_view prefix,
                        const std::function<bool(std::string_view, std::string_view)>& row) = 0;
  /// Memory tables to files: a clean close makes the next open fast.
  virtual Result<> flush() = 0;
};

/// `writable` false opens what is there and changes nothing.
Result<std::unique_ptr<Index>> open_index(const std::string& directory, bool writable);

}  // namespace oxbow::storage
