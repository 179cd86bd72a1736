// The certificate that the other end of a TLS connection has shown, and whether a handshake would still take it: a
// connection may last for weeks, its certificate expires, and the file of the CAs is replaced.
// Thread rule: the connection's loop. Lifetime: shared by the connection and its requests; keeps what it needs.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <memory>
#include <string>

#include "core/error.h"
#include "core/http/tls_files.h"

struct stack_st_X509;

namespace oxbow::http {

class PeerCertificate {
 public:
  /// What the other end is, for its certificate must be one for that.
  enum class End { kClient, kServer };

  /// After the handshake; null where none was shown. `context`: what new sessions are made from.
  static std::shared_ptr<PeerCertificate> of(const SSL* ssl, std::shared_ptr<ReloadedContext> context, End end);

  /// By the clock of who asks and the CAs of now, as a handshake would; the signatures are looked at once for each
  /// version of the files. Errors: kDenied.
  Result<> check(std::chrono::system_clock::time_point now);

 private:
  using Chain = std::shared_ptr<stack_st_X509>;

  PeerCertificate(std::shared_ptr<X509> certificate, Chain chain, std::shared_ptr<ReloadedContext> context, End end)
      : certificate_(std::move(certificate)), chain_(std::move(chain)), context_(std::move(context)), end_(end) {}
  void judge(std::shared_ptr<SSL_CTX> context, std::chrono::sys_seconds now);

  const std::shared_ptr<X509> certificate_;
  const Chain chain_;  ///< what was shown with it
  const std::shared_ptr<ReloadedContext> context_;
  const End end_;
  std::shared_ptr<SSL_CTX> judged_by_;    ///< null: to be judged
  std::chrono::sys_seconds own_end_{};    ///< from then on it has expired,
  std::chrono::sys_seconds chain_end_{};  ///< and from then on one of those that signed it
  std::string refused_;                   ///< why; empty: it is good
};

}  // namespace oxbow::http
