// Where a command on the same machine reaches the daemon's client address. Thread rule: pure but for reading the
// certificate's file.
#pragma once

#include <string>
#include <string_view>

#include "config/config.h"
#include "core/error.h"

namespace oxbow::mirror {

struct MirrorAddress {
  std::string url;         ///< `http://127.0.0.1:5050`
  std::string pinned_key;  ///< with TLS: the daemon is known by the key in its own certificate's file
  /// Whether a secret may be sent there: it stays on this machine, or is encrypted.
  bool private_way = false;
};

/// From `client.listen` (a loopback address where there is one; `0.0.0.0` and `::` are reached by loopback) and
/// `client.tls`. Errors: kInvalid (no usable address), and those of reading the certificate.
Result<MirrorAddress> mirror_address(const config::Client& client);

/// `127.0.0.1`, `::1` with or without brackets, `localhost`.
bool is_loopback_host(std::string_view host) noexcept;

}  // namespace oxbow::mirror
