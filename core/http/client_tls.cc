#include "core/http/client_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>

#include "core/http/tls_peer.h"

namespace oxbow::http {
namespace {

/// Stripes come in many records: several of them with one read. Held only while there is something to read.
constexpr std::size_t kReadBufferBytes = 64UL * 1024;

Result<std::shared_ptr<SSL_CTX>> load(const ClientTlsConfig& config) {
  auto context = new_tls_context(TLS_client_method());
  if (!context) return context;
  SSL_CTX* raw = context->get();
  SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
  SSL_CTX_set_default_read_buffer_len(raw, kReadBufferBytes);
  static constexpr unsigned char kProtocols[] = "\x02h2";
  SSL_CTX_set_alpn_protos(raw, kProtocols, sizeof kProtocols - 1);
  if (auto loaded = load_authorities(raw, config.ca_file, "CA"); !loaded) {
    return std::unexpected(std::move(loaded.error()));
  }
  if (auto loaded = load_identity(raw, config.certificate_file, config.key_file); !loaded) {
    return std::unexpected(std::move(loaded.error()));
  }
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  return context;
}

bool is_about_certificate(int reason) noexcept {
  switch (reason) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

std::string reason_text(int reason) {
  const char* text = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason));
  return text != nullptr ? text : fmt::format("reason {}", reason);
}

}  // namespace

Result<std::shared_ptr<ClientTls>> make_client_tls(ClientTlsConfig config) {
  if (config.ca_file.empty()) return fail(Errc::kInvalid, "CA file: not given");
  if (config.certificate_file.empty()) return fail(Errc::kInvalid, "certificate file: not given");
  if (config.key_file.empty()) return fail(Errc::kInvalid, "private key file: not given");
  std::vector<std::string> files{config.certificate_file, config.key_file, config.ca_file};
  auto revoked = std::move(config.revoked);
  auto context = ReloadedContext::create(
      std::move(files), [config = std::move(config)] { return load(config); }, std::chrono::milliseconds(0));
  if (!context) return std::unexpected(std::move(context.error()));
  return std::make_shared<ClientTls>(std::move(*context), std::move(revoked));
}

std::shared_ptr<const void> ClientTls::identity() { return context_->current(std::chrono::steady_clock::now()); }

SSL* ClientTls::new_session() {
  SSL* ssl = SSL_new(context_->current(std::chrono::steady_clock::now()).get());
  if (ssl != nullptr) SSL_set_connect_state(ssl);
  return ssl;
}

Result<> ClientTls::check_server(const SSL* ssl, std::string_view alpn, const std::string& expected_name) const {
  if (!expected_name.empty()) {
    const auto names = peer_dns_names(ssl);
    if (std::ranges::find(names, expected_name) == names.end()) {
      return fail(Errc::kDenied, fmt::format("the certificate is not for \"{}\" but for \"{}\"", expected_name,
                                             fmt::join(names, "\", \"")));
    }
  }
  if (auto checked = check_revoked(ssl); !checked) return checked;
  if (alpn != "h2") return fail(Errc::kUnavailable, "the server does not speak HTTP/2 (ALPN)");
  return {};
}

Result<> ClientTls::check_revoked(const SSL* ssl) const {
  if (!revoked_) return {};
  if (const auto serial = peer_serial(ssl); serial && revoked_(*serial))
    return fail(Errc::kDenied, fmt::format("the certificate with serial number {} is revoked", *serial));
  return {};
}

std::shared_ptr<PeerCertificate> ClientTls::server_certificate(const SSL* ssl) const {
  return PeerCertificate::of(ssl, context_, PeerCertificate::End::kServer);
}

Error tls_failure(const SSL* ssl, int reason) {
  if (const auto verified = SSL_get_verify_result(ssl); verified != X509_V_OK) {
    return {Errc::kDenied, fmt::format("certificate: {}", X509_verify_cert_error_string(verified))};
  }
  if (is_about_certificate(reason)) {
    return {Errc::kDenied, fmt::format("the server refused our certificate: {}", reason_text(reason))};
  }
  return {Errc::kUnavailable, fmt::format("TLS: {}", reason_text(reason))};
}

}  // namespace oxbow::http
