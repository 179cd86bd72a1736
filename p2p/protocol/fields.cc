#include "p2p/protocol/fields.h"

#include <fmt/format.h>

#include "core/bounded_json.h"
#include "p2p/protocol/messages.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxDepth = 8;
constexpr std::size_t kMaxValues = 400'000;

}  // namespace

Fields::Fields(const Json& object) : object_(object) {
  if (!object.is_object()) error_ = Error(Errc::kInvalid, "not a JSON object");
}

const Json* Fields::find(const char* key) const {
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::refuse(Errc code, std::string_view key, std::string_view why) {
  if (!error_) error_ = Error(code, fmt::format("{}: {}", key, why));
}

void Fields::note(const Fields& inner) {
  if (!error_) error_ = inner.error_;
}

bool Fields::flag(const char* key, bool otherwise) {
  const auto* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) {
    refuse(Errc::kInvalid, key, "not true or false");
    return otherwise;
  }
  return value->get<bool>();
}

std::uint64_t Fields::number(const char* key, std::uint64_t max, std::uint64_t otherwise) {
  const auto* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_number_unsigned()) {
    refuse(Errc::kInvalid, key, "not a whole number");
    return otherwise;
  }
  const auto number = value->get<std::uint64_t>();
  if (number > max) {
    refuse(Errc::kLimit, key, fmt::format("{} is above {}", number, max));
    return otherwise;
  }
  return number;
}

double Fields::real(const char* key, double min, double max, double otherwise) {
  const auto* value = find(key);
  if (value == nullptr) return otherwise;
  const double number = value->is_number() ? value->get<double>() : -1;
  if (!(number >= min && number <= max)) {
    refuse(Errc::kInvalid, key, "not a number in range");
    return otherwise;
  }
  return number;
}

std::string Fields::text(const char* key, std::size_t max_bytes) {
  const auto* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_string()) {
    refuse(Errc::kInvalid, key, "not a string");
    return {};
  }
  const auto& text = value->get_ref<const std::string&>();
  if (text.size() > max_bytes) {
    refuse(Errc::kLimit, key, fmt::format("{} bytes; the limit is {}", text.size(), max_bytes));
    return {};
  }
  return text;
}

std::string Fields::name(const char* key) {
  auto name = text(key, kMaxNameBytes);
  if (!is_peer_name(name)) refuse(Errc::kInvalid, key, "not a peer's name");
  return name;
}

const Json* Fields::list(const char* key, std::size_t max_count) {
  const auto* value = find(key);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    refuse(Errc::kInvalid, key, "not a list");
    return nullptr;
  }
  if (value->size() > max_count) {
    refuse(Errc::kLimit, key, fmt::format("{} entries; the limit is {}", value->size(), max_count));
    return nullptr;
  }
  return value;
}

const Json* Fields::object(const char* key) {
  const auto* value = find(key);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) {
    refuse(Errc::kInvalid, key, "not an object");
    return nullptr;
  }
  return value;
}

std::vector<std::string> Fields::texts(const char* key, std::size_t max_count, std::size_t max_bytes) {
  std::vector<std::string> out;
  const auto* values = list(key, max_count);
  if (values == nullptr) return out;
  for (const auto& value : *values) {
    if (!value.is_string()) {
      refuse(Errc::kInvalid, key, "not a list of strings");
    } else if (const auto& text = value.get_ref<const std::string&>(); text.size() > max_bytes) {
      refuse(Errc::kLimit, key, "too long a string");
    } else {
      out.push_back(text);
    }
  }
  return out;
}

std::vector<std::uint32_t> Fields::numbers(const char* key, std::size_t max_count, std::uint32_t max) {
  std::vector<std::uint32_t> out;
  const auto* values = list(key, max_count);
  if (values == nullptr) return out;
  for (const auto& value : *values) {
    if (!value.is_number_unsigned()) {
      refuse(Errc::kInvalid, key, "not a list of whole numbers");
    } else if (const auto number = value.get<std::uint64_t>(); number > max) {
      refuse(Errc::kInvalid, key, fmt::format("{} is above {}", number, max));
    } else {
      out.push_back(static_cast<std::uint32_t>(number));
    }
  }
  return out;
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Result<Json> parse_message(std::string_view text, std::size_t bytes) {
  return parse_json_object(text, {bytes, kMaxDepth, kMaxValues});
}

}  // namespace oxbow::p2p
