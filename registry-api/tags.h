// Tag lists and their paging (distribution-spec, "Listing tags"), and Link headers, which upstream writes for its own
// paths and clients follow on ours.
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace oxbow::registry_api {

inline constexpr std::size_t kMaxTagsBytes = 16UL * 1024 * 1024;
inline constexpr std::size_t kMaxTags = 200'000;

/// `{"name":…,"tags":[…]}`; `null` tags are none. Text that is no tag is left out. Errors: kInvalid, kLimit.
Result<std::vector<std::string>> parse_tags(std::string_view json);

/// The paging part of a query string.
struct PageQuery {
  std::optional<std::uint64_t> n;
  std::string last;  ///< exclusive; empty: from the start
};
/// Errors: kInvalid (`n` is not a number).
Result<PageQuery> parse_page_query(std::string_view raw_query);

/// Where the client asked, so that its next page comes back here.
struct OwnPath {
  std::string path;               ///< raw, e.g. `/v2/docker.io/library/alpine/tags/list`
  std::optional<std::string> ns;  ///< decoded `?ns=`, kept on the next page
};

struct TagsPage {
  std::string json;
  std::optional<std::string> link;  ///< the Link header, when there is more
};
/// Sorts, removes duplicates, applies `n` and `last`. `n=0`: an empty list without a Link.
TagsPage tags_page(std::string_view repository, std::vector<std::string> tags, const PageQuery& query,
                   const OwnPath& own);

/// Upstream's `Link` (relative or absolute, any number of links) to the same query on our own path. Nothing without a
/// rel="next", or when its target is neither a tags list nor referrers.
std::optional<std::string> rewrite_link(std::string_view link_header, const OwnPath& own);
/// The target of rel="next", as upstream wrote it: for those who follow the pages themselves.
std::optional<std::string> next_link(std::string_view link_header);

}  // namespace oxbow::registry_api
