#include "mirror/operator/mirror_address.h"

#include <openssl/x509.h>

#include <optional>
#include <span>

#include "core/digest.h"
#include "core/encoding.h"
#include "core/tls/certificate.h"
#include "core/tls/safe_files.h"

namespace oxbow::mirror {
namespace {

struct HostAndPort {
  std::string host;
  std::string port;
};

HostAndPort split(std::string_view address) {
  const auto colon = address.rfind(':');
  HostAndPort out{std::string(address.substr(0, colon)), std::string(address.substr(colon + 1))};
  if (out.host == "0.0.0.0" || out.host.empty() || out.host == "*") out.host = "127.0.0.1";
  if (out.host == "[::]") out.host = "[::1]";
  return out;
}

/// The key in the certificate, as libcurl pins it (RFC 7469: SHA-256 of the SubjectPublicKeyInfo).
Result<std::string> pin_of(const std::string& file) {
  constexpr std::size_t kLimitBytes = 1UL << 20;
  const auto pem = tls::read_file(file, kLimitBytes);
  if (!pem) return std::unexpected(pem.error());
  const auto certificates = tls::parse_certificates(*pem);
  if (!certificates) return std::unexpected(certificates.error().in(file));
  unsigned char* der = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificates->front().get()), &der);
  if (length <= 0) return fail(Errc::kInvalid, file + ": the certificate has no usable key");
  const auto digest = Digest::sha256(std::as_bytes(std::span(der, static_cast<std::size_t>(length))));
  OPENSSL_free(der);
  const auto bytes = digest.bytes();
  return "sha256//" + base64_encode({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

bool is_loopback_host(std::string_view host) noexcept {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost" || host == "::1") return true;
  // A name like 127.example.com is not one.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

Result<MirrorAddress> mirror_address(const config::Client& client) {
  std::optional<HostAndPort> chosen;
  for (const auto& listen : client.listen) {
    auto address = split(listen);
    if (address.port.empty() || address.port == "0") continue;
    const bool loopback = is_loopback_host(address.host);
    if (!chosen || (loopback && !is_loopback_host(chosen->host))) chosen = std::move(address);
  }
  if (!chosen) return fail(Errc::kInvalid, "client.listen names no address that the mirror can be reached at");
  MirrorAddress out;
  const bool secure = !client.tls.certificate.empty();
  out.url = (secure ? "https://" : "http://") + chosen->host + ':' + chosen->port;
  out.private_way = secure || is_loopback_host(chosen->host);
  if (secure) {
    auto pin = pin_of(client.tls.certificate);
    if (!pin) return std::unexpected(std::move(pin.error()).in("client.tls.certificate"));
    out.pinned_key = std::move(*pin);
  }
  return out;
}

}  // namespace oxbow::mirror
