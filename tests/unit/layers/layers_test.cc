// The layer rule (docs/architecture.md): core ← {storage, p2p, registry-api} ← mirror; config uses core only; each
// library that a room hides stays in that room. Held by reading every #include line.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

/// What each room may include of the others, besides itself.
const std::map<std::string, std::set<std::string>> kMayInclude{
    {"core", {}},         {"storage", {"core"}},
    {"p2p", {"core"}},    {"registry-api", {"core"}},
    {"config", {"core"}}, {"mirror", {"core", "storage", "p2p", "registry-api", "config"}},
};

/// Libraries that only these folders may see.
struct Hidden {
  std::string header_prefix;
  std::vector<std::string> folders;
};
const std::vector<Hidden> kHidden{
    {"nghttp2/", {"core/http/"}},
    {"rocksdb/", {"storage/"}},
    {"liburing", {"storage/"}},
    {"curl/", {"mirror/upstream", "mirror/operator/", "mirror/doctor/real_fetch.cc", "p2p/membership/"}},
    {"toml++/", {"config/", "mirror/install/"}},
    {"CLI/", {"mirror/"}},
};

/// The path between quotes or brackets of an #include line; empty for other lines.
std::string included(std::string_view line) {
  const auto hash = line.find_first_not_of(" \t");
  if (hash == std::string_view::npos || line[hash] != '#') return {};
  const auto word = line.find_first_not_of(" \t", hash + 1);
  if (word == std::string_view::npos || line.substr(word, 7) != "include") return {};
  const auto open = line.find_first_of("\"<", word + 7);
  if (open == std::string_view::npos) return {};
  const auto close = line.find(line[open] == '"' ? '"' : '>', open + 1);
  return close == std::string_view::npos ? std::string() : std::string(line.substr(open + 1, close - open - 1));
}

/// What is wrong with the includes of one file; `path` is relative to the source directory.
std::vector<std::string> violations(const std::string& path, std::istream& text) {
  std::vector<std::string> out;
  const auto room = path.substr(0, path.find('/'));
  const auto& allowed = kMayInclude.at(room);
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    const auto target = included(line);
    if (target.empty()) continue;
    const auto report = [&](const std::string& why) {
      out.push_back(path + ":" + std::to_string(number) + ": " + target + " " + why);
    };
    const auto target_room = target.substr(0, target.find('/'));
    if (kMayInclude.contains(target_room) && target.find('/') != std::string::npos) {
      if (target_room != room && !allowed.contains(target_room)) report("is not below " + room);
    } else if (target.find("../") != std::string::npos) {
      report("must be written from the top folder");
    }
    for (const auto& hidden : kHidden) {
      const auto inside = [&](const std::string& folder) { return path.starts_with(folder); };
      if (target.starts_with(hidden.header_prefix) && std::ranges::none_of(hidden.folders, inside))
        report("is for " + hidden.folders.front());
    }
  }
  return out;
}

std::vector<std::string> violations(const std::string& path, const std::string& text) {
  std::istringstream stream(text);
  return violations(path, stream);
}

bool is_source(const fs::path& path) { return path.extension() == ".h" || path.extension() == ".cc"; }

// Every source file of every room keeps the rule.
TEST(Layers, SourcesKeepTheRule) {
  std::size_t files = 0;
  for (const auto& [room, allowed] : kMayInclude) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(OXBOW_SOURCE_DIR) / room)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      ++files;
      std::ifstream stream(entry.path());
      const auto path = fs::relative(entry.path(), OXBOW_SOURCE_DIR).string();
      for (const auto& wrong : violations(path, stream)) ADD_FAILURE() << wrong;
    }
  }
  EXPECT_GT(files, 30U) << "the sources were not found at " << OXBOW_SOURCE_DIR;
}

// The check itself: each kind of forbidden include is caught, and allowed ones are not.
TEST(Layers, ForbiddenIncludesAreCaught) {
  EXPECT_EQ(violations("core/x.h", "#include \"storage/store.h\"\n"),
            std::vector<std::string>{"core/x.h:1: storage/store.h is not below core"});
  EXPECT_EQ(violations("p2p/x.cc", "\n  #  include \"registry-api/range.h\"\n").size(), 1U);
  EXPECT_EQ(violations("storage/x.cc", "#include \"p2p/strategy.h\"\n").size(), 1U);
  EXPECT_EQ(violations("registry-api/x.cc", "#include <mirror/main.h>\n").size(), 1U);
  EXPECT_EQ(violations("config/x.cc", "#include \"registry-api/route.h\"\n").size(), 1U);
  EXPECT_EQ(violations("config/x.cc", "#include \"../storage/store.h\"\n").size(), 1U);
  EXPECT_EQ(violations("core/log.cc", "#include <nghttp2/nghttp2.h>\n").size(), 1U);
  EXPECT_EQ(violations("mirror/x.cc", "#include <rocksdb/db.h>\n").size(), 1U);
  EXPECT_EQ(violations("core/x.cc", "#include <liburing.h>\n").size(), 1U);
  EXPECT_EQ(violations("mirror/tags.cc", "#include <curl/curl.h>\n").size(), 1U);
  EXPECT_EQ(violations("p2p/peer_client.cc", "#include <curl/curl.h>\n").size(), 1U);
  EXPECT_EQ(violations("mirror/x.cc", "#include <toml++/toml.h>\n").size(), 1U);

  const std::string good =
      "// #include \"mirror/x.h\" is only spoken of\n#include \"core/error.h\"\n#include <string>\n";
  EXPECT_TRUE(violations("storage/x.cc", good).empty());
  EXPECT_TRUE(violations("mirror/x.cc", "#include \"p2p/strategy.h\"\n#include \"config/config.h\"\n").empty());
  EXPECT_TRUE(violations("core/http/h2.cc", "#include <nghttp2/nghttp2.h>\n").empty());
  EXPECT_TRUE(violations("mirror/upstream/multi.cc", "#include <curl/curl.h>\n").empty());
  EXPECT_TRUE(violations("mirror/upstream_client.cc", "#include <curl/curl.h>\n").empty());
  EXPECT_TRUE(violations("storage/x.cc", "#include <rocksdb/db.h>\n#include <liburing.h>\n").empty());
}

}  // namespace
