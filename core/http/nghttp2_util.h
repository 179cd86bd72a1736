// What both ends of HTTP/2 need of nghttp2's C types. Part of their implementation.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace oxbow::http {

constexpr std::size_t kFrameHeaderBytes = 9;

inline std::string_view as_text(const std::uint8_t* bytes, std::size_t length) noexcept {
  return {reinterpret_cast<const char*>(bytes), length};
}

/// Valid while both views are.
inline nghttp2_nv header_field(std::string_view name, std::string_view value) noexcept {
  return {const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(name.data())),
          const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

/// What SETTINGS_MAX_HEADER_LIST_SIZE counts of one field beside its two strings (RFC 9113, section 6.5.2).
constexpr std::size_t kFieldOverheadBytes = 32;

}  // namespace oxbow::http
