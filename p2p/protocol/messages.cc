#include "p2p/protocol/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/geometry.h"
#include "p2p/protocol/fields.h"
#include "p2p/protocol/midstates.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxLabels = 16;
constexpr std::size_t kMaxLabelBytes = 128;
constexpr std::size_t kMaxTextBytes = 256;
constexpr double kMaxWeight = 1'000;
constexpr std::uint64_t kMaxAgeMs = 3'650ULL * 86'400 * 1'000;

/// A decimal number without sign that takes up all of `text`.
std::optional<std::uint32_t> parse_number(std::string_view text) noexcept {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

Json bounded(const std::vector<std::uint32_t>& list, std::size_t max_count) {
  Json out = Json::array();
  for (std::size_t i = 0; i < std::min(list.size(), max_count); ++i) out.push_back(list[i]);
  return out;
}

/// Pairs of a stripe and its checksum.
std::vector<std::pair<std::uint32_t, std::string>> read_sums(Fields& fields, std::uint32_t last_stripe) {
  std::vector<std::pair<std::uint32_t, std::string>> sums;
  const auto* list = fields.list("sums", kMaxHaveSums);
  if (list == nullptr) return sums;
  for (const auto& entry : *list) {
    const bool pair = entry.is_array() && entry.size() == 2 && entry[0].is_number_unsigned() && entry[1].is_string();
    if (!pair || entry[0].get<std::uint64_t>() > last_stripe || !is_checksum(entry[1].get_ref<const std::string&>())) {
      fields.refuse(Errc::kInvalid, "sums", "not pairs of a stripe and a checksum");
      break;
    }
    sums.emplace_back(entry[0].get<std::uint32_t>(), entry[1].get<std::string>());
  }
  return sums;
}

}  // namespace

bool is_checksum(std::string_view text) noexcept {
  return text.size() == 32 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_peer_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, [](char c) {
    return c > ' ' && c < '\x7f' && c != ',' && c != '/' && c != '"' && c != '\\';
  });
}

bool is_blob_size(std::uint64_t bytes) noexcept {
  return bytes <= kMaxStripes * kMaxStripeBytes && Geometry(bytes).stripes() <= kMaxStripes;
}

std::string to_json(const Hello& hello) {
  const auto& facts = hello.facts;
  // The incarnation is a string: readers that keep numbers as doubles would round it.
  return dump(Json{{"name", facts.name},
                   {"location", facts.location},
                   {"weight", facts.weight},
                   {"protocol_oldest", facts.protocol_oldest},
                   {"protocol_newest", facts.protocol_newest},
                   {"incarnation", fmt::format("{:016x}", facts.incarnation)},
                   {"draining", facts.draining},
                   {"version", hello.version},
                   {"strategy", hello.strategy},
                   {"replicas", hello.replicas},
                   {"settings_epoch", hello.settings_epoch},
                   {"advertise", hello.advertise}});
}

