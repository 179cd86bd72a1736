// OpenSSL's own reason for a failure as an Error. Thread rule: OpenSSL's error queue is a thread's own.
#pragma once

#include <string>

#include "core/error.h"

namespace oxbow::tls {

/// "cannot <doing>: <the oldest reason>"; empties the queue.
std::unexpected<Error> openssl_failure(Errc code, const std::string& doing);

}  // namespace oxbow::tls
