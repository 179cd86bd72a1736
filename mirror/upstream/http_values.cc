#include "mirror/upstream/http_values.h"

#include <curl/curl.h>
#include <limits>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "core/encoding.h"
#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kMaxRetryAfter{3600};
constexpr seconds kMaxLocationLife{900};
constexpr seconds kDefaultLocationLife{60};
constexpr seconds kLocationMargin{10};

std::optional<std::uint64_t> query_number(std::string_view query, std::string_view key) {
  const auto value = query_value(query, key);
  return value ? parse_number(*value) : std::nullopt;
}

/// The system clock counts nanoseconds in 64 bits, which end in the year 2262; a text can name any year.
Clock::Wall wall_at(std::time_t seconds_since_1970) noexcept {
  constexpr std::time_t kLast = 9'000'000'000;  // 2255
  return Clock::Wall(seconds(std::clamp<std::time_t>(seconds_since_1970, 0, kLast)));
}

/// "20260131T235959Z" and "2026-01-31T23:59:59Z".
std::optional<Clock::Wall> parse_iso_time(std::string text) {
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  std::tm parts{};
  const char* end = strptime(text.c_str(), "%Y%m%dT%H%M%S", &parts);
  if (end == nullptr || (*end != 'Z' && *end != '.' && *end != '\0')) return std::nullopt;
  return wall_at(timegm(&parts));
}

std::optional<Clock::Wall> signed_expiry(std::string_view query) {
  for (const auto* vendor : {"X-Amz-", "X-Goog-"}) {
    const auto date = query_value(query, std::string(vendor) + "Date");
    const auto life = query_number(query, std::string(vendor) + "Expires");
    if (!date || !life) continue;
    const auto begin = parse_iso_time(*date);
    if (begin) return *begin + seconds(std::min<std::uint64_t>(*life, 7 * 86400));
  }
  if (const auto at = query_number(query, "Expires")) {
    return wall_at(
        static_cast<std::time_t>(std::min<std::uint64_t>(*at, std::numeric_limits<std::int32_t>::max() * 8ULL)));
  }
  if (const auto at = query_value(query, "se")) return parse_iso_time(*at);
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<ContentRange> parse_content_range(std::string_view value) {
  value = trim(value);
  if (value.size() < 6 || !iequals(value.substr(0, 5), "bytes")) return std::nullopt;
  value = trim(value.substr(5));
  const auto dash = value.find('-');
  const auto slash = value.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) return std::nullopt;
  const auto first = parse_number(trim(value.substr(0, dash)));
  const auto last = parse_number(trim(value.substr(dash + 1, slash - dash - 1)));
  const auto total_text = trim(value.substr(slash + 1));
  if (!first || !last || *first > *last) return std::nullopt;
  ContentRange range{.first = *first, .last = *last, .total = std::nullopt};
  if (total_text == "*") return range;
  range.total = parse_number(total_text);
  if (!range.total || *range.total <= *last) return std::nullopt;
  return range;
}

std::string format_range(const ByteRange& range) {
  return fmt::format("bytes={}-{}", range.first, range.last ? fmt::to_string(*range.last) : std::string());
}

std::optional<milliseconds> parse_retry_after(std::string_view value, Clock::Wall now) {
  value = trim(value);
  if (value.empty()) return std::nullopt;
  if (std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; })) {
    const auto count = parse_number(value);
    return count && *count < static_cast<std::uint64_t>(kMaxRetryAfter.count())
               ? seconds(static_cast<std::int64_t>(*count))
               : kMaxRetryAfter;
  }
  const auto at = curl_getdate(std::string(value).c_str(), nullptr);
  if (at < 0) return std::nullopt;
  const auto wait = std::chrono::duration_cast<milliseconds>(wall_at(at) - now);
  return std::clamp<milliseconds>(wait, milliseconds(0), kMaxRetryAfter);
}

std::optional<milliseconds> location_lifetime(std::string_view url, Clock::Wall now) {
  const auto parts = split_url(url);
  if (!parts) return std::nullopt;
  const auto expiry = signed_expiry(parts->query);
  if (!expiry) return kDefaultLocationLife;
  const auto left = std::chrono::duration_cast<milliseconds>(*expiry - now) - kLocationMargin;
  if (left <= milliseconds(0)) return std::nullopt;
  return std::min<milliseconds>(left, kMaxLocationLife);
}

}  // namespace oxbow::mirror::upstream
