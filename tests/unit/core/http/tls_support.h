// Certificates made for a test, and a blocking byte channel over plain TCP or TLS.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/server.h"
#include "support.h"

namespace oxbow::http::test {

/// A CA, and identities signed by it, as PEM files in a directory that goes away with the object.
class Certificates {
 public:
  Certificates();
  ~Certificates();
  Certificates(const Certificates&) = delete;

  /// Writes `<name>.pem` and `<name>.key` for a subject with this common name and DNS name (none when empty),
  /// valid for `valid_s` from an hour ago on: less than an hour has expired.
  void issue(const std::string& name, const std::string& common_name, const std::string& dns_name,
             long valid_s = 86'400 + 3'600);
  std::string file(const std::string& name) const { return directory_ + "/" + name; }
  TlsConfig server(bool ask_clients = false) const;

 private:
  std::string directory_;
  std::shared_ptr<EVP_PKEY> ca_key_;
  std::shared_ptr<X509> ca_;
  long serial_ = 1;
};

/// Blocking; every wait ends after 10 s.
class Channel {
 public:
  /// Plain TCP.
  explicit Channel(std::uint16_t port);
  struct Tls {
    std::vector<std::string> alpn;
    std::string certificate_file;
    std::string key_file;
    std::string ca_file;
  };
  Channel(std::uint16_t port, const Tls& tls);
  ~Channel();
  Channel(const Channel&) = delete;

  bool connected() const { return connected_; }
  std::string alpn() const;
  std::string server_name() const;  ///< common name of the server's certificate
  bool write(std::string_view bytes);
  /// Empty at the end.
  std::string read();
  std::string read_all();
  /// Waits until there is something to read; false after `ms`.
  bool wait_readable(int ms);
  void close();

 private:
  RawClient socket_;
  std::shared_ptr<SSL_CTX> context_;
  SSL* ssl_ = nullptr;
  bool connected_ = true;
};

}  // namespace oxbow::http::test
