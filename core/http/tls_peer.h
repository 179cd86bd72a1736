// Who the other end of a TLS connection says to be, by its certificate. Thread rule: the connection's loop.
#pragma once

#include <openssl/types.h>

#include <optional>
#include <string>
#include <vector>

namespace oxbow::http {

/// The DNS names of the certificate's subject alternative names, in order; empty without a certificate.
std::vector<std::string> peer_dns_names(const SSL* ssl);
/// The first DNS name. The common name is none: a certificate without DNS names names nobody.
std::optional<std::string> peer_name(const SSL* ssl);
/// The serial number in the digits of tls::serial_of, which a list of revoked ones holds.
std::optional<std::string> peer_serial(const SSL* ssl);

}  // namespace oxbow::http
