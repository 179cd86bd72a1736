#include "registry-api/range.h"

#include <fmt/format.h>

#include <limits>

#include "core/encoding.h"

namespace oxbow::registry_api {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

/// Digits only. A number beyond 64 bits is beyond every blob, so it saturates instead of being malformed.
std::optional<std::uint64_t> parse_number(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    value = value > (kMax - digit) / 10 ? kMax : value * 10 + digit;
  }
  return value;
}

std::optional<OpenRange> parse_spec(std::string_view text) {
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  OpenRange range;
  if (dash == 0) {
    range.suffix = parse_number(text.substr(1));
    return range.suffix ? std::optional(range) : std::nullopt;
  }
  const auto first = parse_number(text.substr(0, dash));
  if (!first) return std::nullopt;
  range.first = *first;
  if (dash + 1 < text.size()) {
    range.last = parse_number(text.substr(dash + 1));
    if (!range.last) return std::nullopt;
  }
  return range;
}

/// The list behind `bytes=`; nothing for another unit.
std::optional<std::string_view> range_set(std::optional<std::string_view> header) {
  if (!header) return std::nullopt;
  const auto text = trim(*header);
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || !iequals(trim(text.substr(0, equals)), "bytes")) return std::nullopt;
  return text.substr(equals + 1);
}

/// Takes the next element off a comma-separated list; empty elements are allowed (RFC 9110 section 5.6.1).
std::string_view take_element(std::string_view& list) {
  const auto comma = list.find(',');
  const auto element = trim(list.substr(0, comma));
  list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  return element;
}

/// The elements of a range set, in order. `malformed` when one of them is no range or there is none.
struct RangeSet {
  std::vector<OpenRange> specs;
  bool malformed = false;
  bool too_many = false;
};

RangeSet parse_set(std::string_view list, std::size_t max_ranges) {
  RangeSet set;
  while (!list.empty()) {
    const auto element = take_element(list);
    if (element.empty()) continue;
    const auto spec = parse_spec(element);
    if (!spec) {
      set.malformed = true;
      return set;
    }
    if (set.specs.size() == max_ranges) {
      set.too_many = true;  // what follows is not looked at: a malformed tail does not make the set cheaper
      return set;
    }
    set.specs.push_back(*spec);
  }
  set.malformed = set.specs.empty();
  return set;
}

}  // namespace

std::optional<ByteRange> OpenRange::resolve(std::uint64_t size) const noexcept {
  if (size == 0) return std::nullopt;
  if (suffix) {
    if (*suffix == 0) return std::nullopt;
    return ByteRange{size - std::min(*suffix, size), size};
  }
  if (first >= size || (last && *last < first)) return std::nullopt;
  return ByteRange{first, last && *last < size ? *last + 1 : size};
}

RangeRequest parse_range(std::optional<std::string_view> header, std::uint64_t size, std::size_t max_ranges) {
  using Kind = RangeRequest::Kind;
  RangeRequest request;
  const auto list = range_set(header);
  if (!list) return request;
  const auto set = parse_set(*list, max_ranges);
  if (set.malformed) return request;
  if (set.too_many) {
    request.kind = Kind::kTooMany;
    return request;
  }
  if (size == 0) {
    const OpenRange first = set.specs.front();
    const bool from_start = first.suffix ? *first.suffix > 0 : first.first == 0;
    request.kind = from_start ? Kind::kWhole : Kind::kUnsatisfiable;
    return request;
  }
  std::uint64_t total = 0;
  for (const auto& spec : set.specs) {
    const auto range = spec.resolve(size);
    if (!range) continue;
    // No overflow: compared before it is added, and size is at most what a blob can have.
    if (size <= kMax / kMaxRangeOverlap && range->size() > size * kMaxRangeOverlap - total) {
      request.kind = Kind::kTooMany;
      request.ranges.clear();
      return request;
    }
    total += range->size();
    request.ranges.push_back(*range);
  }
  request.kind = request.ranges.empty() ? Kind::kUnsatisfiable : Kind::kRanges;
  request.open_ended = set.specs.size() == 1 && !request.ranges.empty() && set.specs.front().open_ended();
  return request;
}

std::string content_range(ByteRange range, std::uint64_t size) {
  return fmt::format("bytes {}-{}/{}", range.begin, range.end - 1, size);
}

std::string unsatisfied_range(std::uint64_t size) { return fmt::format("bytes */{}", size); }

std::optional<ContentRange> parse_content_range(std::string_view header) {
  header = trim(header);
  if (header.size() < 6 || !iequals(header.substr(0, 5), "bytes") || header[5] != ' ') return std::nullopt;
  header = trim(header.substr(6));
  const auto slash = header.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  ContentRange out;
  if (const auto size = header.substr(slash + 1); size != "*") {
    out.size = parse_number(size);
    if (!out.size) return std::nullopt;
  }
  const auto range = header.substr(0, slash);
  if (range == "*") return out.size ? std::optional(out) : std::nullopt;
  const auto spec = parse_spec(range);
  if (!spec || spec->suffix || !spec->last) return std::nullopt;
  if (*spec->last < spec->first || *spec->last == kMax || (out.size && *spec->last >= *out.size)) return std::nullopt;
  out.range = ByteRange{spec->first, *spec->last + 1};
  return out;
}

}  // namespace oxbow::registry_api
