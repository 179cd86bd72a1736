#include "core/http/http1_head.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

#include "core/encoding.h"

namespace oxbow::http {

bool has_body(int status, Method method) noexcept {
  return method != Method::kHead && status >= 200 && status != 204 && status != 304;
}

Framing framing_of(const Response& response, Method method, bool http10) noexcept {
  if (!has_body(response.status, method)) return Framing::kNone;
  if (response.content_length || !response.body) return Framing::kLength;
  return http10 ? Framing::kClose : Framing::kChunked;
}

bool may_send(std::string_view name, std::string_view value) noexcept {
  static constexpr std::array<std::string_view, 8> kOurs{"connection", "transfer-encoding", "content-length",
                                                         "keep-alive", "upgrade",           "date",
                                                         "server",     "proxy-connection"};
  for (const auto ours : kOurs) {
    if (iequals(name, ours)) return false;
  }
  constexpr std::string_view kBreaks("\r\n\0", 3);
  return !name.empty() && name.find_first_of(kBreaks) == std::string_view::npos &&
         value.find_first_of(kBreaks) == std::string_view::npos;
}

std::string write_head(const Response& response, Framing framing, Method method, bool close, std::string_view date) {
  std::string head;
  head.reserve(512);
  const auto out = std::back_inserter(head);
  fmt::format_to(out, "HTTP/1.1 {} {}\r\nServer: oxbow\r\nDate: {}\r\n", response.status, reason(response.status),
                 date);
  for (const auto& [name, value] : response.headers) {
    if (!may_send(name, value)) continue;
    head.append(name).append(": ").append(value).append("\r\n");
  }
  const bool length_for_head = framing == Framing::kNone && response.status != 204 && response.status >= 200 &&
                               (method == Method::kHead || response.status == 304);
  if (framing == Framing::kLength || (length_for_head && response.content_length)) {
    fmt::format_to(out, "Content-Length: {}\r\n", response.content_length.value_or(0));
  } else if (framing == Framing::kChunked) {
    head += "Transfer-Encoding: chunked\r\n";
  }
  if (close) head += "Connection: close\r\n";
  head += "\r\n";
  return head;
}

std::string format_date(std::int64_t unix_seconds) {
  static constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto seconds = static_cast<std::time_t>(unix_seconds);
  std::tm t{};
  ::gmtime_r(&seconds, &t);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[static_cast<std::size_t>(t.tm_wday)], t.tm_mday,
                     kMonths[static_cast<std::size_t>(t.tm_mon)], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

Response error_response(int status, std::string_view message) {
  // The messages are constants of this room: nothing in them needs escaping.
  return Response::text(status, "application/json",
                        fmt::format(R"({{"errors":[{{"code":"UNSUPPORTED","message":"{}"}}]}})", message));
}

}  // namespace oxbow::http
