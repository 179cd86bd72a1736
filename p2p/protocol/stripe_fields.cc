#include "p2p/protocol/stripe_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/encoding.h"
#include "core/geometry.h"

namespace oxbow::p2p {
namespace {

constexpr std::uint64_t kMaxDeadlineMs = 600'000;
constexpr std::chrono::milliseconds kDefaultDeadline{30'000};

std::optional<std::uint64_t> parse_number(std::string_view text) noexcept {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// `bytes=<offset>-`, the only form that a stripe knows.
std::optional<std::uint64_t> parse_range(std::string_view text) noexcept {
  constexpr std::string_view kUnit = "bytes=";
  if (!text.starts_with(kUnit) || !text.ends_with('-')) return std::nullopt;
  text.remove_prefix(kUnit.size());
  text.remove_suffix(1);
  return parse_number(text);
}

}  // namespace

std::string join_names(const std::vector<std::string>& names, std::size_t max_count) {
  std::string out;
  std::size_t count = 0;
  for (const auto& name : names) {
    if (!is_peer_name(name) || ++count > max_count) continue;
    if (!out.empty()) out += ',';
    out += name;
  }
  return out;
}

Result<std::vector<std::string>> split_names(std::string_view text, std::size_t max_count) {
  std::vector<std::string> names;
  text = trim(text);
  while (!text.empty()) {
    const auto comma = text.find(',');
    const auto name = trim(text.substr(0, comma));
    if (!is_peer_name(name)) return fail(Errc::kInvalid, "not a list of peers' names");
    if (names.size() == max_count) return fail(Errc::kLimit, fmt::format("more than {} names", max_count));
    names.emplace_back(name);
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
  }
  return names;
}

void set_deadline(std::chrono::milliseconds left, http::Headers& headers) {
  headers.set(field::kDeadline, std::to_string(std::clamp<std::int64_t>(left.count(), 1, kMaxDeadlineMs)));
}

void renew_deadline(std::chrono::milliseconds left, http::Headers& headers) {
  if (headers.find(field::kDeadline)) set_deadline(left, headers);
}

Result<std::chrono::milliseconds> parse_deadline(const http::Headers& headers) {
  const auto text = headers.find(field::kDeadline);
  if (!text) return kDefaultDeadline;
  const auto deadline = parse_number(*text);
  if (!deadline) return fail(Errc::kInvalid, "oxbow-deadline-ms: not a number");
  return std::chrono::milliseconds(std::min(*deadline, kMaxDeadlineMs));
}

void add_request_fields(const StripeFields& fields, http::Headers& headers) {
  headers.add(std::string(field::kSize), std::to_string(fields.blob_bytes));
  if (fields.ranged) headers.add("range", fmt::format("bytes={}-", fields.offset));
  set_deadline(fields.deadline, headers);
  if (!fields.path) return;
  headers.add(std::string(field::kPath), join_names(*fields.path, kMaxPath));
  if (fields.client.empty() || fields.wants == 0) return;
  headers.add(std::string(field::kClient), fields.client);
  headers.add(std::string(field::kWants), std::to_string(fields.wants));
}

Result<StripeFields> parse_request_fields(const http::Headers& headers, std::uint32_t stripe) {
  StripeFields fields;
  const auto size = parse_number(headers.find(field::kSize).value_or(""));
  if (!size) return fail(Errc::kInvalid, "oxbow-size: the blob's size is missing");
  if (!is_blob_size(*size)) return fail(Errc::kLimit, "oxbow-size: more than 200,000 stripes");
  fields.blob_bytes = *size;
  const Geometry geometry(*size);
  if (stripe >= geometry.stripes()) return fail(Errc::kOutOfRange, "the blob has no such stripe");
  if (const auto text = headers.find("range")) {
    const auto offset = parse_range(*text);
    if (!offset) return fail(Errc::kInvalid, "range: only bytes=<offset>-");
    if (*offset >= geometry.stripe(stripe).size()) return fail(Errc::kOutOfRange, "the stripe has no such offset");
    fields.offset = *offset;
    fields.ranged = true;
  }
  const auto deadline = parse_deadline(headers);
  if (!deadline) return std::unexpected(deadline.error());
  fields.deadline = *deadline;
  if (const auto text = headers.find(field::kPath)) {
    auto path = split_names(*text, kMaxPath);
    if (!path) return std::unexpected(std::move(path.error()).in(field::kPath));
    fields.path = std::move(*path);
  }
  if (const auto text = headers.find(field::kClient); text && fields.path) {
    if (!is_peer_name(*text)) return fail(Errc::kInvalid, "oxbow-client: not a peer's name");
    const auto wants = parse_number(headers.find(field::kWants).value_or("1"));
    if (!wants) return fail(Errc::kInvalid, "oxbow-wants: not a number");
    fields.client = *text;
    fields.wants = static_cast<std::uint32_t>(std::min<std::uint64_t>(*wants, kStripesPerSpan));
  }
  return fields;
}

void add_answer_fields(const StripeFacts& facts, std::uint32_t stripe, http::Headers& headers) {
  headers.add(std::string(field::kSize), std::to_string(facts.blob_bytes));
  headers.add(std::string(field::kVerified), facts.verified ? "1" : "0");
  if (facts.checksum_hex) headers.add(std::string(field::kChecksum), *facts.checksum_hex);
  const auto bytes = Geometry(facts.blob_bytes).stripe(stripe).size();
  if (facts.offset > 0) {
    headers.add("content-range", fmt::format("bytes {}-{}/{}", facts.offset, bytes - 1, bytes));
  }
}

Result<StripeFacts> parse_answer_fields(int status, const http::Headers& headers, std::uint32_t stripe,
                                        std::uint64_t blob_bytes, std::uint64_t offset) {
  const Geometry geometry(blob_bytes);
  StripeFacts facts;
  facts.blob_bytes = blob_bytes;
  facts.offset = offset;
  facts.length = geometry.stripe(stripe).size() - offset;
  if (status != (offset > 0 ? 206 : 200)) return fail(Errc::kInvalid, fmt::format("status {} to a stripe", status));
  if (parse_number(headers.find("content-length").value_or("")) != facts.length) {
    return fail(Errc::kInvalid, "content-length is not the stripe's");
  }
  if (const auto size = headers.find(field::kSize); size && parse_number(*size) != blob_bytes) {
    return fail(Errc::kInvalid, "the stripe is of a blob of another size");
  }
  facts.verified = headers.find(field::kVerified) == "1";
  if (const auto text = headers.find(field::kChecksum)) {
    if (!is_checksum(*text)) return fail(Errc::kInvalid, "oxbow-checksum: not 32 hexadecimal digits");
    facts.checksum_hex.emplace(*text);
  }
  return facts;
}

std::optional<Load> load_of(const http::Headers& headers) {
  const auto text = headers.find(field::kLoad);
  if (!text) return std::nullopt;
  const auto load = parse_load(*text);
  return load ? std::optional(*load) : std::nullopt;
}

Result<AnswerNews> parse_answer_news(const http::Headers& headers, std::uint64_t blob_bytes) {
  AnswerNews news;
  if (const auto text = headers.find(field::kLoad)) {
    const auto load = parse_load(*text);
    if (!load) return std::unexpected(load.error());
    news.load = *load;
  }
  if (const auto text = headers.find(field::kHave)) {
    auto slice = parse_have_slice(*text, Geometry(blob_bytes).stripes());
    if (!slice) return std::unexpected(slice.error());
    news.have = std::move(*slice);
  }
  return news;
}

}  // namespace oxbow::p2p
