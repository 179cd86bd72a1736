#include "p2p/membership/kube_json.h"

#include <nlohmann/json.hpp>

#include "p2p/membership/foreign_json.h"

namespace oxbow::p2p::kube {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxWordsBytes = 300;
constexpr std::size_t kMaxNameBytes = 253;     // of every object
constexpr std::size_t kMaxVersionBytes = 256;  // in practice a number of 20 digits

std::unexpected<Error> strange(std::string_view what) {
  return fail(Errc::kUnavailable, "the API server's answer is not understood: " + std::string(what));
}

/// Words that may stand in a line of a log, a name or a URL; nothing else becomes a name or a label.
bool plain(std::string_view word, std::size_t max_bytes) {
  return !word.empty() && word.size() <= max_bytes &&
         std::ranges::all_of(word, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}
std::string plain_or_empty(const Json& value) {
  auto word = json_text(value);
  return plain(word, kMaxNameBytes) ? word : std::string();
}

Error said(std::int64_t code, const std::string& reason, const std::string& message) {
  auto words = "the API server says: " + (message.empty() ? fmt::format("{} {}", code, sayable(reason, kMaxWordsBytes))
                                                          : sayable(message, kMaxWordsBytes));
  // Not there yet, on a server that lags or that was restored from a backup.
  if (message.find("Too large resource version") != std::string::npos) return {Errc::kOutOfRange, words};
  switch (code) {
    case 400:
    case 405:
    case 422:
      return {Errc::kInvalid, words};
    case 401:
      return {Errc::kUnauthorized, words};
    case 403:
      return {Errc::kDenied, words};
    case 404:
      return {Errc::kNotFound, words};
    case 409:
      return {Errc::kBusy, words};
    case 410:
      return {Errc::kOutOfRange, words};
    case 413:
      return {Errc::kLimit, words};
    case 429:
      return {Errc::kThrottled, words};
    default:
      return {Errc::kUnavailable, words};
  }
}

Error said(const Json& status, long http_status) {
  const auto& code = json_member(status, "code");
  const bool fits = code.is_number_integer() && code.get<std::int64_t>() >= 400 && code.get<std::int64_t>() < 600;
  return said(fits ? code.get<std::int64_t>() : http_status, json_text(json_member(status, "reason")),
              json_text(json_member(status, "message")));
}

Result<Json> read(std::string_view input) {
  auto json = Json::parse(input, nullptr, false);
  if (!json.is_object()) return strange("not a JSON object");
  return json;
}

Result<ResourceVersion> read_version(const Json& json) {
  auto version = json_text(json_member(json_member(json, "metadata"), "resourceVersion"));
  if (!plain(version, kMaxVersionBytes)) return strange("resourceVersion");
  return version;
}

Slice read_slice(const Json& json) {
  Slice slice;
  const auto& ports = json_member(json, "ports");
  for (const auto& one : ports.is_array() ? ports : Json::array()) {
    const auto& number = json_member(one, "port");
    // No number means all ports, which is no port that could be dialled.
    if (!number.is_number_integer() || number.get<std::int64_t>() < 1 || number.get<std::int64_t>() > 65'535) continue;
    slice.ports.push_back({json_text(json_member(one, "name")), number.get<std::uint16_t>()});
  }
  const auto& endpoints = json_member(json, "endpoints");
  for (const auto& one : endpoints.is_array() ? endpoints : Json::array()) {
    const auto& addresses = json_member(one, "addresses");
    // All of them are the same place, and the first is the one to use.
    if (!addresses.is_array() || addresses.empty()) continue;
    const auto& conditions = json_member(one, "conditions");
    slice.endpoints.push_back({.address = plain_or_empty(addresses.front()),
                               .node = plain_or_empty(json_member(one, "nodeName")),
                               .zone = plain_or_empty(json_member(one, "zone")),
                               .terminating = json_flag(json_member(conditions, "terminating")),
                               .serving = json_flag(json_member(conditions, "serving"))});
  }
  return slice;
}

ConfigMap read_config_map(const Json& json) {
  ConfigMap map;
  const auto& data = json_member(json, "data");
  if (!data.is_object()) return map;
  for (const auto& [key, value] : data.items()) {
    if (value.is_string()) map.data.emplace(key, value.get<std::string>());
  }
  return map;
}

/// `kind`: the items of a list do not say theirs.
Result<Object> read_object(const Json& json, std::string_view kind) {
  Object object;
  object.name = json_text(json_member(json_member(json, "metadata"), "name"));
  if (!plain(object.name, kMaxNameBytes)) return strange("an object without a name");
  auto version = read_version(json);
  if (!version) return std::unexpected(version.error());
  object.version = std::move(*version);
  if (kind == "EndpointSlice") {
    object.content = read_slice(json);
  } else if (kind == "ConfigMap") {
    object.content = read_config_map(json);
  } else {
    return strange("an object of the kind " + sayable(kind, kMaxWordsBytes));
  }
  return object;
}

Result<std::string> write(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::exception&) {
    return fail(Errc::kInvalid, "a value of a ConfigMap must be UTF-8");
  }
}

}  // namespace

Result<List> parse_list(std::string_view input) {
  const auto json = read(input);
  if (!json) return std::unexpected(json.error());
  const auto kind = json_text(json_member(*json, "kind"));
  if (!kind.ends_with("List")) return strange("no list");
  auto version = read_version(*json);
  if (!version) return std::unexpected(version.error());
  List list{.version = std::move(*version), .objects = {}};
  const auto& items = json_member(*json, "items");
  if (!items.is_null() && !items.is_array()) return strange("items");
  for (const auto& item : items) {
    auto object = read_object(item, std::string_view(kind).substr(0, kind.size() - 4));
    if (!object) return std::unexpected(object.error());
    list.objects.push_back(std::move(*object));
  }
  return list;
}

Result<Event> parse_event(std::string_view line) {
  const auto json = read(line);
  if (!json) return std::unexpected(json.error());
  const auto type = json_text(json_member(*json, "type"));
  const auto& object = json_member(*json, "object");
  if (type == "ERROR") return std::unexpected(said(object, 500));
  Event event;
  if (type == "BOOKMARK") {
    event.type = EventType::kBookmark;
    auto version = read_version(object);
    if (!version) return std::unexpected(version.error());
    event.object.version = std::move(*version);
    return event;
  }
  if (type != "ADDED" && type != "MODIFIED" && type != "DELETED")
    return strange("an event of the type " + sayable(type, kMaxWordsBytes));
  event.type = type == "DELETED" ? EventType::kRemoved : EventType::kChanged;
  auto read = read_object(object, json_text(json_member(object, "kind")));
  if (!read) return std::unexpected(read.error());
  event.object = std::move(*read);
  return event;
}

Result<Object> parse_object(std::string_view input) {
  const auto json = read(input);
  if (!json) return std::unexpected(json.error());
  return read_object(*json, json_text(json_member(*json, "kind")));
}

Result<std::map<std::string, std::string>> parse_labels(std::string_view input) {
  const auto json = read(input);
  if (!json) return std::unexpected(json.error());
  if (json_member(*json, "kind") != "Node") return strange("no Node");
  std::map<std::string, std::string> out;
  const auto& labels = json_member(json_member(*json, "metadata"), "labels");
  if (!labels.is_object()) return out;
  for (const auto& [key, value] : labels.items()) {
    if (auto word = plain_or_empty(value); !word.empty()) out.emplace(key, std::move(word));
  }
  return out;
}

Error parse_status(long status, std::string_view input) {
  const auto json = Json::parse(input, nullptr, false);
  if (json_member(json, "kind") == "Status") return said(json, status);
  // A proxy or load balancer before it.
  return said(status, "is what was answered, without a Status", {});
}

Result<std::string> patch_request(const std::string& key, const std::string& value, const ResourceVersion& version) {
  return write({{"metadata", {{"resourceVersion", version}}}, {"data", {{key, value}}}});
}

Result<std::string> create_request(const std::string& name, const std::string& key, const std::string& value) {
  return write({{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", name}}}, {"data", {{key, value}}}});
}

}  // namespace oxbow::p2p::kube
