// The JSON forms of Announce and AnnounceReply.
#include <fmt/format.h>

#include <algorithm>

#include "core/geometry.h"
#include "p2p/protocol/fields.h"
#include "p2p/protocol/messages.h"
#include "p2p/protocol/midstates.h"

namespace oxbow::p2p {
namespace {

constexpr std::uint64_t kMaxTtlMs = 3'600'000;
constexpr std::uint64_t kMaxAgainMs = 86'400'000;
constexpr std::uint32_t kMaxCount = 1'000'000;
constexpr std::size_t kMaxDigestBytes = 256;

std::string_view interest_text(Interest interest) noexcept {
  switch (interest) {
    case Interest::kWanting:
      return "wanting";
    case Interest::kHolding:
      return "holding";
    case Interest::kLeft:
      return "left";
  }
  std::unreachable();
}

/// The entries that fit, each made by `make`. An empty list is left out of the message.
template <typename List, typename Make>
void put_list(Json& json, const char* key, const List& list, std::size_t max_count, Make make) {
  if (list.empty()) return;
  Json out = Json::array();
  for (std::size_t i = 0; i < std::min(list.size(), max_count); ++i) out.push_back(make(list[i]));
  json[key] = std::move(out);
}

constexpr auto as_is = [](const auto& value) { return value; };

/// The blob that a message is about, from its fields `digest` and `size`.
struct Subject {
  Digest digest;
  std::uint64_t size;
  std::uint32_t last_span;  // when the size is not known, of the largest blob that is spoken of
};

std::optional<Subject> read_subject(Fields& fields) {
  const auto digest = Digest::parse(fields.text("digest", kMaxDigestBytes));
  const auto size = fields.number("size", UINT64_MAX);
  if (!digest) {
    fields.refuse(digest.error().code(), "digest", digest.error().what());
  } else if (!is_blob_size(size)) {
    fields.refuse(Errc::kLimit, "size", "more than 200,000 stripes");
  }
  if (!fields.ok()) return std::nullopt;
  const auto spans = size == 0 ? kMaxStripes / kStripesPerSpan : Geometry(size).spans();
  return Subject{*digest, size, spans - 1};
}

Json announce_json(const Announce& announce) {
  Json json{{"digest", announce.digest.to_string()}, {"interest", interest_text(announce.interest)}};
  if (announce.size != 0) {
    json["size"] = announce.size;
    json["have"] = announce.have.encode();
  }
  json["may_fetch"] = announce.may_fetch;
  json["want_neighbours"] = announce.want_neighbours;
  json["know_midstates"] = announce.know_midstates;
  put_list(json, "ask", announce.ask, kMaxSpanList, as_is);
  put_list(json, "leases", announce.leases, kMaxSpanList,
           [](const LeaseProgress& lease) { return Json{{"span", lease.span}, {"bytes", lease.bytes}}; });
  put_list(json, "released", announce.released, kMaxSpanList, as_is);
  put_list(json, "unreachable", announce.unreachable, kMaxUnreachable, as_is);
  put_list(json, "gone", announce.gone, kMaxUnreachable, as_is);
  if (announce.wanters != 0) json["wanters"] = announce.wanters;
  if (announce.midstates) json["midstates"] = midstates_json(*announce.midstates);
  return json;
}

Interest read_interest(Fields& fields) {
  const auto text = fields.text("interest", 16);
  for (const auto interest : {Interest::kWanting, Interest::kHolding, Interest::kLeft}) {
    if (text == interest_text(interest)) return interest;
  }
  fields.refuse(Errc::kInvalid, "interest", "neither wanting nor holding nor left");
  return Interest::kLeft;
}

HaveMap read_have(Fields& fields, std::uint64_t size) {
  if (size == 0) return {};
  auto have = HaveMap::decode(fields.text("have", kMaxHaveLineBytes), Geometry(size).stripes());
  if (!have) fields.refuse(have.error().code(), "have", have.error().what());
  return have ? std::move(*have) : HaveMap();
}

std::vector<LeaseProgress> read_leases(Fields& fields, std::uint32_t last_span) {
  std::vector<LeaseProgress> leases;
  const auto* list = fields.list("leases", kMaxSpanList);
  if (list == nullptr) return leases;
  for (const auto& entry : *list) {
    Fields inner(entry);
    // As in the other lists of spans: one outside the blob is wrong, not too much.
    const auto span = inner.number("span", UINT64_MAX);
    if (span > last_span) inner.refuse(Errc::kInvalid, "span", "not one of the blob");
    leases.push_back({static_cast<std::uint32_t>(span), inner.number("bytes", UINT64_MAX)});
    fields.note(inner);
  }
  return leases;
}

Result<Announce> read_announce(const Json& json) {
  Fields fields(json);
  Announce announce;
  const auto subject = read_subject(fields);
  if (!subject) return fields.finish(std::move(announce));
  announce.digest = subject->digest;
  announce.size = subject->size;
  announce.interest = read_interest(fields);
  announce.have = read_have(fields, subject->size);
  announce.may_fetch = fields.flag("may_fetch");
  announce.want_neighbours = fields.flag("want_neighbours", true);
  announce.know_midstates = fields.flag("know_midstates");
  announce.ask = fields.numbers("ask", kMaxSpanList, subject->last_span);
  announce.leases = read_leases(fields, subject->last_span);
  announce.released = fields.numbers("released", kMaxSpanList, subject->last_span);
  announce.unreachable = fields.texts("unreachable", kMaxUnreachable, kMaxNameBytes);
  announce.gone = fields.texts("gone", kMaxUnreachable, kMaxNameBytes);
  announce.wanters = fields.number32("wanters", kMaxCount);
  if (const auto* list = fields.object("midstates"))
    announce.midstates = read_midstates(fields, *list, subject->digest.algorithm(), subject->size);
  return fields.finish(std::move(announce));
}

Json reply_json(const AnnounceReply& reply) {
  Json json{{"digest", reply.digest.to_string()}, {"again_ms", reply.again.count()}, {"wanters", reply.wanters}};
  if (reply.size != 0) json["size"] = reply.size;
  if (reply.fresh) json["fresh"] = true;
  put_list(json, "neighbours", reply.neighbours, kMaxNeighbours, [](const Neighbour& neighbour) {
    return Json{{"name", neighbour.name}, {"complete", neighbour.complete}, {"stripes", neighbour.stripes}};
  });
  put_list(json, "granted", reply.granted, kMaxSpanList,
           [](const LeaseGrant& grant) { return Json{{"span", grant.span}, {"ttl_ms", grant.ttl.count()}}; });
  put_list(json, "lost", reply.lost, kMaxSpanList, as_is);
  if (reply.midstates) json["midstates"] = midstates_json(*reply.midstates);
  return json;
}

std::vector<Neighbour> read_neighbours(Fields& fields) {
  std::vector<Neighbour> neighbours;
  const auto* list = fields.list("neighbours", kMaxNeighbours);
  if (list == nullptr) return neighbours;
  for (const auto& entry : *list) {
    Fields inner(entry);
    neighbours.push_back({inner.name("name"), inner.flag("complete"), inner.number32("stripes", kMaxStripes)});
    fields.note(inner);
  }
  return neighbours;
}

std::vector<LeaseGrant> read_grants(Fields& fields, std::uint32_t last_span) {
  std::vector<LeaseGrant> grants;
  const auto* list = fields.list("granted", kMaxSpanList);
  if (list == nullptr) return grants;
  for (const auto& entry : *list) {
    Fields inner(entry);
    grants.push_back({inner.number32("span", last_span),
                      std::chrono::milliseconds(static_cast<std::int64_t>(inner.number("ttl_ms", kMaxTtlMs, 2'000)))});
    fields.note(inner);
  }
  return grants;
}

Result<AnnounceReply> read_reply(const Json& json) {
  Fields fields(json);
  AnnounceReply reply;
  const auto subject = read_subject(fields);
  if (!subject) return fields.finish(std::move(reply));
  reply.digest = subject->digest;
  reply.size = subject->size;
  reply.neighbours = read_neighbours(fields);
  reply.granted = read_grants(fields, subject->last_span);
  reply.lost = fields.numbers("lost", kMaxSpanList, subject->last_span);
  if (const auto* list = fields.object("midstates"))
    reply.midstates = read_midstates(fields, *list, subject->digest.algorithm(), subject->size);
  reply.again = std::chrono::milliseconds(static_cast<std::int64_t>(fields.number("again_ms", kMaxAgainMs, 1'000)));
  reply.fresh = fields.flag("fresh");
  reply.wanters = fields.number32("wanters", kMaxCount);
  return fields.finish(std::move(reply));
}

/// A message that is a list of entries under `key`.
template <typename T, typename Read>
Result<std::vector<T>> parse_list(std::string_view text, const char* key, Read read) {
  const auto message = parse_message(text, kMaxMessageBytes);
  if (!message) return std::unexpected(message.error());
  Fields fields(*message);
  std::vector<T> out;
  if (const auto* list = fields.list(key, kMaxAnnounces)) {
    for (const auto& entry : *list) {
      auto one = read(entry);
      if (!one) return std::unexpected(std::move(one.error()).in(key));
      out.push_back(std::move(*one));
    }
  } else {
    fields.refuse(Errc::kInvalid, key, "missing");
  }
  return fields.finish(std::move(out));
}

}  // namespace

std::string to_json(const std::vector<Announce>& announces) {
  Json json{{"announces", Json::array()}};
  for (const auto& announce : announces) json["announces"].push_back(announce_json(announce));
  return dump(json);
}

Result<std::vector<Announce>> parse_announces(std::string_view json) {
  return parse_list<Announce>(json, "announces", read_announce);
}

std::string to_json(const std::vector<AnnounceReply>& replies) {
  Json json{{"replies", Json::array()}};
  for (const auto& reply : replies) json["replies"].push_back(reply_json(reply));
  return dump(json);
}

Result<std::vector<AnnounceReply>> parse_announce_replies(std::string_view json) {
  return parse_list<AnnounceReply>(json, "replies", read_reply);
}

}  // namespace oxbow::p2p
