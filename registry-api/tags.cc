#include "registry-api/tags.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/bounded_json.h"
#include "core/encoding.h"
#include "registry-api/reference.h"

namespace oxbow::registry_api {

Result<std::vector<std::string>> parse_tags(std::string_view json) {
  auto parsed = parse_json_object(json, {kMaxTagsBytes, 8, kMaxTags});
  if (!parsed) return std::unexpected(std::move(parsed.error()).in("tags list"));
  std::vector<std::string> tags;
  const auto list = parsed->find("tags");
  if (list == parsed->end() || list->is_null()) return tags;
  if (!list->is_array()) return fail(Errc::kInvalid, "tags list: `tags` is no list");
  for (const auto& tag : *list) {
    if (!tag.is_string()) continue;
    auto text = tag.get<std::string>();
    if (is_tag(text)) tags.push_back(std::move(text));
  }
  return tags;
}

Result<PageQuery> parse_page_query(std::string_view raw_query) {
  PageQuery query;
  query.last = query_value(raw_query, "last").value_or("");
  const auto n = query_value(raw_query, "n");
  if (!n || n->empty()) return query;
  std::uint64_t value = 0;
  const auto [rest, error] = std::from_chars(n->data(), n->data() + n->size(), value);
  if (error == std::errc::result_out_of_range)
    value = kMaxTags;
  else if (error != std::errc{})
    return fail(Errc::kInvalid, "n is not a number");
  if (rest != n->data() + n->size()) return fail(Errc::kInvalid, "n is not a number");
  query.n = value;
  return query;
}

TagsPage tags_page(std::string_view repository, std::vector<std::string> tags, const PageQuery& query,
                   const OwnPath& own) {
  std::ranges::sort(tags);
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  if (!query.last.empty()) tags.erase(tags.begin(), std::ranges::upper_bound(tags, query.last));
  TagsPage page;
  if (query.n && *query.n < tags.size()) {
    tags.resize(static_cast<std::size_t>(*query.n));
    if (!tags.empty()) {
      auto target = fmt::format("{}?last={}&n={}", own.path, percent_encode(tags.back()), *query.n);
      if (own.ns) target += "&ns=" + percent_encode(*own.ns);
      page.link = fmt::format("<{}>; rel=\"next\"", target);
    }
  }
  nlohmann::ordered_json body;
  body["name"] = repository;
  body["tags"] = std::move(tags);
  page.json = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return page;
}

}  // namespace oxbow::registry_api
