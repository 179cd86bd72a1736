// Any path yields no route, or one whose parts are not empty where its kind needs them and can be put together to a
// path that yields the same route. Names that pass the grammar cannot leave their place in an upstream's URL. Any Link
// header yields none, or one that cannot end the header it stands in. A registry is chosen only when it is configured.
#include <algorithm>
#include <cstdlib>

#include "core/encoding.h"
#include "registry-api/filters.h"
#include "registry-api/namespace_choice.h"
#include "registry-api/reference.h"
#include "registry-api/referrers.h"
#include "registry-api/route.h"
#include "registry-api/tags.h"

namespace api = oxbow::registry_api;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::string escape_components(std::string_view text) {
  std::string out;
  while (true) {
    const auto slash = text.find('/');
    out += oxbow::percent_encode(text.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    out += '/';
    text.remove_prefix(slash + 1);
  }
}

std::string path_of(const api::Route& route) {
  const auto root =
      (route.prefix.empty() ? "" : "/" + escape_components(route.prefix)) + "/v2/" + escape_components(route.name);
  const auto reference = oxbow::percent_encode(route.reference);
  switch (route.kind) {
    case api::RouteKind::kManifest:
      return root + "/manifests/" + reference;
    case api::RouteKind::kBlob:
      return root + "/blobs/" + reference;
    case api::RouteKind::kReferrers:
      return root + "/referrers/" + reference;
    case api::RouteKind::kTags:
      return root + "/tags/list";
    case api::RouteKind::kUpload:
      return root + "/blobs/uploads/";
    case api::RouteKind::kBase:
    case api::RouteKind::kPing:
    case api::RouteKind::kCatalog:
    case api::RouteKind::kUnknown:
      return {};
  }
  std::abort();
}

void check_route(std::string_view path) {
  const auto route = api::parse_route(path);
  const auto again_path = path_of(route);
  if (again_path.empty()) return;
  require(!route.name.empty());
  // A component that held an escaped slash is several components the next time, and an escaped path may be too long.
  const bool same_shape =
      std::ranges::count(path, '/') == std::ranges::count(again_path, '/') && again_path.size() < 4096;
  if (same_shape && route.kind != api::RouteKind::kUpload) {
    const auto again = api::parse_route(again_path);
    require(again.kind == route.kind && again.name == route.name && again.reference == route.reference &&
            again.prefix == route.prefix);
  }
}

void check_names(std::string_view text) {
  if (api::is_repository_name(text)) require(api::is_lenient_repository_name(text));
  if (api::is_lenient_repository_name(text)) {
    require(escape_components(text) == text);  // nothing in it would need escaping
    require(("/" + std::string(text) + "/").find("/../") == std::string::npos);
  }
  if (const auto reference = api::parse_reference(text)) {
    require(reference->digest ? reference->digest->to_string() == text : reference->tag == text && api::is_tag(text));
  }
  require(api::referrers_tag(text).size() <= 97);
  require(api::glob_match("*", text) && api::glob_match(text, text) == api::glob_match(text, text));
}

void check_link(std::string_view header) {
  const api::OwnPath own{"/v2/x/tags/list", "reg:5000"};
  if (const auto link = api::rewrite_link(header, own)) {
    require(link->starts_with("</v2/x/tags/list?") && link->ends_with(">; rel=\"next\""));
    require(link->find_first_of("\r\n") == std::string::npos);
    require(api::rewrite_link(*link, own) == *link);
  }
}

void check_choice(std::string_view text) {
  const api::RegistryNames names({{"docker.io", {}}, {"ghcr.io", {"gh"}}}, "docker.io", false);
  for (const auto& choice :
       {names.choose(text, "", "a/b"), names.choose(std::nullopt, text, "a/b"), names.choose(std::nullopt, "", text)}) {
    require(choice.host.empty());
    require(choice.registry.has_value() ==
            (choice.how == api::RegistryChoice::How::kNamespace || choice.how == api::RegistryChoice::How::kPath));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_route(text);
  check_names(text);
  check_link(text);
  check_choice(text);
  if (const auto query = api::parse_page_query(text)) {
    const auto page = api::tags_page("x", {"a", "b", "c"}, *query, {"/v2/x/tags/list", std::nullopt});
    require(api::parse_tags(page.json).has_value());
  }
  return 0;
}
