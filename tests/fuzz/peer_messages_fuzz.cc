// Property: any bytes from a peer give an error, or a message within the bounds whose written form reads back as the
// same text.
#include <cstdlib>
#include <string>

#include "core/geometry.h"
#include "p2p/peer_route.h"
#include "p2p/protocol/messages.h"
#include "p2p/protocol/preheat.h"
#include "p2p/protocol/stripe_fields.h"

namespace {

using namespace oxbow::p2p;

void require(bool condition) {
  if (!condition) std::abort();
}

template <typename Message, typename Parse>
void check_stable(const Message& message, Parse parse) {
  const auto text = to_json(message);
  const auto again = parse(text);
  require(again.has_value() && to_json(*again) == text);
}

void check_messages(std::string_view text) {
  if (const auto hello = parse_hello(text)) {
    require(is_peer_name(hello->facts.name));
    check_stable(*hello, parse_hello);
  }
  if (const auto announces = parse_announces(text)) {
    require(announces->size() <= kMaxAnnounces);
    for (const auto& one : *announces) require(is_blob_size(one.size) && one.ask.size() <= kMaxSpanList);
    check_stable(*announces, parse_announces);
  }
  if (const auto replies = parse_announce_replies(text)) {
    for (const auto& one : *replies) require(one.neighbours.size() <= kMaxNeighbours);
    check_stable(*replies, parse_announce_replies);
  }
  for (const auto algorithm : {oxbow::Digest::Algorithm::kSha256, oxbow::Digest::Algorithm::kSha512}) {
    const auto parse = [algorithm](std::string_view json) { return parse_blob_facts(json, algorithm); };
    if (const auto facts = parse(text)) {
      require(facts->have.size() == oxbow::Geometry(facts->size).stripes());
      check_stable(*facts, parse);
    }
  }
  if (const auto known = parse_known_facts(text)) {
    require(!known->size || is_blob_size(*known->size));
    require(known->age.count() >= 0);
    check_stable(*known, parse_known_facts);
  }
  if (const auto ask = parse_preheat_ask(text)) {
    require(is_preheat_id(ask->id) && !ask->registry.empty() && !ask->repository.empty());
    check_stable(*ask, parse_preheat_ask);
  }
  if (const auto report = parse_preheat_report(text)) {
    require(is_preheat_id(report->id));
    check_stable(*report, parse_preheat_report);
  }
}

void check_texts(std::string_view text, std::uint32_t stripes) {
  if (const auto update = parse_have_update(text, stripes)) {
    for (const auto stripe : update->have) require(stripe < std::max(stripes, 1U));
    require(parse_have_update(to_json_line(*update), stripes).has_value());
  }
  if (const auto map = HaveMap::decode(text, stripes)) require(HaveMap::decode(map->encode(), stripes) == *map);
  if (const auto slice = parse_have_slice(text, stripes)) {
    require(slice->first + slice->have.size() <= stripes);
    require(parse_have_slice(to_text(*slice), stripes) == *slice);
  }
  if (const auto load = parse_load(text)) require(parse_load(to_text(*load)) == *load);
  if (const auto names = split_names(text, kMaxPath))
    require(split_names(join_names(*names, kMaxPath), kMaxPath) == *names);
  if (const auto route = parse_peer_route(text); route && route->kind == PeerRoute::Kind::kKnown) {
    require(!route->registry.empty() && !route->repository.empty());
  } else if (route && route->kind == PeerRoute::Kind::kPreheat) {
    require(is_preheat_id(route->id));
  }
}

/// Each line of the text is a field `name: value`.
void check_fields(std::string_view text, std::uint32_t stripe) {
  oxbow::http::Headers headers;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    const auto colon = line.find(':');
    if (colon != line.npos) headers.add(std::string(line.substr(0, colon)), std::string(line.substr(colon + 1)));
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
  }
  if (const auto fields = parse_request_fields(headers, stripe)) {
    require(fields->offset < oxbow::Geometry(fields->blob_bytes).stripe(stripe).size());
    oxbow::http::Headers written;
    add_request_fields(*fields, written);
    require(parse_request_fields(written, stripe).has_value());
  }
  constexpr std::uint64_t kBlobBytes = 64ULL * 1024 * 1024;
  if (const auto facts = parse_answer_fields(200, headers, stripe % 128, kBlobBytes, 0)) {
    require(facts->length == oxbow::Geometry(kBlobBytes).stripe(stripe % 128).size());
  }
  if (const auto news = parse_answer_news(headers, kBlobBytes); news && news->have) {
    require(news->have->first + news->have->have.size() <= oxbow::Geometry(kBlobBytes).stripes());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto stripes = static_cast<std::uint32_t>(data[0]) * 16 + data[1];
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  check_messages(text);
  check_texts(text, stripes);
  check_fields(text, stripes);
  return 0;
}
