// What a request that needed upstream came to: a value, or a failure with what the client must see of it.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/http/handler.h"
#include "registry-api/oci_error.h"

namespace oxbow::mirror {

struct Failure {
  Error error;
  std::vector<std::string> challenges = {};  ///< upstream's WWW-Authenticate, replayed with a 401
  std::optional<std::chrono::seconds> retry_after = {};
};

template <typename T = void>
using Outcome = std::expected<T, Failure>;

/// Upstream is down, busy or broken, as opposed to having said no.
bool upstream_fails(Errc code) noexcept;

inline std::unexpected<Failure> failed(Errc code, std::string what) {
  return std::unexpected(Failure{Error(code, std::move(what))});
}

/// The response before headers: 401 with the challenges, 403, 404, 502 or 503; never 429.
http::Response to_response(const Failure& failure, registry_api::Subject subject);

}  // namespace oxbow::mirror
