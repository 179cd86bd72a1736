#include "core/http/tls_peer.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>

#include "core/tls/certificate.h"

namespace oxbow::http {

std::vector<std::string> peer_dns_names(const SSL* ssl) {
  std::vector<std::string> out;
  const X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return out;
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  if (names == nullptr) return out;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const auto* entry = sk_GENERAL_NAME_value(names, i);
    if (entry->type != GEN_DNS) continue;
    out.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(entry->d.dNSName)),
                     static_cast<std::size_t>(ASN1_STRING_length(entry->d.dNSName)));
  }
  GENERAL_NAMES_free(names);
  return out;
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
