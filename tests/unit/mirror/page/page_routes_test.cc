// The web page as the admin addresses serve it.
#include "mirror/page/page_routes.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "../admin/admin_site.h"
#include "mirror/page/page_assets.h"

namespace oxbow::mirror {
namespace {

constexpr std::size_t kMostBytes = 150'000;

class PageRoutesTest : public ::testing::Test {
 protected:
  PageRoutesTest() { add_page_routes(site_.routes); }

  /// All that a browser is told of a file.
  http::Response ask(const std::string& path, const std::string& if_none_match = "") {
    const auto match = site_.routes.find(http::Method::kGet, path);
    EXPECT_NE(match.route, nullptr) << path;
    ApiCall call;
    call.if_none_match = if_none_match;
    return site_.scratch.run(match.route->function(call));
  }
  static std::string header(const http::Response& response, std::string_view name) {
    return std::string(response.headers.find(name).value_or(""));
  }

  AdminSite site_;
};

std::string path_of(const PageFile& file) {
  return file.name == "index.html" ? "/" : "/page/" + std::string(file.name);
}

// Proves: the binary carries every file of the page's folder, byte for byte, and all of them together are small.
TEST_F(PageRoutesTest, EveryFileIsInTheBinary) {
  std::set<std::string> there;
  std::size_t total = 0;
  for (const auto& file : page_files()) {
    std::ifstream in(std::filesystem::path(OXBOW_SOURCE_DIR) / "mirror" / "page" / file.name, std::ios::binary);
    std::ostringstream read;
    read << in.rdbuf();
    EXPECT_TRUE(file.content == read.view()) << file.name;
    there.insert(std::string(file.name));
    total += file.content.size();
  }
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(OXBOW_SOURCE_DIR) / "mirror/page")) {
    const auto end = entry.path().extension();
    if (end == ".html" || end == ".css" || end == ".js" || end == ".svg") {
      EXPECT_TRUE(there.contains(entry.path().filename().string())) << entry.path();
    }
  }
  EXPECT_GT(total, 10'000U);
  EXPECT_LE(total, kMostBytes);
}

// Proves: each file has its type, and with it what keeps a browser from guessing, loading from elsewhere and framing.
TEST_F(PageRoutesTest, TypesAndPolicy) {
  for (const auto& [path, type] : {std::pair{"/", "text/html; charset=utf-8"},
                                   {"/page/style.css", "text/css; charset=utf-8"},
                                   {"/page/app.js", "text/javascript; charset=utf-8"},
                                   {"/page/icon.svg", "image/svg+xml"}}) {
    const auto got = ask(path);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(header(got, "Content-Type"), type);
    EXPECT_EQ(header(got, "X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(header(got, "Cache-Control"), "no-cache");
    const auto policy = header(got, "Content-Security-Policy");
    EXPECT_TRUE(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "));
    EXPECT_NE(policy.find("frame-ancestors 'none'"), std::string::npos);
    EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  }
}

// Proves: who has a file gets 304 and no body; who has another one gets the file; tags differ between files.
TEST_F(PageRoutesTest, TagsSpareTheBody) {
  std::set<std::string> tags;
  for (const auto& file : page_files()) {
    const auto tag = header(ask(path_of(file)), "ETag");
    EXPECT_TRUE(tags.insert(tag).second) << file.name;
    for (const auto& known : {tag, "W/" + tag, "\"other\", " + tag, std::string("*")}) {
      const auto got = ask(path_of(file), known);
      EXPECT_EQ(got.status, 304) << known;
      EXPECT_EQ(got.body, nullptr);
      EXPECT_EQ(header(got, "ETag"), tag);
      EXPECT_FALSE(header(got, "Content-Security-Policy").empty());
    }
    EXPECT_EQ(ask(path_of(file), "\"other\"").status, 200);
  }
}

// Proves: the header reaches the page through the admin address, and there is no file that the folder does not have.
TEST_F(PageRoutesTest, ThroughTheAdminAddress) {
  EXPECT_EQ(site_.ask("/").status, 200);
  EXPECT_TRUE(site_.ask("/").body.starts_with("<!doctype html>"));
  EXPECT_EQ(site_.ask("/", http::Method::kPost).status, 405);
  EXPECT_EQ(site_.ask("/page/").status, 404);
  EXPECT_EQ(site_.ask("/page/index.html").status, 404);
  EXPECT_EQ(site_.ask("/page/../admin").status, 404);
  const auto tag = header(ask("/"), "ETag");
  AdminAnswer got =
      site_.ask("/", http::Method::kGet, "", AdminDoor::kLoopback, "127.0.0.1:5052", {{"If-None-Match", tag}});
  EXPECT_EQ(got.status, 304);
  EXPECT_TRUE(got.body.empty());
}

// Proves: the page asks for nothing from elsewhere, and no data becomes HTML.
TEST_F(PageRoutesTest, NothingFromElsewhereAndNoParsedData) {
  for (const auto& file : page_files()) {
    for (const auto* word : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"}) {
      EXPECT_EQ(file.content.find(word), std::string_view::npos) << file.name << " has " << word;
    }
    // The name of SVG is an address that nothing asks for.
    if (file.name != "icon.svg") EXPECT_EQ(file.content.find("http://"), std::string_view::npos) << file.name;
  }
}

}  // namespace
}  // namespace oxbow::mirror
