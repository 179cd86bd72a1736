// Values in the daemon's answers, beside string_at of core/bounded_json.h: it may be of another version, so what is not
// there, or of another type, is nothing. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

namespace oxbow::mirror {

/// The number at `key`; 0 where it is null or missing.
double number_at(const nlohmann::ordered_json& object, const char* key);
/// The same of a count, not below 0.
std::uint64_t bytes_at(const nlohmann::ordered_json& object, const char* key);
bool flag_at(const nlohmann::ordered_json& object, const char* key, bool otherwise = false);
/// The object or array at `key`; an empty array where it is null or missing.
const nlohmann::ordered_json& part_at(const nlohmann::ordered_json& object, const char* key);

}  // namespace oxbow::mirror