Result<Hello> parse_hello(std::string_view json) {
  const auto message = parse_message(json, kMaxHelloBytes);
  if (!message) return std::unexpected(message.error());
  Fields fields(*message);
  Hello hello;
  hello.facts.name = fields.name("name");
  hello.facts.location = fields.texts("location", kMaxLabels, kMaxLabelBytes);
  hello.facts.weight = fields.real("weight", 0.001, kMaxWeight, 1);
  hello.facts.protocol_oldest = fields.number32("protocol_oldest", 1'000'000, kProtocolOldest);
  hello.facts.protocol_newest = fields.number32("protocol_newest", 1'000'000, kProtocolNewest);
  const auto incarnation = fields.text("incarnation", 16);
  const auto* end = incarnation.data() + incarnation.size();
  if (const auto got = std::from_chars(incarnation.data(), end, hello.facts.incarnation, 16);
      !incarnation.empty() && (got.ec != std::errc() || got.ptr != end)) {
    fields.refuse(Errc::kInvalid, "incarnation", "not a hexadecimal number");
  }
  hello.facts.draining = fields.flag("draining");
  hello.version = fields.text("version", kMaxTextBytes);
  hello.strategy = fields.text("strategy", kMaxTextBytes);
  hello.replicas = fields.number32("replicas", 1'000, 3);
  hello.settings_epoch = fields.number("settings_epoch", UINT64_MAX);
  hello.advertise = fields.text("advertise", kMaxTextBytes + 8);
  return fields.finish(std::move(hello));
}

std::string to_json_line(const HaveUpdate& update) {
  Json json = Json::object();
  if (update.map) json["map"] = update.map->encode();
  if (!update.have.empty()) json["have"] = bounded(update.have, kMaxHaveChanges);
  if (!update.arriving.empty()) json["arriving"] = bounded(update.arriving, kMaxHaveChanges);
  if (!update.lost.empty()) json["lost"] = bounded(update.lost, kMaxHaveChanges);
  if (update.load) json["load"] = to_text(*update.load);
  if (!update.sums.empty()) {
    Json sums = Json::array();
    for (const auto& [stripe, sum] : update.sums) {
      if (sums.size() < kMaxHaveSums) sums.push_back(Json::array({stripe, sum}));
    }
    json["sums"] = std::move(sums);
  }
  return dump(json) + "\n";
}

Result<HaveUpdate> parse_have_update(std::string_view line, std::uint32_t stripes) {
  const auto message = parse_message(line, kMaxHaveLineBytes);
  if (!message) return std::unexpected(message.error());
  Fields fields(*message);
  HaveUpdate update;
  if (message->contains("map")) {
    auto map = HaveMap::decode(fields.text("map", kMaxHaveLineBytes), stripes);
    if (!map) return std::unexpected(map.error());
    update.map = std::move(*map);
  }
  const auto last = std::max(stripes, 1U) - 1;
  update.have = fields.numbers("have", kMaxHaveChanges, last);
  update.arriving = fields.numbers("arriving", kMaxHaveChanges, last);
  update.lost = fields.numbers("lost", kMaxHaveChanges, last);
  if (message->contains("load")) {
    auto load = parse_load(fields.text("load", 64));
    if (!load) return std::unexpected(load.error());
    update.load = *load;
  }
  update.sums = read_sums(fields, last);
  return fields.finish(std::move(update));
}

std::string to_json(const BlobFacts& facts) {
  Json json{{"size", facts.size}, {"verified", facts.verified}, {"have", facts.have.encode()}};
  if (facts.midstates) json["midstates"] = midstates_json(*facts.midstates);
  return dump(json);
}

Result<BlobFacts> parse_blob_facts(std::string_view json, Digest::Algorithm algorithm) {
  const auto message = parse_message(json, kMaxMessageBytes);
  if (!message) return std::unexpected(message.error());
  Fields fields(*message);
  BlobFacts facts;
  facts.size = fields.number("size", UINT64_MAX);
  if (!is_blob_size(facts.size)) return fail(Errc::kLimit, fmt::format("blob of {} bytes", facts.size));
  facts.verified = fields.flag("verified");
  auto have = HaveMap::decode(fields.text("have", kMaxHaveLineBytes), Geometry(facts.size).stripes());
  if (!have) return std::unexpected(have.error());
  facts.have = std::move(*have);
  if (const auto* list = fields.object("midstates"))
    facts.midstates = read_midstates(fields, *list, algorithm, facts.size);
  return fields.finish(std::move(facts));
}

std::string to_text(const Load& load) { return fmt::format("{}/{}/{}", load.used, load.slots, load.waiting); }

Result<Load> parse_load(std::string_view text) {
  const auto first = text.find('/');
  const auto second = first == text.npos ? text.npos : text.find('/', first + 1);
  if (second != text.npos) {
    const auto used = parse_number(text.substr(0, first));
    const auto slots = parse_number(text.substr(first + 1, second - first - 1));
    const auto waiting = parse_number(text.substr(second + 1));
    if (used && slots && waiting) return Load{*used, *slots, *waiting};
  }
  return fail(Errc::kInvalid, "load: not used/slots/waiting");
}

std::string to_json(const KnownFacts& facts) {
  Json json{{"digest", facts.digest.to_string()},
            {"anonymous", facts.anonymous},
            {"node", facts.node},
            {"age_ms", facts.age.count()}};
  if (facts.size) json["size"] = *facts.size;
  return dump(json);
}

Result<KnownFacts> parse_known_facts(std::string_view json) {
  const auto message = parse_message(json, kMaxHelloBytes);
  if (!message) return std::unexpected(message.error());
  Fields fields(*message);
  auto digest = Digest::parse(fields.text("digest", kMaxTextBytes));
  if (!digest) return std::unexpected(std::move(digest.error()));
  KnownFacts facts{.digest = *digest,
                   .size = std::nullopt,
                   .anonymous = fields.flag("anonymous"),
                   .node = fields.flag("node"),
                   .age = std::chrono::milliseconds(fields.number("age_ms", kMaxAgeMs))};
  if (message->contains("size")) facts.size = fields.number("size", UINT64_MAX);
  if (facts.size && !is_blob_size(*facts.size)) fields.refuse(Errc::kLimit, "size", "no blob is so large");
  return fields.finish(std::move(facts));
}

HaveSlice slice_around(std::uint32_t stripes, std::uint32_t stripe, const std::function<bool(std::uint32_t)>& has) {
  const auto room = stripes > kHaveSliceStripes ? stripes - kHaveSliceStripes : 0;
  const auto half = kHaveSliceStripes / 2;
  HaveSlice slice{std::min(stripe > half ? stripe - half : 0, room), HaveMap(std::min(stripes, kHaveSliceStripes))};
  for (std::uint32_t i = 0; i < slice.have.size(); ++i) {
    if (has(slice.first + i)) slice.have.set(i);
  }
  return slice;
}

std::string to_text(const HaveSlice& slice) { return fmt::format("{}:{}", slice.first, slice.have.encode()); }

Result<HaveSlice> parse_have_slice(std::string_view text, std::uint32_t stripes) {
  const auto colon = text.find(':');
  const auto first = colon == text.npos ? std::nullopt : parse_number(text.substr(0, colon));
  if (!first || *first >= stripes) return fail(Errc::kInvalid, "have: not a slice of the blob's map");
  auto have = HaveMap::decode(text.substr(colon + 1), std::min(stripes - *first, kHaveSliceStripes));
  if (!have) return std::unexpected(have.error());
  return HaveSlice{*first, std::move(*have)};
}

}  // namespace oxbow::p2p
