// Any text is refused with at least one diagnostic, or gives a configuration whose `show` loads to the same
// configuration again, and that can be reloaded into itself.
#include <cstdlib>

#include "config/loader.h"

namespace config = oxbow::config;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto loaded = config::load_text(text, "fuzz.toml");
  if (!loaded) {
    require(!loaded.error().empty());
    for (const auto& diagnostic : loaded.error())
      require(!diagnostic.message.empty() && diagnostic.file == "fuzz.toml");
    return 0;
  }
  const auto shown = config::show(loaded->config);
  const auto again = config::load_text(shown, "shown.toml");
  require(again.has_value());
  require(config::show(again->config) == shown);
  std::vector<std::string> needs_restart;
  require(config::can_reload(loaded->config, again->config, needs_restart));
  return 0;
}
