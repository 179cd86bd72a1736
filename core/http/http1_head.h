// The head of an HTTP/1.1 response, and what else both protocols say about one.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "core/http/handler.h"

namespace oxbow::http {

/// How the body's end is told.
enum class Framing { kLength, kChunked, kClose, kNone };

/// 1xx, 204 and 304 have no body and HEAD gets none.
bool has_body(int status, Method method) noexcept;
Framing framing_of(const Response& response, Method method, bool http10) noexcept;

/// Whether a handler's field is sent: the connection's own fields are the server's, and a value with a line break in it
/// would split the response.
bool may_send(std::string_view name, std::string_view value) noexcept;

/// Status line and fields up to the empty line. `date` as in RFC 9110, section 5.6.7.
std::string write_head(const Response& response, Framing framing, Method method, bool close, std::string_view date);

std::string format_date(std::int64_t unix_seconds);

/// An answer of the server itself, as the OCI distribution spec forms errors.
Response error_response(int status, std::string_view message);

}  // namespace oxbow::http
