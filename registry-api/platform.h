// The platform of an image: `os/architecture[/variant]` (OCI image index, "platform property"). Thread rule: pure
// functions; plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace oxbow::registry_api {

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant = {};
  bool operator==(const Platform&) const = default;
};

/// `linux/arm64`, `linux/arm/v7`. The kernel's names of an architecture are taken too (`x86_64`). Errors: kInvalid.
Result<Platform> parse_platform(std::string_view text);
std::string to_string(const Platform& platform);
/// Of the machine that this runs on.
Platform own_platform();

/// How well `offered` runs on `wanted`: nothing when it does not, else higher is better. A variant `vN` runs on `vM`
/// for N ≤ M; without one arm is v7, arm64 is v8 and amd64 v1, as clients take it.
std::optional<int> fitness(const Platform& wanted, const Platform& offered);

}  // namespace oxbow::registry_api
