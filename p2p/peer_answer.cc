#include "p2p/peer_answer.h"

#include "p2p/protocol/fields.h"

namespace oxbow::p2p {
namespace {

struct StatusAndCode {
  int status;
  std::string_view code;
};

StatusAndCode status_of(Errc code) noexcept {
  switch (code) {
    case Errc::kInvalid:
      return {400, "INVALID"};
    case Errc::kUnsupported:
      return {400, "UNSUPPORTED"};
    case Errc::kLimit:
      return {413, "TOO_LARGE"};
    case Errc::kOutOfRange:
      return {416, "RANGE_INVALID"};
    case Errc::kNotFound:
      return {404, "NOT_FOUND"};
    case Errc::kUnauthorized:
    case Errc::kDenied:
      return {403, "DENIED"};
    case Errc::kBusy:
    case Errc::kThrottled:
      return {503, "BUSY"};
    case Errc::kTimeout:
      return {504, "TIMEOUT"};
    case Errc::kUnavailable:
    case Errc::kCorrupt:
    case Errc::kCancelled:
      return {502, "UNAVAILABLE"};
    case Errc::kNoSpace:
    case Errc::kIo:
      return {500, "FAILED"};
  }
  std::unreachable();
}

}  // namespace

http::Response json_answer(std::string json) { return http::Response::text(200, "application/json", std::move(json)); }

http::Response error_answer(int status, std::string_view code, std::string_view message) {
  const Json body{{"errors", Json::array({Json{{"code", code}, {"message", message}}})}};
  return http::Response::text(status, "application/json", dump(body));
}

http::Response error_answer(const Error& error) {
  const auto [status, code] = status_of(error.code());
  return error_answer(status, code, error.what());
}

}  // namespace oxbow::p2p
