// Repository names, tags and manifest references: the grammar of the OCI distribution spec, section "Pulling
// manifests". Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "core/digest.h"
#include "core/error.h"

namespace oxbow::registry_api {

/// Limits of the spec: clients bound host and name together, a registry bounds the name alone.
inline constexpr std::size_t kMaxNameLength = 255;
inline constexpr std::size_t kMaxTagLength = 128;

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/…)*`, at most kMaxNameLength.
bool is_repository_name(std::string_view text) noexcept;
/// What is accepted from clients: also upper case and any order of `._-` inside a component (Ollama's names need it).
/// Never an empty, `.` or `..` component, nor a character that would need escaping in a path.
bool is_lenient_repository_name(std::string_view text) noexcept;
/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
bool is_tag(std::string_view text) noexcept;

/// What follows `/manifests/`: exactly one of the two is set.
struct Reference {
  std::optional<Digest> digest;
  std::string tag;
};
/// Errors: kInvalid (neither tag nor digest), kUnsupported (a digest whose algorithm we cannot verify).
Result<Reference> parse_reference(std::string_view text);

}  // namespace oxbow::registry_api
