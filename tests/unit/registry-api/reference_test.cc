#include "registry-api/reference.h"

#include <gtest/gtest.h>

namespace oxbow::registry_api {
namespace {

// The grammar of the spec, with the separators that people get wrong.
TEST(RepositoryName, FollowsTheGrammar) {
  for (const auto* good : {"a", "library/alpine", "a.b", "a_b", "a__b", "a-b", "a---b", "a/b/c", "0/1"}) {
    EXPECT_TRUE(is_repository_name(good)) << good;
  }
  for (const auto* bad :
       {"", "/a", "a/", "a//b", "A", "a..b", "a___b", "a._b", ".a", "a-", "a:5000/b", "a b", "a/../b", "\xc3\xa9"}) {
    EXPECT_FALSE(is_repository_name(bad)) << bad;
  }
  EXPECT_TRUE(is_repository_name(std::string(255, 'a')));
  EXPECT_FALSE(is_repository_name(std::string(256, 'a')));
}

// Ollama's names pass; what could leave its path or end a header does not.
TEST(RepositoryName, LenientTakesOllamaNamesAndNothingDangerous) {
  for (const auto* good : {"MyUser/Model_1", "a..b", "a-", "library/llama3.2", "_x"}) {
    EXPECT_TRUE(is_lenient_repository_name(good)) << good;
  }
  for (const auto* bad : {"", "a//b", "..", "a/../b", "./a", "a b", "a%2fb", "a\r\nb", "a?b", "a#b", "a:1", "-a"}) {
    EXPECT_FALSE(is_lenient_repository_name(bad)) << bad;
  }
}

TEST(Tag, FollowsTheGrammar) {
  for (const auto* good : {"latest", "_x", "1.2.3-rc_1", "A"}) EXPECT_TRUE(is_tag(good)) << good;
  for (const auto* bad : {"", ".a", "-a", "a/b", "a:b", "a b", "a+b"}) EXPECT_FALSE(is_tag(bad)) << bad;
  EXPECT_TRUE(is_tag(std::string(128, 'a')));
  EXPECT_FALSE(is_tag(std::string(129, 'a')));
}

// A reference is a tag or a digest; a digest of an unknown algorithm is told apart from a malformed one.
TEST(Reference, IsATagOrADigest) {
  EXPECT_EQ(parse_reference("latest")->tag, "latest");
  const auto text = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(parse_reference(text)->digest->to_string(), text);
  EXPECT_EQ(parse_reference("sha256:baddigeststring").error().code(), Errc::kInvalid);
  EXPECT_EQ(parse_reference("blake3:" + std::string(64, 'a')).error().code(), Errc::kUnsupported);
  EXPECT_EQ(parse_reference("a/b").error().code(), Errc::kInvalid);
}

}  // namespace
}  // namespace oxbow::registry_api
