#include "core/http/tls_context.h"

#include <openssl/ssl.h>

namespace oxbow::http {
namespace {

constexpr std::chrono::seconds kCheckInterval{1};
constexpr unsigned char kSessionContext[] = "oxbow";

int select_protocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                    unsigned in_length, void*) {
  static constexpr unsigned char kOurs[] = "\x02h2\x08http/1.1";
  unsigned char* chosen = nullptr;
  const int result = SSL_select_next_proto(&chosen, out_length, kOurs, sizeof kOurs - 1, in, in_length);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301, section 3.2
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Result<std::shared_ptr<SSL_CTX>> load(const TlsConfig& config) {
  auto context = new_tls_context(TLS_server_method());
  if (!context) return context;
  SSL_CTX* raw = context->get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(raw, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_num_tickets(raw, 1);
  SSL_CTX_set_session_id_context(raw, kSessionContext, sizeof kSessionContext - 1);
  SSL_CTX_set_alpn_select_cb(raw, select_protocol, nullptr);
  if (auto loaded = load_identity(raw, config.certificate_file, config.key_file); !loaded) {
    return std::unexpected(std::move(loaded.error()));
  }
  if (!config.client_ca_file.empty()) {
    if (auto loaded = load_authorities(raw, config.client_ca_file, "client CA"); !loaded) {
      return std::unexpected(std::move(loaded.error()));
    }
    SSL_CTX_set_client_CA_list(raw, SSL_load_client_CA_file(config.client_ca_file.c_str()));
    SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    // A resumed session would spare its client the check of a certificate that has expired since.
    SSL_CTX_set_options(raw, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(raw, 0);
  }
  return context;
}

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::create(TlsConfig config) {
  std::vector<std::string> files{config.certificate_file, config.key_file};
  if (!config.client_ca_file.empty()) files.push_back(config.client_ca_file);
  auto context =
      ReloadedContext::create(std::move(files), [config = std::move(config)] { return load(config); }, kCheckInterval);
  if (!context) return std::unexpected(std::move(context.error()));
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(*context)));
}

SSL* TlsContext::new_session(std::chrono::steady_clock::time_point now) {
  SSL* ssl = SSL_new(context_->current(now).get());
  if (ssl != nullptr) SSL_set_accept_state(ssl);
  return ssl;
}

std::shared_ptr<PeerCertificate> TlsContext::client_certificate(const SSL* ssl) const {
  return PeerCertificate::of(ssl, context_, PeerCertificate::End::kClient);
}

}  // namespace oxbow::http
