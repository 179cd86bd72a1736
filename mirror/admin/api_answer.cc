#include "mirror/admin/api_answer.h"

#include <fmt/chrono.h>

#include <nlohmann/json.hpp>

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

int status_of(Errc code) {
  switch (code) {
    case Errc::kInvalid:
    case Errc::kOutOfRange:
    case Errc::kUnsupported:
      return 400;
    case Errc::kDenied:
    case Errc::kUnauthorized:
      return 403;
    case Errc::kNotFound:
      return 404;
    case Errc::kBusy:
      return 409;
    case Errc::kLimit:
      return 413;
    case Errc::kThrottled:
      return 429;
    case Errc::kUnavailable:
    case Errc::kCancelled:
      return 503;
    case Errc::kTimeout:
      return 504;
    case Errc::kNoSpace:
      return 507;
    case Errc::kCorrupt:
    case Errc::kIo:
      return 500;
  }
  std::abort();
}

}  // namespace

std::string api_text(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

http::Response api_json(int status, std::string text) {
  auto response = http::Response::text(status, "application/json", std::move(text));
  response.headers.add("Cache-Control", "no-store");
  response.headers.add("X-Content-Type-Options", "nosniff");
  return response;
}

http::Response api_json(int status, const Json& json) { return api_json(status, api_text(json)); }

http::Response api_error(int status, std::string_view what) { return api_json(status, Json{{"error", what}}); }

http::Response api_error(const Error& error) { return api_error(status_of(error.code()), error.what()); }

std::string api_time(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(seconds.count())),
                     (since - seconds).count());
}

}  // namespace oxbow::mirror
