// What an image consists of, by the local mirror's word: its manifests are asked of the client address as containerd
// does (`/v2/<repository>/manifests/<reference>?ns=<registry>`), with the caller's own rights.
// Thread rule: one thread; blocks. Lifetime: `Parts` refers to what outlives it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "mirror/operator/pull_access.h"
#include "registry-api/image_name.h"
#include "registry-api/image_walk.h"

namespace oxbow::mirror {

struct ImageQuestion {
  registry_api::ImageName image;
  registry_api::PlatformChoice platform;
  PullAccess::Options access;
  std::string user_agent;
};

/// Whether its upstream is spoken to over TLS: only where it is not, a token service in clear is taken.
bool registry_is_https(const config::Config& config, const std::string& registry);

/// Config and layers of the platform. Errors: kUnauthorized, kDenied (the caller may not read it), kNotFound (no such
/// image, or nothing for the platform), kUnavailable, kTimeout, kCorrupt, kCancelled.
Result<std::vector<registry_api::ImageBlob>> image_layers(const ImageQuestion& question, HttpRunner& http);

}  // namespace oxbow::mirror
