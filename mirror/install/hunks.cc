#include "mirror/install/hunks.h"

#include <algorithm>

#include "core/error.h"

namespace oxbow::mirror::install {
namespace {

std::size_t occurrences(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

}  // namespace

void Edited::replace(std::size_t offset, std::size_t length, std::string inserted) {
  OXBOW_INVARIANT(offset + length <= text.size() && !inserted.empty());
  Hunk hunk{text.substr(offset, length), std::move(inserted)};
  text.replace(offset, length, hunk.inserted);
  hunks.push_back(std::move(hunk));
}

std::optional<std::string> undo(std::string_view text, const std::vector<Hunk>& hunks) {
  for (const auto& hunk : hunks) {
    const auto same = std::ranges::count(hunks, hunk.inserted, &Hunk::inserted);
    if (occurrences(text, hunk.inserted) != static_cast<std::size_t>(same)) return std::nullopt;
  }
  std::string out(text);
  for (const auto& hunk : hunks) {
    const auto at = out.find(hunk.inserted);
    if (at == std::string::npos) return std::nullopt;  // two hunks overlap in the edited text
    out.replace(at, hunk.inserted.size(), hunk.removed);
  }
  return out;
}

}  // namespace oxbow::mirror::install
