// What has to be fetched of an image, from its root on.
#include "registry-api/image_walk.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace oxbow::registry_api {
namespace {

Digest of(std::string_view text) { return Digest::sha256(text); }

std::string descriptor(std::string_view name, std::uint64_t size, std::string_view rest = {}) {
  return fmt::format(R"({{"mediaType":"x","digest":"{}","size":{}{}}})", of(name).to_string(), size, rest);
}

std::string image(std::string_view config, std::initializer_list<std::string> layers) {
  std::string list;
  for (const auto& layer : layers) list += (list.empty() ? "" : ",") + layer;
  return fmt::format(R"({{"config":{},"layers":[{}]}})", descriptor(config, 10), list);
}

std::string index(std::initializer_list<std::pair<std::string, std::string>> children) {
  std::string list;
  for (const auto& [name, platform] : children) {
    std::string rest;
    if (const auto slash = platform.find('/'); slash != std::string::npos)
      rest = fmt::format(R"(,"platform":{{"os":"{}","architecture":"{}"}})", platform.substr(0, slash),
                         platform.substr(slash + 1));
    list += (list.empty() ? "" : ",") + descriptor(name, 5, rest);
  }
  return fmt::format(R"({{"manifests":[{}]}})", list);
}

PlatformChoice choice(std::string_view text) { return *parse_platform_choice(text); }

TEST(ImageWalk, AnImageIsItsConfigAndItsLayersEachOnce) {
  ImageWalk walk(of("root"), choice("linux/amd64"));
  EXPECT_EQ(walk.next(), of("root"));
  ASSERT_TRUE(walk.take(image("c", {descriptor("a", 1), descriptor("b", 2), descriptor("a", 1)}), ""));
  EXPECT_FALSE(walk.next());
  ASSERT_EQ(walk.blobs().size(), 3U);
  EXPECT_TRUE(walk.blobs()[0].config);
  EXPECT_EQ(walk.blobs()[1].digest, of("a"));
  EXPECT_EQ(walk.blobs()[2].size, 2U);
}

TEST(ImageWalk, OfAnIndexThePlatformsOwn) {
  const auto root = index({{"arm", "linux/arm64"}, {"amd", "linux/amd64"}, {"proof", "unknown/unknown"}});
  ImageWalk walk(of("root"), choice("linux/amd64"));
  ASSERT_TRUE(walk.take(root, ""));
  EXPECT_EQ(walk.next(), of("amd"));
  ImageWalk none(of("root"), choice("linux/s390x"));
  const auto taken = none.take(root, "");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Errc::kNotFound);
  EXPECT_TRUE(taken.error().what().contains("linux/arm64, linux/amd64")) << taken.error().what();
}

TEST(ImageWalk, AllIsEverythingOfTheIndexAndSharedLayersOnce) {
  ImageWalk walk(of("root"), choice("all"));
  ASSERT_TRUE(walk.take(index({{"one", "linux/arm64"}, {"two", "linux/amd64"}}), ""));
  ASSERT_TRUE(walk.take(image("c1", {descriptor("shared", 7)}), ""));
  EXPECT_EQ(walk.next(), of("two"));
  ASSERT_TRUE(walk.take(image("c2", {descriptor("shared", 7)}), ""));
  EXPECT_EQ(walk.manifests(), 3U);
  EXPECT_EQ(walk.blobs().size(), 3U);
}

TEST(ImageWalk, AManifestWithoutAPlatformIsForAllWhereNoneIsForThisOne) {
  ImageWalk walk(of("root"), choice("linux/amd64"));
  ASSERT_TRUE(walk.take(index({{"chart", ""}}), ""));
  EXPECT_EQ(walk.next(), of("chart"));
  ImageWalk better(of("root"), choice("linux/amd64"));
  ASSERT_TRUE(better.take(index({{"chart", ""}, {"amd", "linux/amd64"}}), ""));
  EXPECT_EQ(better.next(), of("amd"));
}

TEST(ImageWalk, ForeignLayersLieElsewhere) {
  ImageWalk walk(of("root"), choice(""));
  ASSERT_TRUE(walk.take(image("c", {descriptor("foreign", 9, R"(,"urls":["https://example.com/x"])")}), ""));
  EXPECT_EQ(walk.blobs().size(), 1U);
}

TEST(ImageWalk, IsBounded) {
  ImageWalk walk(of("root"), choice("all"));
  std::string list;
  for (std::size_t i = 0; i < kMaxWalkManifests; ++i) list += (i > 0 ? "," : "") + descriptor(std::to_string(i), 1);
  const auto taken = walk.take(fmt::format(R"({{"manifests":[{}]}})", list), "");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Errc::kLimit);
}

TEST(ImageWalk, WhatIsNoManifestIsRefused) {
  ImageWalk walk(of("root"), choice(""));
  EXPECT_FALSE(walk.take("[]", ""));
  EXPECT_FALSE(walk.take("{}", ""));
  EXPECT_TRUE(walk.next()) << "it can be asked for again";
}

}  // namespace
}  // namespace oxbow::registry_api
