// The header fields of a stripe's request and answer (docs/peer-protocol.md). Thread rule: pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/http/headers.h"
#include "p2p/protocol/messages.h"

namespace oxbow::p2p {

namespace field {
inline constexpr std::string_view kPeer = "oxbow-peer";
inline constexpr std::string_view kSize = "oxbow-size";
inline constexpr std::string_view kDeadline = "oxbow-deadline-ms";
inline constexpr std::string_view kPath = "oxbow-path";
inline constexpr std::string_view kLoad = "oxbow-load";
inline constexpr std::string_view kHave = "oxbow-have";
inline constexpr std::string_view kVerified = "oxbow-verified";
inline constexpr std::string_view kChecksum = "oxbow-checksum";
inline constexpr std::string_view kAlternatives = "oxbow-alternatives";
inline constexpr std::string_view kLease = "oxbow-lease";
inline constexpr std::string_view kClient = "oxbow-client";
inline constexpr std::string_view kWants = "oxbow-wants";
}  // namespace field

/// What a stripe's request says beside its path.
struct StripeFields {
  std::uint64_t blob_bytes = 0;
  std::uint64_t offset = 0;
  bool ranged = false;                                ///< the answer is 206
  std::chrono::milliseconds deadline{30'000};         ///< of the answer's head
  std::optional<std::vector<std::string>> path = {};  ///< fetch it along these; empty: this is the path's end
  std::string client = {};  ///< with a path: who asked first and may fetch from upstream; empty: nobody may
  std::uint32_t wants = 0;  ///< with a client: how many stripes from this one on, at most a span
};

/// How long who asks waits from now on, at most; `renew_deadline` leaves a request without the field as it is.
void set_deadline(std::chrono::milliseconds left, http::Headers& headers);
void renew_deadline(std::chrono::milliseconds left, http::Headers& headers);
/// 30 s without the field. Errors: kInvalid.
Result<std::chrono::milliseconds> parse_deadline(const http::Headers& headers);

void add_request_fields(const StripeFields& fields, http::Headers& headers);
/// Errors: kInvalid, kLimit, kOutOfRange (no such stripe in the blob, or no such offset in the stripe).
Result<StripeFields> parse_request_fields(const http::Headers& headers, std::uint32_t stripe);

/// All but the news, which ride on refusals too, and the length, which is the server's.
void add_answer_fields(const StripeFacts& facts, std::uint32_t stripe, http::Headers& headers);
/// Of a 200 or 206 to a request that asked for `offset` on. Errors: kInvalid (not the bytes that were asked for).
Result<StripeFacts> parse_answer_fields(int status, const http::Headers& headers, std::uint32_t stripe,
                                        std::uint64_t blob_bytes, std::uint64_t offset);
/// The load that an answer tells; nothing where it tells none, or something else.
std::optional<Load> load_of(const http::Headers& headers);
/// Of any answer. Errors: kInvalid.
Result<AnswerNews> parse_answer_news(const http::Headers& headers, std::uint64_t blob_bytes);

/// Comma-separated; what is no peer's name makes the whole list kInvalid.
std::string join_names(const std::vector<std::string>& names, std::size_t max_count);
Result<std::vector<std::string>> split_names(std::string_view text, std::size_t max_count);

}  // namespace oxbow::p2p
