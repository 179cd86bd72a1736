// Keys and X.509 certificates of a cluster: made, written as PEM, and read back. P-256 keys, ECDSA with SHA-256.
// Thread rule: plain functions on values that one thread owns. Errors: kInvalid when OpenSSL cannot read what it is
// given, kIo when OpenSSL itself fails (memory, random numbers).
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace oxbow::tls {

struct KeyDeleter {
  void operator()(EVP_PKEY* key) const noexcept;
};
struct CertificateDeleter {
  void operator()(X509* certificate) const noexcept;
};
using Key = std::unique_ptr<EVP_PKEY, KeyDeleter>;
using Certificate = std::unique_ptr<X509, CertificateDeleter>;

Result<Key> generate_key();
/// PKCS #8, not encrypted.
Result<std::string> to_pem(EVP_PKEY& key);
Result<Key> parse_key(std::string_view pem);

Result<std::string> to_pem(X509& certificate);
/// The certificates of a PEM text, in its order; at least one.
Result<std::vector<Certificate>> parse_certificates(std::string_view pem);
/// The public key in it: good for another certificate, not for signing.
Result<Key> public_key_of(X509& certificate);
bool belongs_to(EVP_PKEY& key, X509& certificate);

struct Validity {
  std::chrono::sys_seconds not_before;
  std::chrono::sys_seconds not_after;
};

/// Self-signed; signs node certificates and lists, and no further CA (path length 0).
Result<Certificate> make_ca_certificate(EVP_PKEY& key, const std::string& name, Validity validity);

/// Checked by the caller (node_name.h).
struct NodeIdentity {
  std::string name;              ///< the first DNS name
  std::vector<std::string> dns;  ///< further ones
  std::vector<std::string> ips;
};

/// For both ends of a connection between peers (serverAuth and clientAuth).
Result<Certificate> make_node_certificate(EVP_PKEY& node_key, const NodeIdentity& identity, Validity validity, X509& ca,
                                          EVP_PKEY& ca_key);

/// Upper-case hexadecimal, 32 digits for those that are made here: random, 128 bits, the highest of them 1 so that
/// every tool writes the same digits.
std::string serial_of(X509& certificate);
/// A serial as `serial_of` writes it, of what openssl and people write: "0a:1b", "serial=0A1B", "serial:0A1B".
std::string plain_serial(std::string_view text);
/// In a list of revoked identities: whether an entry means a serial, and the entry of one that `serial_of` wrote.
bool is_serial_entry(std::string_view entry) noexcept;
std::string serial_entry(std::string_view serial);
Validity validity_of(X509& certificate);
/// The DNS names of its SAN, in order; the first is who it is among peers.
std::vector<std::string> dns_names_of(const X509& certificate);
/// The subject's common name; empty without one.
std::string common_name_of(X509& certificate);

/// "2026-11-25T19:03:47Z"
std::string format_time(std::chrono::sys_seconds time);
Result<std::chrono::sys_seconds> parse_time(const std::string& text);

}  // namespace oxbow::tls
