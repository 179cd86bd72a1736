#include "core/http/tls_peer.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>

#include "core/tls/certificate.h"

namespace oxbow::http {

std::vector<std::string> peer_dns_names(const SSL* ssl) {
  const X509* certificate = SSL_get0_peer_certificate(ssl);
  return certificate == nullptr ? std::vector<std::string>() : tls::dns_names_of(*certificate);
}

std::optional<std::string> peer_name(const SSL* ssl) {
  const X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return std::nullopt;
  if (auto names = peer_dns_names(ssl); !names.empty()) return std::move(names.front());
  std::array<char, 256> common_name{};
  const int length = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common_name.data(),
                                               static_cast<int>(common_name.size()));
  if (length <= 0) return std::nullopt;
  return std::string(common_name.data(), static_cast<std::size_t>(length));
}

std::optional<std::string> peer_serial(const SSL* ssl) {
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return std::nullopt;
  return tls::serial_of(*certificate);
}

}  // namespace oxbow::http
