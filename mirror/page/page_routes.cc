#include "mirror/page/page_routes.h"

#include <string>

#include "mirror/page/page_assets.h"

namespace oxbow::mirror {
namespace {

/// Nothing but its own files and the API: a name or an error message that is HTML stays text, and if it did not, it
/// could load and send nothing. No other page may frame it.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// RFC 9110, section 13.1.2: a list of tags, weak or not, or "*".
bool matches(std::string_view if_none_match, std::string_view etag) {
  return if_none_match == "*" || if_none_match.find(etag) != std::string_view::npos;
}

http::Response answer(const PageFile& file, std::string_view if_none_match) {
  http::Response response;
  if (matches(if_none_match, file.etag)) {
    response.status = 304;
  } else {
    response = http::Response::text(200, std::string(page_type(file.name)), std::string(file.content));
  }
  response.headers.add("ETag", std::string(file.etag));
  // Asked again each time, and answered 304: an upgraded daemon is never shown by its predecessor's page.
  response.headers.add("Cache-Control", "no-cache");
  response.headers.add("Content-Security-Policy", std::string(kPolicy));
  response.headers.add("X-Content-Type-Options", "nosniff");
  response.headers.add("Referrer-Policy", "no-referrer");
  return response;
}

}  // namespace

void add_page_routes(ApiRoutes& routes) {
  for (const auto& file : page_files()) {
    const std::string path = file.name == "index.html" ? "/" : "/page/" + std::string(file.name);
    routes.add(http::Method::kGet, path, ApiAccess::kRead,
               [&file](const ApiCall& call) -> Task<http::Response> { co_return answer(file, call.if_none_match); });
  }
}

}  // namespace oxbow::mirror
