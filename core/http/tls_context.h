// A server's TLS identity: TLS 1.2 and 1.3, ALPN h2 and http/1.1, and client certificates where a CA for them is given.
// Renewed files, the CA's too, are picked up without a restart (tls_files.h), looked for at most once a second.
// Thread rule: `create` from main, the rest from any loop. Errors: kInvalid with the file's name.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <memory>

#include "core/error.h"
#include "core/http/peer_certificate.h"
#include "core/http/server.h"
#include "core/http/tls_files.h"

namespace oxbow::http {

class TlsContext {
 public:
  static Result<std::unique_ptr<TlsContext>> create(TlsConfig config);

  /// For one accepted connection; null when OpenSSL is out of memory. The caller owns it.
  SSL* new_session(std::chrono::steady_clock::time_point now);
  /// After the handshake of one of them; null where the client showed none.
  std::shared_ptr<PeerCertificate> client_certificate(const SSL* ssl) const;

 private:
  explicit TlsContext(std::shared_ptr<ReloadedContext> context) : context_(std::move(context)) {}

  const std::shared_ptr<ReloadedContext> context_;
};

}  // namespace oxbow::http
