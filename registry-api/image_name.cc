#include "registry-api/image_name.h"

#include <algorithm>

#include "registry-api/namespace_choice.h"
#include "registry-api/reference.h"

namespace oxbow::registry_api {
namespace {

constexpr std::string_view kHub = "docker.io";

/// `alpine/git` is at Docker Hub, `example.com/git`, `localhost/git` and `box:5000/git` are not.
bool names_a_host(std::string_view first) {
  return first == "localhost" || first.find_first_of(".:") != std::string_view::npos;
}

Result<ImageName> without_digest(std::string_view text) {
  ImageName name;
  const auto last = text.rfind('/');
  const auto colon = text.find(':', last == std::string_view::npos ? 0 : last);
  if (colon != std::string_view::npos) {
    name.tag = text.substr(colon + 1);
    if (!is_tag(name.tag)) return fail(Errc::kInvalid, "\"" + name.tag + "\" is not a tag");
    text = text.substr(0, colon);
  }
  const auto slash = text.find('/');
  if (slash != std::string_view::npos && names_a_host(text.substr(0, slash))) {
    name.registry = text.substr(0, slash);
    name.repository = text.substr(slash + 1);
  } else {
    name.registry = kHub;
    name.repository = text;
  }
  if (is_docker_hub(name.registry)) {
    name.registry = kHub;
    if (!name.repository.contains('/')) name.repository.insert(0, "library/");
  }
  return name;
}

}  // namespace

std::string ImageName::reference() const { return digest ? digest->to_string() : tag; }

std::string ImageName::text() const {
  auto out = registry + '/' + repository;
  if (!tag.empty()) out += ':' + tag;
  if (digest) out += '@' + digest->to_string();
  return out;
}

Result<ImageName> parse_image_name(std::string_view text) {
  const auto at = text.find('@');
  auto name = without_digest(text.substr(0, at));
  if (!name) return name;
  if (!is_plausible_host(name->registry)) {
    return fail(Errc::kInvalid, "\"" + name->registry + "\" is not the name of a registry");
  }
  if (!is_repository_name(name->repository)) {
    const bool capitals = std::ranges::any_of(name->repository, [](char c) { return c >= 'A' && c <= 'Z'; });
    return fail(Errc::kInvalid, "\"" + name->repository + "\" is not the name of a repository" +
                                    (capitals ? ": names are in lower case" : ""));
  }
  if (at != std::string_view::npos) {
    auto digest = Digest::parse(text.substr(at + 1));
    if (!digest) return std::unexpected(std::move(digest.error()).in("after @"));
    name->digest = *digest;
  } else if (name->tag.empty()) {
    name->tag = "latest";
  }
  return name;
}

}  // namespace oxbow::registry_api
