// Text encodings used by more than one room: hex, base64, percent-encoding, and the sizes and durations of the config.
// Thread rule: pure functions.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace oxbow {

std::string to_hex(std::span<const std::byte> bytes);
/// Lower-case only, as OCI digests demand; nothing for anything else.
std::optional<std::vector<std::byte>> from_hex(std::string_view text);

std::string base64_encode(std::string_view bytes);
/// Standard and URL alphabets, padding optional.
std::optional<std::string> base64_decode(std::string_view text);

/// Nothing when an escape is broken or decodes to NUL. `plus_is_space` for query strings.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
/// Escapes all but unreserved characters (RFC 3986).
std::string percent_encode(std::string_view text);
/// The first value of `key` in a raw query string, decoded.
std::optional<std::string> query_value(std::string_view query, std::string_view key);

/// "512", "64KiB", "1.5 GiB", "10MB": bytes. Errors: kInvalid, with what would be right.
Result<std::uint64_t> parse_bytes(std::string_view text);
/// "1.2 GiB": for people.
std::string format_bytes(std::uint64_t bytes);
/// "250ms", "5s", "10m", "24h", "7d", "0". Errors: kInvalid.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
std::string format_duration(std::chrono::milliseconds duration);

bool iequals(std::string_view a, std::string_view b) noexcept;
std::string to_lower(std::string_view text);
std::string_view trim(std::string_view text) noexcept;

}  // namespace oxbow
