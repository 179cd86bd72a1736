// What both ends of TLS share: loading PEM files with errors that name the file, and picking up renewed files without a
// restart. Files that do not load leave the last good context in place and are tried again, with one warning for each
// version of them and each reason.
// Thread rule: any thread. Errors: kInvalid with the file's name.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

struct ssl_method_st;

namespace oxbow::http {

/// Cipher suites, options and modes that hold on both ends.
Result<std::shared_ptr<SSL_CTX>> new_tls_context(const ssl_method_st* method);

/// Certificate chain and private key, which must fit each other.
Result<> load_identity(SSL_CTX* context, const std::string& certificate_file, const std::string& key_file);
/// The only CAs that sign whom we accept: no system CAs, no partial chains.
Result<> load_authorities(SSL_CTX* context, const std::string& ca_file, std::string_view what);

class ReloadedContext {
 public:
  using Load = std::function<Result<std::shared_ptr<SSL_CTX>>()>;

  /// `files` are looked at for changes at most once per `check_interval`; those that did not load are tried again at
  /// the looks that follow, at most once a second.
  static Result<std::unique_ptr<ReloadedContext>> create(std::vector<std::string> files, Load load,
                                                         std::chrono::milliseconds check_interval);

  std::shared_ptr<SSL_CTX> current(std::chrono::steady_clock::time_point now);

 private:
  /// Modification time, size and inode of each file: what says that it was replaced.
  using Stamp = std::vector<std::int64_t>;

  ReloadedContext(std::vector<std::string> files, Load load, std::chrono::milliseconds check_interval);
  Stamp stamp() const;
  void reload(bool changed);

  const std::vector<std::string> files_;
  const Load load_;
  const std::chrono::milliseconds check_interval_;
  std::mutex mutex_;
  std::shared_ptr<SSL_CTX> context_;
  Stamp loaded_;
  std::chrono::steady_clock::time_point checked_{};
  std::optional<std::string> failure_;              ///< of the last load
  std::chrono::steady_clock::time_point failed_{};  ///< when that was
};

}  // namespace oxbow::http
