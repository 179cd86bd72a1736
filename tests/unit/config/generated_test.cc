#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "config/loader.h"
#include "config/render.h"
#include "config/schema.h"

namespace oxbow::config {
namespace {

std::string read(const std::string& path) {
  std::ifstream stream(std::string(OXBOW_SOURCE_DIR) + "/" + path);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

/// With OXBOW_WRITE_GENERATED set in the environment the file is written instead of compared.
void expect_committed(const std::string& path, const std::string& made) {
  if (std::getenv("OXBOW_WRITE_GENERATED") != nullptr) {
    std::ofstream(std::string(OXBOW_SOURCE_DIR) + "/" + path) << made;
  }
  EXPECT_EQ(read(path), made) << path << " is not what the schema says; run this test with OXBOW_WRITE_GENERATED=1";
}

// The committed example file and the documentation page hold every option as the schema has it now.
TEST(Generated, FilesMatchTheSchema) {
  expect_committed("config/oxbow.toml", example_toml());
  expect_committed("docs/configuration.md", reference_markdown());
}

// Installing the example file unedited changes nothing.
TEST(Generated, TheExampleAsItStandsIsTheDefaults) {
  const auto loaded = load_text(example_toml(), "oxbow.toml");
  ASSERT_TRUE(loaded) << to_string(loaded.error().front());
  EXPECT_EQ(show(loaded->config), show(defaults()));
  EXPECT_TRUE(loaded->warnings.empty());
}

// Every commented option of the sections can be uncommented: its example value is one that the loader takes.
TEST(Generated, EveryExampleValueIsAccepted) {
  std::string uncommented;
  const auto example = example_toml();
  for (std::size_t at = 0; at < example.size();) {
    const auto end = example.find('\n', at);
    auto line = example.substr(at, end - at);
    at = end + 1;
    // One kind of credentials can be given at a time, and `insecure` goes with no certificate.
    if (line.starts_with("#credential_source.helper") || line.starts_with("#credential_source.kubelet") ||
        line.starts_with("#credential_source.docker")) {
      continue;
    }
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') line.erase(0, 1);
    uncommented += line + "\n";
  }
  const auto loaded = load_text(uncommented, "oxbow.toml");
  ASSERT_TRUE(loaded) << to_string(loaded.error().front());
  EXPECT_EQ(loaded->config.registries.back().name, "registry.corp:5000");
}

// No option is without help, and none twice.
TEST(Generated, EveryOptionHasHelpAndItsOwnKey) {
  std::vector<std::string> keys;
  for (const auto& option : section_options()) {
    EXPECT_FALSE(option.help.empty()) << option.key;
    keys.push_back(option.key);
  }
  std::ranges::sort(keys);
  EXPECT_EQ(std::ranges::adjacent_find(keys), keys.end());
  for (const auto& option : registry_options()) EXPECT_FALSE(option.help.empty()) << option.key;
}

}  // namespace
}  // namespace oxbow::config
