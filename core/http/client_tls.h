// The client's TLS identity: TLS 1.3, ALPN h2, its own certificate, and one CA that must have signed the server's.
// Thread rule: any thread.
#pragma once

#include <openssl/types.h>

#include <memory>

#include "core/http/client.h"
#include "core/http/tls_files.h"

namespace oxbow::http {

class ClientTls {
 public:
  explicit ClientTls(std::unique_ptr<ReloadedContext> context) : context_(std::move(context)) {}

  /// For one connection; null when OpenSSL is out of memory. The caller owns it.
  SSL* new_session();

 private:
  std::unique_ptr<ReloadedContext> context_;
};

/// After the handshake. Errors: kDenied when `expected_name` is not among the certificate's names, kUnavailable when
/// the server does not speak HTTP/2.
Result<> check_server(const SSL* ssl, std::string_view alpn, const std::string& expected_name);
/// Why a TLS connection broke: kDenied when either end refused the other's certificate, else kUnavailable.
Error tls_failure(const SSL* ssl, int reason);

}  // namespace oxbow::http
