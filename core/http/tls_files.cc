#include "core/http/tls_files.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include "core/log.h"
#include "core/tls/openssl_error.h"

namespace oxbow::http {

namespace {

constexpr std::chrono::seconds kRetryInterval{1};

std::unexpected<Error> load_failure(std::string_view what, const std::string& file) {
  return tls::openssl_failure(Errc::kInvalid, fmt::format("load {} \"{}\"", what, file));
}

}  // namespace

Result<std::shared_ptr<SSL_CTX>> new_tls_context(const ssl_method_st* method) {
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(method), SSL_CTX_free);
  if (!context) return tls::openssl_failure(Errc::kInvalid, "make a TLS context");
  SSL_CTX* raw = context.get();
  // AES-128-GCM first: the cheapest that everybody has (reference numbers in docs/decisions).
  SSL_CTX_set_ciphersuites(raw, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // An idle connection keeps no record buffers; a partial write is retried from another place in memory.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(raw, 1);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);  // tickets only: no memory a client can fill
  return context;
}

Result<> load_identity(SSL_CTX* context, const std::string& certificate_file, const std::string& key_file) {
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    return load_failure("certificate", certificate_file);
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return load_failure("private key", key_file);
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return load_failure("private key (does it fit the certificate?)", key_file);
  }
  return {};
}

Result<> load_authorities(SSL_CTX* context, const std::string& ca_file, std::string_view what) {
  ERR_clear_error();
  if (SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1) return load_failure(what, ca_file);
  return {};
}

ReloadedContext::ReloadedContext(std::vector<std::string> files, Load load, std::chrono::milliseconds check_interval)
    : files_(std::move(files)), load_(std::move(load)), check_interval_(check_interval) {}

Result<std::unique_ptr<ReloadedContext>> ReloadedContext::create(std::vector<std::string> files, Load load,
                                                                 std::chrono::milliseconds check_interval) {
  std::unique_ptr<ReloadedContext> out(new ReloadedContext(std::move(files), std::move(load), check_interval));
  // Before the files are read: what changes meanwhile is seen at the next look.
  out->loaded_ = out->stamp();
  auto context = out->load_();
  if (!context) return std::unexpected(std::move(context.error()));
  out->context_ = std::move(*context);
  return out;
}

ReloadedContext::Stamp ReloadedContext::stamp() const {
  Stamp out;
  for (const auto& file : files_) {
    struct stat info{};
    if (::stat(file.c_str(), &info) != 0) info = {};
    out.insert(out.end(), {info.st_mtim.tv_sec, info.st_mtim.tv_nsec, static_cast<std::int64_t>(info.st_size),
                           static_cast<std::int64_t>(info.st_ino)});
  }
  return out;
}

std::shared_ptr<SSL_CTX> ReloadedContext::current(std::chrono::steady_clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  if (now - checked_ < check_interval_) return context_;
  checked_ = now;
  auto found = stamp();
  const bool changed = found != loaded_;
  // What the stamp does not show may mend a failure: the mode, the owner, a free descriptor.
  const bool again = failure_ && now - failed_ >= kRetryInterval;
  if (!changed && !again) return context_;
  loaded_ = std::move(found);
  reload(changed);
  if (failure_) failed_ = now;
  return context_;
}

/// A half-written pair fails now and changes its stamp again when it is complete: one log line a version and reason.
void ReloadedContext::reload(bool changed) {
  auto fresh = load_();
  if (!fresh) {
    if (changed || failure_ != fresh.error().what()) {
      log::warn("certificate not reloaded, the old one stays", {log::Field(fresh.error())});
    }
    failure_ = fresh.error().what();
    return;
  }
  failure_.reset();
  context_ = std::move(*fresh);
  log::info("certificate reloaded", {{"file", files_.front()}});
}

}  // namespace oxbow::http
