// Names of images as people write them, read as Docker reads them (distribution, "reference": familiar names): `nginx`
// is docker.io/library/nginx:latest, `localhost:5000/a` is at a registry of its own. Thread rule: pure functions; plain
// values.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/digest.h"
#include "core/error.h"

namespace oxbow::registry_api {

struct ImageName {
  std::string registry;    ///< host, or host:port
  std::string repository;  ///< as the registry knows it: `library/nginx`
  std::string tag = {};    ///< empty when only a digest is given
  std::optional<Digest> digest = {};

  /// What is asked for: the digest where one is given, else the tag.
  std::string reference() const;
  /// `docker.io/library/nginx:latest`
  std::string text() const;
};

/// Errors: kInvalid with what is wrong, kUnsupported (the digest's algorithm).
Result<ImageName> parse_image_name(std::string_view text);

}  // namespace oxbow::registry_api
