#include "registry-api/reference.h"

#include <algorithm>

namespace oxbow::registry_api {
namespace {

bool is_lower_alnum(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_word(char c) noexcept { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_'; }

/// The separators between two runs of letters: ".", "_", "__" or any number of "-".
bool is_separator(std::string_view text) noexcept {
  return text == "." || text == "_" || text == "__" || text.find_first_not_of('-') == std::string_view::npos;
}

bool is_strict_component(std::string_view text) noexcept {
  if (text.empty() || !is_lower_alnum(text.front()) || !is_lower_alnum(text.back())) return false;
  std::size_t at = 0;
  while (at < text.size()) {
    while (at < text.size() && is_lower_alnum(text[at])) ++at;
    const std::size_t begin = at;
    while (at < text.size() && !is_lower_alnum(text[at])) ++at;
    if (!is_separator(text.substr(begin, at - begin))) return false;
  }
  return true;
}

bool is_lenient_component(std::string_view text) noexcept {
  if (text.empty() || !is_word(text.front())) return false;
  return std::ranges::all_of(text, [](char c) { return is_word(c) || c == '.' || c == '-'; });
}

template <typename Predicate>
bool all_components(std::string_view text, Predicate is_component) noexcept {
  if (text.size() > kMaxNameLength) return false;
  while (true) {
    const auto slash = text.find('/');
    if (!is_component(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

}  // namespace

bool is_repository_name(std::string_view text) noexcept { return all_components(text, is_strict_component); }

bool is_lenient_repository_name(std::string_view text) noexcept { return all_components(text, is_lenient_component); }

bool is_tag(std::string_view text) noexcept {
  return text.size() <= kMaxTagLength && text.find('/') == std::string_view::npos && is_lenient_component(text);
}

Result<Reference> parse_reference(std::string_view text) {
  Reference reference;
  if (text.find(':') != std::string_view::npos) {
    auto digest = Digest::parse(text);
    if (!digest) return std::unexpected(std::move(digest.error()));
    reference.digest = *digest;
    return reference;
  }
  if (!is_tag(text)) return fail(Errc::kInvalid, "neither a tag nor a digest");
  reference.tag = text;
  return reference;
}

}  // namespace oxbow::registry_api
