// Names of images as Docker reads them, and the platforms that they are for.
#include "registry-api/image_name.h"

#include <gtest/gtest.h>

#include "registry-api/platform.h"

namespace oxbow::registry_api {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(ImageName, IsReadAsDockerReadsIt) {
  const std::vector<std::pair<std::string, std::string>> names{
      {"nginx", "docker.io/library/nginx:latest"},
      {"nginx:1.27", "docker.io/library/nginx:1.27"},
      {"grafana/grafana", "docker.io/grafana/grafana:latest"},
      {"docker.io/nginx", "docker.io/library/nginx:latest"},
      {"index.docker.io/library/nginx", "docker.io/library/nginx:latest"},
      {"localhost/a", "localhost/a:latest"},
      {"localhost:5000/a", "localhost:5000/a:latest"},
      {"localhost:5000/a/b:tag", "localhost:5000/a/b:tag"},
      {"[::1]:5000/a", "[::1]:5000/a:latest"},
      {"ghcr.io/owner/app@" + kDigest, "ghcr.io/owner/app@" + kDigest},
      {"ghcr.io/owner/app:1@" + kDigest, "ghcr.io/owner/app:1@" + kDigest}};
  for (const auto& [text, meant] : names) {
    const auto name = parse_image_name(text);
    ASSERT_TRUE(name) << text << ": " << name.error().what();
    EXPECT_EQ(name->text(), meant);
  }
}

TEST(ImageName, ADigestIsAskedForWhereThereIsOne) {
  EXPECT_EQ(parse_image_name("nginx:1@" + kDigest)->reference(), kDigest);
  EXPECT_EQ(parse_image_name("nginx:1")->reference(), "1");
}

TEST(ImageName, WhatIsNoneIsSaidSo) {
  for (const auto* text : {"", "Nginx", "a/B", "nginx:", "nginx:a b", "nginx@", "nginx@sha256:12", "a//b", "/a", "a/",
                           "registry.example.com/", "a:b/c", "..", "a/../b", "http://a/b", "ex ample.com/a"}) {
    const auto name = parse_image_name(text);
    ASSERT_FALSE(name) << text << " → " << name->text();
    EXPECT_EQ(name.error().code(), Errc::kInvalid) << text;
  }
  EXPECT_EQ(parse_image_name("a@blake3:" + std::string(64, 'a')).error().code(), Errc::kUnsupported);
  EXPECT_TRUE(parse_image_name("Team/app").error().what().contains("lower case"));
}

TEST(Platform, IsRead) {
  EXPECT_EQ(*parse_platform("linux/amd64"), (Platform{"linux", "amd64"}));
  EXPECT_EQ(*parse_platform("linux/arm/v6"), (Platform{"linux", "arm", "v6"}));
  EXPECT_EQ(*parse_platform("linux/x86_64"), (Platform{"linux", "amd64"}));
  EXPECT_EQ(*parse_platform("linux/armv7l"), (Platform{"linux", "arm", "v7"}));
  EXPECT_EQ(to_string(*parse_platform("linux/arm/v6")), "linux/arm/v6");
  for (const auto* text : {"", "linux", "linux/", "/amd64", "a/b/c/d", "Linux/amd64", "linux/am d64"})
    EXPECT_FALSE(parse_platform(text)) << text;
  EXPECT_EQ(own_platform().os, "linux");
  EXPECT_TRUE(parse_platform(to_string(own_platform())));
}

TEST(Platform, AVariantRunsOnItsSuccessors) {
  const Platform v7{"linux", "arm", "v7"};
  EXPECT_GT(fitness(v7, v7), fitness(v7, Platform{"linux", "arm", "v6"}));
  EXPECT_TRUE(fitness(v7, Platform{"linux", "arm", "v5"}));
  EXPECT_FALSE(fitness(Platform{"linux", "arm", "v6"}, v7));
  EXPECT_TRUE(fitness(v7, Platform{"linux", "arm"}));  // without one: v7
  EXPECT_TRUE(fitness(Platform{"linux", "arm64"}, Platform{"linux", "arm64", "v8"}));
  EXPECT_TRUE(fitness(Platform{"linux", "amd64"}, Platform{"linux", "amd64"}));
  EXPECT_FALSE(fitness(Platform{"linux", "amd64"}, Platform{"linux", "amd64", "v3"}));
  EXPECT_FALSE(fitness(Platform{"linux", "amd64"}, Platform{"windows", "amd64"}));
  EXPECT_FALSE(fitness(Platform{"linux", "amd64"}, Platform{"unknown", "unknown"}));
}

}  // namespace
}  // namespace oxbow::registry_api
