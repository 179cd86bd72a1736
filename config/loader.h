// Reads the configuration: defaults, then the file, then OXBOW_<SECTION>_<KEY> variables, then command line overrides.
// Everything wrong is reported at once, with its place.
// Thread rule: pure functions but for reading the file.
#pragma once

#include <expected>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.h"

namespace oxbow::config {

/// `file` is the path, "environment" or "command line"; line and column start at 1, 0: no such place.
struct Diagnostic {
  std::string file;
  unsigned line = 0;
  unsigned column = 0;
  std::string message;
};
/// `oxbow.toml:3:10: message`
std::string to_string(const Diagnostic& diagnostic);

struct Loaded {
  Config config;
  std::vector<Diagnostic> warnings;
};
using LoadResult = std::expected<Loaded, std::vector<Diagnostic>>;

using Environment = std::map<std::string, std::string>;
/// `{"client.listen", "127.0.0.1:5050,[::1]:5050"}`
using Overrides = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::size_t kMaxFileBytes = 4UL * 1024 * 1024;

/// Without `file` the embedded defaults hold. A [[registry]] of a built-in name changes only the keys that it gives;
/// another name adds a registry. Variables that begin with OXBOW_ and name no option are warnings, because Kubernetes
/// sets OXBOW_SERVICE_HOST and the like for a service of that name; unknown keys in the file and on the command line
/// are errors.
LoadResult load(std::optional<std::filesystem::path> file, const Environment& environment = {},
                const Overrides& overrides = {});
/// The same, from text. `name` stands in the diagnostics.
LoadResult load_text(std::string_view toml, std::string_view name, const Environment& environment = {},
                     const Overrides& overrides = {});
/// The variables of this process that begin with OXBOW_.
Environment oxbow_environment();

/// The effective configuration as TOML that loads to the same values; passwords inside URLs are masked.
std::string show(const Config& config);

/// Whether SIGHUP can apply `updated` to a daemon that runs with `running`. The keys that need a restart are added to
/// `needs_restart`; the others may still be applied.
bool can_reload(const Config& running, const Config& updated, std::vector<std::string>& needs_restart);

}  // namespace oxbow::config
