#include "p2p/membership/etcd_json.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "p2p/membership/foreign_json.h"

#include "core/encoding.h"

namespace oxbow::p2p::etcd {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxReasonBytes = 200;
constexpr std::size_t kMaxTokenBytes = 8192;

// gRPC's status codes.
constexpr std::int64_t kGrpcInvalidArgument = 3;
constexpr std::int64_t kGrpcNotFound = 5;
constexpr std::int64_t kGrpcPermissionDenied = 7;
constexpr std::int64_t kGrpcUnauthenticated = 16;

std::string encode(std::string_view bytes) { return base64_encode(bytes); }

std::unexpected<Error> strange(std::string_view what) {
  return fail(Errc::kUnavailable, "etcd's answer is not understood: " + std::string(what));
}

/// Absent is 0, as proto3 leaves it out.
std::optional<std::int64_t> number(const Json& value) {
  if (value.is_null()) return 0;
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  std::int64_t out = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

std::optional<std::string> bytes(const Json& value) {
  if (value.is_null()) return std::string();
  if (!value.is_string()) return std::nullopt;
  return base64_decode(value.get_ref<const std::string&>());
}

Error said(std::int64_t grpc_code, const std::string& message) {
  const auto words =
      "etcd says: " + sayable(message.empty() ? "error " + std::to_string(grpc_code) : message, kMaxReasonBytes);
  switch (grpc_code) {
    case kGrpcInvalidArgument:
      if (says_token_is_old(message)) return {Errc::kUnauthorized, words};
      return {Errc::kInvalid, words};
    case kGrpcNotFound:
      return {Errc::kNotFound, words};
    case kGrpcPermissionDenied:
      return {Errc::kDenied, words};
    case kGrpcUnauthenticated:
      return {Errc::kUnauthorized, words};
    default:
      return {Errc::kUnavailable, words};
  }
}

/// The error in an answer: {"error": "...", "code": 5} of a call, {"error": {"grpc_code": 5, "message": "..."}} of a
/// stream.
std::optional<Error> error_in(const Json& json) {
  const auto& error = json_member(json, "error");
  if (error.is_string()) return said(number(json_member(json, "code")).value_or(0), json_text(error));
  if (!error.is_object()) return std::nullopt;
  const auto& code =
      json_member(error, "grpc_code").is_null() ? json_member(error, "code") : json_member(error, "grpc_code");
  return said(number(code).value_or(0), json_text(json_member(error, "message")));
}

Result<Json> read(std::string_view input) {
  auto json = Json::parse(input, nullptr, false);
  if (!json.is_object()) return strange("not a JSON object");
  if (auto error = error_in(json)) return std::unexpected(std::move(*error));
  return json;
}

Result<std::int64_t> header_revision(const Json& json) {
  const auto revision = number(json_member(json_member(json, "header"), "revision"));
  if (!revision || *revision < 0) return strange("revision");
  return *revision;
}

Result<KeyValue> read_entry(const Json& json) {
  auto key = bytes(json_member(json, "key"));
  auto value = bytes(json_member(json, "value"));
  const auto revision = number(json_member(json, "mod_revision"));
  if (!key || key->empty() || !value || !revision || *revision < 0) return strange("a key and its value");
  return KeyValue{std::move(*key), std::move(*value), *revision};
}

Result<Event> read_event(const Json& json) {
  auto entry = read_entry(json_member(json, "kv"));
  if (!entry) return std::unexpected(entry.error());
  const auto& type = json_member(json, "type");
  return Event{type == "DELETE" || type == 1, std::move(*entry)};
}

std::string write(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

std::string range_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return std::string(1, '\0');  // etcd's word for "to the last key"
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

std::string range_request(std::string_view key, std::string_view end) {
  Json json{{"key", encode(key)}};
  if (!end.empty()) json["range_end"] = encode(end);
  return write(json);
}

std::string watch_request(std::string_view key, std::string_view end, std::int64_t from_revision) {
  // Progress answers keep the revision that we resume from ahead of compactions.
  Json create{{"key", encode(key)}, {"start_revision", std::to_string(from_revision)}, {"progress_notify", true}};
  if (!end.empty()) create["range_end"] = encode(end);
  return write({{"create_request", create}});
}

std::string put_request(std::string_view key, std::string_view value, std::int64_t lease) {
  return write({{"key", encode(key)}, {"value", encode(value)}, {"lease", std::to_string(lease)}});
}

std::string swap_request(std::string_view key, std::string_view value, std::int64_t mod_revision) {
  const Json compare{
      {"key", encode(key)}, {"target", "MOD"}, {"result", "EQUAL"}, {"mod_revision", std::to_string(mod_revision)}};
  const Json put{{"request_put", {{"key", encode(key)}, {"value", encode(value)}}}};
  return write({{"compare", Json::array({compare})}, {"success", Json::array({put})}});
}

std::string grant_request(std::int64_t ttl_seconds) { return write({{"TTL", std::to_string(ttl_seconds)}}); }
std::string lease_request(std::int64_t lease) { return write({{"ID", std::to_string(lease)}}); }
std::string authenticate_request(std::string_view name, std::string_view password) {
  return write({{"name", name}, {"password", password}});
}

Result<Range> parse_range(std::string_view input) {
  const auto json = read(input);
  if (!json) return std::unexpected(json.error());
  const auto revision = header_revision(*json);
  if (!revision) return std::unexpected(revision.error());
  Range range{.revision = *revision, .entries = {}};
  const auto& entries = json_member(*json, "kvs");
  if (!entries.is_null() && !entries.is_array()) return strange("kvs");
  for (const auto& one : entries) {
    auto entry = read_entry(one);
    if (!entry) return std::unexpected(entry.error());
    range.entries.push_back(std::move(*entry));
  }
  return range;
}

Result<WatchAnswer> parse_watch(std::string_view line) {
  const auto json = read(line);
  if (!json) return std::unexpected(json.error());
  const auto& result = json_member(*json, "result");
  if (!result.is_object()) return strange("no result");
  const auto revision = header_revision(result);
  const auto compacted = number(json_member(result, "compact_revision"));
  const auto& events = json_member(result, "events");
  if (!revision) return std::unexpected(revision.error());
  if (!compacted || *compacted < 0) return strange("compact_revision");
  if (!events.is_null() && !events.is_array()) return strange("events");
  WatchAnswer answer{.revision = *revision,
                     .created = json_flag(json_member(result, "created")),
                     .canceled = json_flag(json_member(result, "canceled")),
                     .compact_revision = *compacted,
                     .cancel_reason = sayable(json_text(json_member(result, "cancel_reason")), kMaxReasonBytes),
                     .events = {}};
  for (const auto& one : events) {
    auto event = read_event(one);
    if (!event) return std::unexpected(event.error());
    answer.events.push_back(std::move(*event));
  }
  return answer;
}

Result<Lease> parse_lease(std::string_view input) {
  const auto json = read(input);
  if (!json) return std::unexpected(json.error());
  const auto& lease = json->contains("result") ? json->at("result") : *json;
  const auto id = number(json_member(lease, "ID"));
  const auto ttl = number(json_member(lease, "TTL"));
  if (!id || !ttl || *id == 0) return strange("a lease");
  return Lease{*id, std::clamp<std::int64_t>(*ttl, 0, 1'000'000'000)};
}

Result<Swap> parse_swap(std::string_view input) {
  const auto json = read(input);
  if (!json) return std::unexpected(json.error());
  const auto revision = header_revision(*json);
  if (!revision) return std::unexpected(revision.error());
  return Swap{json_flag(json_member(*json, "succeeded")), *revision};
}

Result<std::string> parse_token(std::string_view input) {
  const auto json = read(input);
  if (!json) return std::unexpected(json.error());
  auto token = json_text(json_member(*json, "token"));
  const bool fits = !token.empty() && token.size() <= kMaxTokenBytes &&
                    std::ranges::all_of(token, [](char c) { return c > ' ' && c < '\x7f'; });
  if (!fits) return strange("token");
  return token;
}

bool says_token_is_old(std::string_view words) { return words.contains("revision of auth store is old"); }

Error parse_error(long status, std::string_view input) {
  const auto json = Json::parse(input, nullptr, false);
  if (auto error = error_in(json)) return std::move(*error);
  // The gateway of etcd 3.6 and later: {"code": 5, "message": "..."}.
  if (const auto code = number(json_member(json, "code")); code && *code > 0)
    return said(*code, json_text(json_member(json, "message")));
  const auto words = fmt::format("etcd's gateway answers {}", status);
  if (status == 401) return {Errc::kUnauthorized, words};
  if (status == 403) return {Errc::kDenied, words};
  return {Errc::kUnavailable, words};
}

}  // namespace oxbow::p2p::etcd
