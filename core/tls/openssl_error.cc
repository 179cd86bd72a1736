#include "core/tls/openssl_error.h"

#include <openssl/err.h>

namespace oxbow::tls {

std::unexpected<Error> openssl_failure(Errc code, const std::string& doing) {
  const auto reason = ERR_get_error();
  const char* text = reason == 0 ? nullptr : ERR_reason_error_string(reason);
  ERR_clear_error();
  return fail(code, fmt::format("cannot {}: {}", doing, text == nullptr ? "unknown error" : text));
}

}  // namespace oxbow::tls
