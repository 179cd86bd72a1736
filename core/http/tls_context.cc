#include "core/http/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <string>
#include <string_view>

#include "core/log.h"

namespace oxbow::http {
namespace {

constexpr std::chrono::seconds kCheckInterval{2};
constexpr unsigned char kSessionContext[] = "oxbow";

std::unexpected<Error> tls_error(const std::string& file, std::string_view what) {
  std::string reason = "unknown error";
  if (const auto code = ERR_get_error(); code != 0) {
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    reason = text.data();
  }
  ERR_clear_error();
  return fail(Errc::kInvalid, fmt::format("{} \"{}\": {}", what, file, reason));
}

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
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) return tls_error("", "TLS context");
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  // AES-128-GCM first: the cheapest that everybody has (reference numbers in docs/decisions).
  SSL_CTX_set_ciphersuites(raw, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(raw, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // An idle connection keeps no record buffers; a partial write is retried from another place in memory.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(raw, 1);
  SSL_CTX_set_num_tickets(raw, 1);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);  // tickets only: no memory a client can fill
  SSL_CTX_set_session_id_context(raw, kSessionContext, sizeof kSessionContext - 1);
  SSL_CTX_set_alpn_select_cb(raw, select_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(raw, config.certificate_file.c_str()) != 1) {
    return tls_error(config.certificate_file, "certificate");
  }
  if (SSL_CTX_use_PrivateKey_file(raw, config.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return tls_error(config.key_file, "private key");
  }
  if (SSL_CTX_check_private_key(raw) != 1)
    return tls_error(config.key_file, "private key does not fit the certificate");
  if (!config.client_ca_file.empty()) {
    if (SSL_CTX_load_verify_file(raw, config.client_ca_file.c_str()) != 1) {
      return tls_error(config.client_ca_file, "client CA");
    }
    SSL_CTX_set_client_CA_list(raw, SSL_load_client_CA_file(config.client_ca_file.c_str()));
    SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return context;
}

}  // namespace

TlsContext::TlsContext(TlsConfig config, std::shared_ptr<SSL_CTX> context)
    : config_(std::move(config)), context_(std::move(context)), loaded_(stamp()) {}

Result<std::unique_ptr<TlsContext>> TlsContext::create(TlsConfig config) {
  auto context = load(config);
  if (!context) return std::unexpected(std::move(context.error()));
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(config), std::move(*context)));
}

TlsContext::Stamp TlsContext::stamp() const noexcept {
  Stamp out{};
  std::size_t at = 0;
  for (const auto* file : {&config_.certificate_file, &config_.key_file, &config_.client_ca_file}) {
    struct stat info{};
    if (!file->empty() && ::stat(file->c_str(), &info) == 0) {
      out[at] = info.st_mtim.tv_sec;
      out[at + 1] = info.st_mtim.tv_nsec;
      out[at + 2] = info.st_size;
    }
    at += 3;
  }
  return out;
}

std::shared_ptr<SSL_CTX> TlsContext::current(std::chrono::steady_clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  if (now - checked_ < kCheckInterval) return context_;
  checked_ = now;
  const auto found = stamp();
  if (found == loaded_) return context_;
  // A half-written pair fails now and changes its stamp again when it is complete: one log line a version.
  loaded_ = found;
  if (auto fresh = load(config_)) {
    context_ = std::move(*fresh);
    log::info("certificate reloaded", {{"file", config_.certificate_file}});
  } else {
    log::error("certificate not reloaded, the old one stays", {log::Field(fresh.error())});
  }
  return context_;
}

SSL* TlsContext::new_session(std::chrono::steady_clock::time_point now) {
  SSL* ssl = SSL_new(current(now).get());
  if (ssl != nullptr) SSL_set_accept_state(ssl);
  return ssl;
}

}  // namespace oxbow::http
