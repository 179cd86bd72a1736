// Answers of the admin API. Thread rule: pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "core/http/handler.h"

namespace oxbow::mirror {

/// Indented, with a newline; bytes that are no UTF-8 are replaced.
std::string api_text(const nlohmann::ordered_json& json);
http::Response api_json(int status, std::string text);
http::Response api_json(int status, const nlohmann::ordered_json& json);
/// `{"error": "plain words"}`
http::Response api_error(int status, std::string_view what);
/// With the status of its kind: 400 kInvalid, 404 kNotFound, 403 kDenied, 409 kBusy, 413 kLimit, 503 kUnavailable,
/// 507 kNoSpace, else 500.
http::Response api_error(const Error& error);
/// RFC 3339 in UTC with milliseconds: "2026-03-01T12:00:00.250Z".
std::string api_time(std::chrono::system_clock::time_point time);

}  // namespace oxbow::mirror
