#include "core/http/peer_certificate.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <algorithm>

#include "core/tls/certificate.h"

namespace oxbow::http {
namespace {

using std::chrono::sys_seconds;  // certificates may end later than the system's clock can

sys_seconds end_of(const stack_st_X509* chain) {
  auto end = sys_seconds::max();
  for (int i = 0; i < sk_X509_num(chain); ++i)
    end = std::min(end, tls::validity_of(*sk_X509_value(chain, i)).not_after);
  return end;
}

/// Another answer may come without other files.
bool is_about_time(int error) noexcept {
  return error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID;
}

}  // namespace

std::shared_ptr<PeerCertificate> PeerCertificate::of(const SSL* ssl, std::shared_ptr<ReloadedContext> context,
                                                     End end) {
  X509* shown = SSL_get0_peer_certificate(ssl);
  if (shown == nullptr) return nullptr;
  X509_up_ref(shown);
  Chain chain;
  if (auto* others = SSL_get_peer_cert_chain(ssl); others != nullptr) {
    chain = {X509_chain_up_ref(others), [](stack_st_X509* stack) { sk_X509_pop_free(stack, X509_free); }};
  }
  std::shared_ptr<PeerCertificate> out(
      new PeerCertificate({shown, X509_free}, std::move(chain), std::move(context), end));
  out->own_end_ = tls::validity_of(*shown).not_after;
  if (const auto* verified = SSL_get0_verified_chain(ssl); verified != nullptr) {
    out->chain_end_ = end_of(verified);
    auto* judge = SSL_get_SSL_CTX(ssl);
    SSL_CTX_up_ref(judge);
    out->judged_by_ = {judge, SSL_CTX_free};
  }
  return out;
}

Result<> PeerCertificate::check(std::chrono::system_clock::time_point time) {
  const auto now = std::chrono::floor<std::chrono::seconds>(time);
  if (now >= own_end_) return fail(Errc::kDenied, "the certificate has expired");
  auto context = context_->current(std::chrono::steady_clock::now());
  if (context.get() != judged_by_.get() || (refused_.empty() && now >= chain_end_)) judge(std::move(context), now);
  if (!refused_.empty()) return fail(Errc::kDenied, refused_);
  return {};
}

void PeerCertificate::judge(std::shared_ptr<SSL_CTX> context, sys_seconds now) {
  ERR_clear_error();
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> check(X509_STORE_CTX_new(),
                                                                              X509_STORE_CTX_free);
  if (!check ||
      X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(context.get()), certificate_.get(), chain_.get()) != 1) {
    judged_by_.reset();
    refused_ = "the certificate could not be checked again";
    return;
  }
  // As OpenSSL does it in a handshake.
  X509_STORE_CTX_set_default(check.get(), end_ == End::kClient ? "ssl_client" : "ssl_server");
  auto* parameters = X509_STORE_CTX_get0_param(check.get());
  X509_VERIFY_PARAM_set_auth_level(parameters, SSL_CTX_get_security_level(context.get()));
  X509_VERIFY_PARAM_set_time(parameters, now.time_since_epoch().count());
  const bool good = X509_verify_cert(check.get()) == 1;
  const int error = X509_STORE_CTX_get_error(check.get());
  refused_ = good ? "" : fmt::format("the certificate is good no more: {}", X509_verify_cert_error_string(error));
  if (good) chain_end_ = end_of(X509_STORE_CTX_get0_chain(check.get()));
  judged_by_ = good || !is_about_time(error) ? std::move(context) : nullptr;
  ERR_clear_error();
}

}  // namespace oxbow::http
