#include "mirror/upstream/url.h"

#include <algorithm>

#include "core/encoding.h"

namespace oxbow::mirror::upstream {

std::string UrlParts::host_port() const {
  const bool usual = (scheme == "https" && port == "443") || (scheme == "http" && port == "80");
  return usual ? host : host + ":" + port;
}

std::string UrlParts::origin() const { return scheme + "://" + host_port(); }

std::optional<UrlParts> split_url(std::string_view url) {
  UrlParts parts;
  for (const char c : url) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f' || c == '\\') return std::nullopt;
  }
  const auto scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return std::nullopt;
  parts.scheme = to_lower(url.substr(0, scheme_end));
  if (parts.scheme != "http" && parts.scheme != "https") return std::nullopt;
  url.remove_prefix(scheme_end + 3);
  url = url.substr(0, url.find('#'));
  const auto authority_end = std::min(url.find_first_of("/?"), url.size());
  auto authority = url.substr(0, authority_end);
  url.remove_prefix(authority_end);
  if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
    parts.has_userinfo = true;
    authority.remove_prefix(at + 1);
  }
  const auto bracket = authority.rfind(']');
  const auto colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  parts.host = to_lower(authority.substr(0, colon));
  if (colon != std::string_view::npos) parts.port = authority.substr(colon + 1);
  if (parts.port.empty()) parts.port = parts.scheme == "https" ? "443" : "80";
  if (parts.host.empty() || parts.port.size() > 5 ||
      !std::ranges::all_of(parts.port, [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  const auto question = url.find('?');
  parts.path = url.substr(0, question);
  if (question != std::string_view::npos) parts.query = url.substr(question + 1);
  return parts;
}

std::string printable_url(std::string_view url) {
  const auto parts = split_url(url);
  return parts ? parts->origin() + parts->path : std::string("(not a URL)");
}

}  // namespace oxbow::mirror::upstream
