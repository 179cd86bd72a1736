// Link headers (RFC 8288), as far as registries use them for paging. Declared in tags.h.
#include <fmt/format.h>

#include "core/encoding.h"
#include "registry-api/tags.h"

namespace oxbow::registry_api {
namespace {

struct Link {
  std::string_view target;
  bool is_next = false;
};

/// Whether a list of relation types, space-separated, holds `next`.
bool names_next(std::string_view relations) {
  while (!relations.empty()) {
    const auto space = relations.find(' ');
    if (iequals(relations.substr(0, space), "next")) return true;
    relations = space == std::string_view::npos ? std::string_view{} : relations.substr(space + 1);
  }
  return false;
}

/// Takes one parameter (`; name=value` or `; name="value"`) off `rest`. False when there is none.
bool take_parameter(std::string_view& rest, std::string_view& name, std::string_view& value) {
  rest = trim(rest);
  if (rest.empty() || rest.front() != ';') return false;
  rest = trim(rest.substr(1));
  const auto end = rest.find_first_of("=;,");
  name = trim(rest.substr(0, end));
  value = {};
  if (end == std::string_view::npos || rest[end] != '=') {
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end);
    return true;
  }
  rest = trim(rest.substr(end + 1));
  if (!rest.empty() && rest.front() == '"') {
    const auto close = rest.find('"', 1);
    value = rest.substr(1, close == std::string_view::npos ? close : close - 1);
    rest = close == std::string_view::npos ? std::string_view{} : rest.substr(close + 1);
  } else {
    const auto stop = rest.find_first_of(";,");
    value = trim(rest.substr(0, stop));
    rest = stop == std::string_view::npos ? std::string_view{} : rest.substr(stop);
  }
  return true;
}

/// Takes one link off the header; nothing at its end or where it is malformed.
std::optional<Link> take_link(std::string_view& rest) {
  while (!rest.empty() && (rest.front() == ',' || rest.front() == ' ' || rest.front() == '\t')) rest.remove_prefix(1);
  if (rest.empty() || rest.front() != '<') return std::nullopt;
  const auto close = rest.find('>');
  if (close == std::string_view::npos) return std::nullopt;
  Link link{rest.substr(1, close - 1), false};
  rest.remove_prefix(close + 1);
  std::string_view name;
  std::string_view value;
  while (take_parameter(rest, name, value)) {
    if (iequals(name, "rel")) link.is_next = names_next(value);
  }
  return link;
}

std::optional<std::string_view> next_target(std::string_view header) {
  while (auto link = take_link(header)) {
    if (link->is_next) return link->target;
  }
  return std::nullopt;
}

std::string_view path_of(std::string_view target) {
  target = target.substr(0, target.find_first_of("?#"));
  const auto scheme = target.find("://");
  if (scheme == std::string_view::npos) return target;
  const auto slash = target.find('/', scheme + 3);
  return slash == std::string_view::npos ? std::string_view{} : target.substr(slash);
}

/// The two endpoints that page. A bare query (`<?n=2&last=b>`) belongs to the path that was asked.
bool is_paged(std::string_view path) {
  return path.empty() || path == "tags/list" || path == "list" || path.ends_with("/tags/list") ||
         path.find("/referrers/") != std::string_view::npos || path.starts_with("referrers/");
}

/// Nothing that would end the header, the link or the URL early.
bool is_safe(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"') return false;
  }
  return true;
}

/// The parameters of `query` but for `ns`, whose value at upstream is none of our client's business.
std::string without_ns(std::string_view query) {
  std::string out;
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    if (pair.empty() || pair == "ns" || pair.starts_with("ns=")) continue;
    if (!out.empty()) out += '&';
    out += pair;
  }
  return out;
}

}  // namespace

std::optional<std::string> next_link(std::string_view link_header) {
  const auto target = next_target(link_header);
  return target && is_safe(*target) ? std::optional<std::string>(*target) : std::nullopt;
}

std::optional<std::string> rewrite_link(std::string_view link_header, const OwnPath& own) {
  const auto target = next_target(link_header);
  if (!target || !is_safe(*target) || !is_paged(path_of(*target))) return std::nullopt;
  const auto question = target->find('?');
  if (question == std::string_view::npos) return std::nullopt;  // the same page again would never end
  auto query = target->substr(question + 1);
  auto parameters = without_ns(query.substr(0, query.find('#')));
  if (parameters.empty()) return std::nullopt;
  if (own.ns) parameters += "&ns=" + percent_encode(*own.ns);
  return fmt::format("<{}?{}>; rel=\"next\"", own.path, parameters);
}

}  // namespace oxbow::registry_api
