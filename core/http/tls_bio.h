// The BIO between OpenSSL and a Transport. OpenSSL's own socket BIO uses write(2), which raises SIGPIPE and sends each
// 16 KiB record by itself; this one uses send(2) with MSG_NOSIGNAL and MSG_MORE.
#pragma once

#include <openssl/types.h>

namespace oxbow::http {

class Transport;

/// `transport` outlives `ssl`.
void attach_socket_bio(SSL* ssl, Transport& transport);

}  // namespace oxbow::http
