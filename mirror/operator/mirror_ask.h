// Questions of an image to the local mirror, in containerd's form: `/v2/<repository>/<kind>/<reference>?ns=<registry>`.
// Thread rule: pure functions.
#pragma once

#include <optional>
#include <string>

#include "core/digest.h"
#include "mirror/operator/http_runner.h"
#include "mirror/operator/mirror_address.h"
#include "mirror/operator/pull_access.h"
#include "registry-api/image_name.h"

namespace oxbow::mirror {

enum class MirrorPath { kManifests, kBlobs };

/// With what gives `access` its right, as far as it is known by now.
HttpAsk mirror_ask(const MirrorAddress& mirror, const registry_api::ImageName& image, MirrorPath kind,
                   const std::string& reference, const PullAccess& access, const std::string& user_agent);

/// What a manifest hashes to. Errors: kCorrupt (another digest than `wanted`).
Result<Digest> manifest_digest(const std::string& body, const std::optional<Digest>& wanted);

}  // namespace oxbow::mirror
