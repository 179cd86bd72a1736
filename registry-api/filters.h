// Which repositories of a registry are mirrored: `allow` and `deny` patterns of the config.
// Thread rule: immutable after construction; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace oxbow::registry_api {

/// `*` matches any run of characters, '/' included; `?` one character; all else itself. Time: pattern × text.
bool glob_match(std::string_view pattern, std::string_view text) noexcept;

class RepositoryFilter {
 public:
  RepositoryFilter(std::vector<std::string> allow, std::vector<std::string> deny)
      : allow_(std::move(allow)), deny_(std::move(deny)) {}

  /// Some `allow` pattern matches and no `deny` pattern does. `repository` as upstream knows it.
  bool allows(std::string_view repository) const noexcept;

 private:
  std::vector<std::string> allow_;
  std::vector<std::string> deny_;
};

}  // namespace oxbow::registry_api
