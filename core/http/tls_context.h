// A server's TLS identity: TLS 1.2 and 1.3, ALPN h2 and http/1.1, and client certificates where a CA for them is given.
// Renewed certificate files are picked up without a restart; files that do not load leave the old identity in place.
// Thread rule: `create` from main, the rest from any loop. Errors: kInvalid, kNotFound, kDenied with the file's name.
#pragma once

#include <openssl/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "core/error.h"
#include "core/http/server.h"

namespace oxbow::http {

class TlsContext {
 public:
  static Result<std::unique_ptr<TlsContext>> create(TlsConfig config);

  /// For one accepted connection; null when OpenSSL is out of memory. The caller owns it.
  SSL* new_session(std::chrono::steady_clock::time_point now);

 private:
  /// Modification time and size of each file: what says that it was replaced.
  using Stamp = std::array<std::int64_t, 9>;

  TlsContext(TlsConfig config, std::shared_ptr<SSL_CTX> context);
  std::shared_ptr<SSL_CTX> current(std::chrono::steady_clock::time_point now);
  Stamp stamp() const noexcept;

  const TlsConfig config_;
  std::mutex mutex_;
  std::shared_ptr<SSL_CTX> context_;
  Stamp loaded_;
  std::chrono::steady_clock::time_point checked_{};
};

}  // namespace oxbow::http
