// Property: a token service's answer gives an error or a token that can stand in a header, with a bounded life; realms
// and the times of signed URLs never fail.
#include <chrono>
#include <cstdlib>

#include "mirror/upstream/http_values.h"
#include "mirror/upstream/token.h"
#include "mirror/upstream/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oxbow::mirror::upstream;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto token = parse_token(text)) {
    if (token->value.empty() || token->lifetime < std::chrono::seconds(60) || token->lifetime > std::chrono::hours(24))
      std::abort();
    for (const char c : token->value) {
      if (c <= ' ' || c >= '\x7f') std::abort();
    }
  }
  const bool plausible = check_realm(text, true).has_value();
  if (plausible && split_url(text)->scheme != "https") std::abort();
  const oxbow::Clock::Wall now(std::chrono::seconds(1'700'000'000));
  if (const auto life = location_lifetime(text, now); life && (life->count() <= 0 || *life > std::chrono::minutes(15)))
    std::abort();
  if (const auto wait = parse_retry_after(text, now); wait && (wait->count() < 0 || *wait > std::chrono::hours(1)))
    std::abort();
  if (const auto range = parse_content_range(text); range && range->first > range->last) std::abort();
  return 0;
}
