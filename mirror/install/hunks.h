// A text with some parts replaced, and the way back: what was put in, and what stood there before. The way back works
// too when somebody has edited other parts of the text since. Thread rule: plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oxbow::mirror::install {

/// `inserted` stands where `removed` stood. `inserted` is never empty.
struct Hunk {
  std::string removed;
  std::string inserted;
  bool operator==(const Hunk&) const = default;
};

struct Edited {
  std::string text;
  std::vector<Hunk> hunks;

  /// Puts `inserted` in the place of `length` bytes at `offset` of `text` as it is now.
  void replace(std::size_t offset, std::size_t length, std::string inserted);
};

/// `text` with each hunk's `inserted` replaced by its `removed`. Nothing if one of them is not there exactly as often
/// as it was put in: then somebody has changed these very lines.
std::optional<std::string> undo(std::string_view text, const std::vector<Hunk>& hunks);

}  // namespace oxbow::mirror::install
