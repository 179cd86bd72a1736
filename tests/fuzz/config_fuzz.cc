// Any text is refused with at least one diagnostic, or gives a configuration whose `show` loads to the same
// configuration again, and that can be reloaded into itself. The first byte chooses between raw text and a text put
// together from the schema's own keys, which reaches behind the parser.
#include <cstdlib>
#include <set>

#include "config/loader.h"
#include "config/schema.h"

namespace config = oxbow::config;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// Takes bytes off the input; zeros at its end.
class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  unsigned byte() {
    if (bytes_.empty()) return 0;
    const auto value = static_cast<unsigned char>(bytes_.front());
    bytes_.remove_prefix(1);
    return value;
  }
  /// ASCII only: the parser refuses broken UTF-8 before any of our code sees it.
  std::string text() {
    std::string out(byte() % 24, '\0');
    for (char& c : out) c = static_cast<char>(byte() & 127);
    return out;
  }

 private:
  std::string_view bytes_;
};

template <typename Owner>
std::string value(Input& input, const config::Option<Owner>& option) {
  switch (input.byte() % 6) {
    case 0:
      return option.default_literal;
    case 1:
      return option.choices.empty() ? config::literal(option.example) : config::literal(option.choices.back());
    case 2:
      return config::literal(input.text());
    case 3:
      return std::to_string(static_cast<int>(input.byte()) * static_cast<int>(input.byte()) - 100);
    case 4:
      return config::literal(std::vector<std::string>{input.text(), input.text()});
    default:
      return config::literal(std::to_string(input.byte()) + input.text());
  }
}

template <typename Owner>
void add_options(std::string& out, Input& input, const std::vector<config::Option<Owner>>& options) {
  std::set<std::size_t> used;
  for (auto count = input.byte() % 8; count > 0; --count) {
    const auto index = input.byte() % options.size();
    if (used.insert(index).second) out += options[index].key + " = " + value(input, options[index]) + "\n";
  }
}

std::string from_schema(std::string_view bytes) {
  static const auto section_options = config::section_options();
  static const auto registry_options = config::registry_options();
  Input input(bytes);
  std::string out;
  add_options(out, input, section_options);
  while (!input.empty()) {
    out += "[[registry]]\n";
    if (input.byte() % 8 != 0) out += "name = \"r" + std::to_string(input.byte() % 16) + ".io\"\n";
    add_options(out, input, registry_options);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto text = data[0] % 2 == 0 ? std::string(bytes) : from_schema(bytes);
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
