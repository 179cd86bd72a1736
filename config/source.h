// Where values come from, reduced to one shape: a flat list of keys with values and places.
// Thread rule: pure functions.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/loader.h"
#include "config/value.h"

namespace oxbow::config {

struct Place {
  std::string file;
  unsigned line = 0;
  unsigned column = 0;
};

/// A value whose TOML type has no counterpart (a date, a list of numbers) keeps `bad_type`.
struct Setting {
  std::string key;  ///< "client.tls.key"; inside a registry "tag_ttl"
  Value value;
  std::string bad_type;
  Place place;
};

struct RegistrySettings {
  Place place;
  std::vector<Setting> settings;
};

struct FileSettings {
  std::vector<Setting> sections;
  std::vector<RegistrySettings> registries;
};

/// Flattens a TOML text. Syntax errors, unknown sections and unknown keys go to `errors`, with the nearest known key.
FileSettings read_toml(std::string_view text, std::string_view name, std::vector<Diagnostic>& errors);

/// OXBOW_CLIENT_TLS_KEY for client.tls.key.
std::string variable_of(std::string_view key);

}  // namespace oxbow::config
