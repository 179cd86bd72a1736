#include "registry-api/filters.h"

#include <algorithm>

namespace oxbow::registry_api {

bool glob_match(std::string_view pattern, std::string_view text) noexcept {
  std::size_t p = 0;
  std::size_t t = 0;
  // Where to go on after a mismatch: behind the last star, which then takes one character more.
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool RepositoryFilter::allows(std::string_view repository) const noexcept {
  const auto matches = [&](const std::string& pattern) { return glob_match(pattern, repository); };
  return std::ranges::any_of(allow_, matches) && std::ranges::none_of(deny_, matches);
}

}  // namespace oxbow::registry_api
