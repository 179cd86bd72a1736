#include "p2p/membership/member_format.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "p2p/membership/address.h"

namespace oxbow::p2p {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxNameBytes = 253;
constexpr std::size_t kMaxAddresses = 16;
constexpr std::size_t kMaxLabels = 8;
constexpr std::size_t kMaxLabelBytes = 128;

enum class UnknownKeys { kLeaveOut, kRefuse };

/// With line ends too, as files of any system have them.
std::string_view strip(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view()
                                         : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string place(std::string_view text, std::size_t offset) {
  const auto before = text.substr(0, offset);
  const auto newline = before.rfind('\n');
  const auto line = 1 + std::ranges::count(before, '\n');
  return fmt::format("line {}, column {}", line, newline == std::string_view::npos ? offset + 1 : offset - newline);
}

Result<Json> parse_json(std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& e) {
    // `byte` counts from 1 and points behind what was not understood.
    return fail(Errc::kInvalid, "not JSON at " + place(text, std::min(e.byte > 0 ? e.byte - 1 : 0, text.size())));
  } catch (const std::exception&) {
    return fail(Errc::kInvalid, "not JSON");
  }
}

Result<std::string> read_text(const Json& value, std::size_t max_bytes) {
  if (!value.is_string()) return fail(Errc::kInvalid, "must be text");
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty() || text.size() > max_bytes)
    return fail(Errc::kInvalid, fmt::format("must have 1 to {} bytes", max_bytes));
  if (std::ranges::any_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return fail(Errc::kInvalid, "has control characters");
  return text;
}

Result<std::vector<std::string>> read_texts(const Json& value, std::size_t max_count, std::size_t max_bytes) {
  if (!value.is_array() || value.size() > max_count)
    return fail(Errc::kInvalid, fmt::format("must be a list of at most {}", max_count));
  std::vector<std::string> out;
  for (const auto& item : value) {
    auto text = read_text(item, max_bytes);
    if (!text) return std::unexpected(std::move(text.error()).in(fmt::format("[{}]", out.size())));
    out.push_back(std::move(*text));
  }
  return out;
}

Result<> read_version(const Json& value, std::uint32_t& out) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > 1'000'000)
    return fail(Errc::kInvalid, "must be a small whole number");
  out = value.get<std::uint32_t>();
  return {};
}

Result<> read_field(const std::string& key, const Json& value, UnknownKeys unknown, Member& member) {
  if (key == "name") {
    auto name = read_text(value, kMaxNameBytes);
    if (!name) return std::unexpected(name.error());
    member.name = std::move(*name);
  } else if (key == "addresses") {
    auto addresses = read_texts(value, kMaxAddresses, kMaxNameBytes + 8);
    if (!addresses) return std::unexpected(addresses.error());
    for (const auto& address : *addresses) {
      if (auto checked = check_address(address); !checked) return checked;
    }
    member.addresses = std::move(*addresses);
  } else if (key == "location") {
    auto location = read_texts(value, kMaxLabels, kMaxLabelBytes);
    if (!location) return std::unexpected(location.error());
    member.location = std::move(*location);
  } else if (key == "weight") {
    const double weight = value.is_number() ? value.get<double>() : 0;
    if (!std::isfinite(weight) || weight <= 0 || weight > kMaxWeight)
      return fail(Errc::kInvalid, fmt::format("must be a number above 0 and at most {}", kMaxWeight));
    member.weight = weight;
  } else if (key == "protocol_oldest") {
    return read_version(value, member.protocol_oldest);
  } else if (key == "protocol_newest") {
    return read_version(value, member.protocol_newest);
  } else if (unknown == UnknownKeys::kRefuse) {
    return fail(Errc::kInvalid, "unknown key");
  }
  return {};
}

Result<Member> read_member(const Json& object, UnknownKeys unknown) {
  if (!object.is_object()) return fail(Errc::kInvalid, "must be an object");
  Member member;
  for (const auto& [key, value] : object.items()) {
    if (auto read = read_field(key, value, unknown, member); !read)
      return std::unexpected(std::move(read.error()).in(key.substr(0, 32)));
  }
  if (member.addresses.empty()) return fail(Errc::kInvalid, "has no addresses");
  if (member.protocol_oldest > member.protocol_newest)
    return fail(Errc::kInvalid, "protocol_oldest is above protocol_newest");
  return member;
}

Result<std::vector<Member>> parse_json_file(std::string_view text) {
  const auto json = parse_json(text);
  if (!json) return std::unexpected(json.error());
  if (!json->is_object() || !json->contains("members") || !json->at("members").is_array() || json->size() != 1)
    return fail(Errc::kInvalid, "must be {\"members\": [...]} and no more");
  std::vector<Member> members;
  std::set<std::string> names;
  for (const auto& item : json->at("members")) {
    const auto where = fmt::format("members[{}]", members.size());
    auto member = read_member(item, UnknownKeys::kRefuse);
    if (!member) return std::unexpected(std::move(member.error()).in(where));
    if (!member->name.empty() && !names.insert(member->name).second)
      return fail(Errc::kInvalid, where + ": the name is there twice");
    members.push_back(std::move(*member));
  }
  return members;
}

Result<std::vector<Member>> parse_lines(std::string_view text) {
  std::set<std::string> seen;
  std::vector<Member> members;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    auto line = text.substr(begin, end - begin);
    const auto address = strip(line.substr(0, line.find('#')));
    if (!address.empty()) {
      if (auto checked = check_address(address); !checked) {
        const auto offset = static_cast<std::size_t>(address.data() - text.data());
        return std::unexpected(std::move(checked.error()).in(place(text, offset)));
      }
      if (seen.emplace(address).second) members.emplace_back().addresses.emplace_back(address);
    }
    begin = end + 1;
  }
  return members;
}

}  // namespace

Result<Member> parse_member(std::string_view json) {
  const auto parsed = parse_json(json);
  if (!parsed) return std::unexpected(parsed.error());
  auto member = read_member(*parsed, UnknownKeys::kLeaveOut);
  if (member && member->name.empty()) return fail(Errc::kInvalid, "has no name");
  return member;
}

std::string member_to_json(const Member& member) {
  const Json json{{"name", member.name},
                  {"addresses", member.addresses},
                  {"location", member.location},
                  {"weight", member.weight},
                  {"protocol_oldest", member.protocol_oldest},
                  {"protocol_newest", member.protocol_newest}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::vector<Member>> parse_member_file(std::string_view text) {
  const auto content = strip(text);
  // Nobody means an empty file: it is one that is being written. No members is a list without members.
  if (content.empty()) return fail(Errc::kInvalid, "the file is empty");
  return content.front() == '{' ? parse_json_file(text) : parse_lines(text);
}

}  // namespace oxbow::p2p
