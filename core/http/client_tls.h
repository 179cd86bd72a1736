// The client's TLS identity: TLS 1.3, ALPN h2, its own certificate, and one CA that must have signed the server's.
// Thread rule: any thread.
#pragma once

#include <openssl/types.h>

#include <memory>

#include "core/http/client.h"
#include "core/http/peer_certificate.h"
#include "core/http/tls_files.h"

namespace oxbow::http {

class ClientTls {
 public:
  ClientTls(std::shared_ptr<ReloadedContext> context, std::function<bool(const std::string&)> revoked)
      : context_(std::move(context)), revoked_(std::move(revoked)) {}

  /// For one connection; null when OpenSSL is out of memory. The caller owns it.
  SSL* new_session();
  /// What sessions are made from now: another object once the files have been renewed.
  std::shared_ptr<const void> identity();
  /// After the handshake. Errors: kDenied when `expected_name` is not among the certificate's names or the certificate
  /// is revoked, kUnavailable when the server does not speak HTTP/2.
  Result<> check_server(const SSL* ssl, std::string_view alpn, const std::string& expected_name) const;
  /// Also later: a certificate may be revoked while the connection lasts. Errors: kDenied.
  Result<> check_revoked(const SSL* ssl) const;
  /// After the handshake: what may be checked later.
  std::shared_ptr<PeerCertificate> server_certificate(const SSL* ssl) const;

 private:
  const std::shared_ptr<ReloadedContext> context_;
  std::function<bool(const std::string&)> revoked_;
};

/// Why a TLS connection broke: kDenied when either end refused the other's certificate, else kUnavailable.
Error tls_failure(const SSL* ssl, int reason);

}  // namespace oxbow::http
