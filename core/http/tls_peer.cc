#include "core/http/tls_peer.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "core/tls/certificate.h"

namespace oxbow::http {

std::vector<std::string> peer_dns_names(const SSL* ssl) {
  const X509* certificate = SSL_get0_peer_certificate(ssl);
  return certificate == nullptr ? std::vector<std::string>() : tls::dns_names_of(*certificate);
}

std::optional<std::string> peer_name(const SSL* ssl) {
  auto names = peer_dns_names(ssl);
  if (names.empty()) return std::nullopt;
  return std::move(names.front());
}

std::optional<std::string> peer_serial(const SSL* ssl) {
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return std::nullopt;
  return tls::serial_of(*certificate);
}

}  // namespace oxbow::http
