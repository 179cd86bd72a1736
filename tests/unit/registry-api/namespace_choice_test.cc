#include "registry-api/namespace_choice.h"

#include <gtest/gtest.h>

#include "registry-api/filters.h"

namespace oxbow::registry_api {
namespace {

using How = RegistryChoice::How;

// 0: Docker Hub, 1: ghcr.io, 2: a private one with a port and an alias.
RegistryNames names(std::string_view default_registry = "docker.io", bool allow_any = false) {
  return RegistryNames({{"docker.io", {}}, {"ghcr.io", {}}, {"reg.corp:5000", {"corp"}}}, default_registry, allow_any);
}

void expect(const RegistryChoice& choice, How how, std::optional<std::size_t> registry, std::string_view repository) {
  EXPECT_EQ(choice.how, how);
  EXPECT_EQ(choice.registry, registry);
  EXPECT_EQ(choice.repository, repository);
}

// `ns` decides alone: a path that looks like another registry stays part of the repository.
TEST(Choice, NamespaceBeatsPath) {
  const auto n = names();
  expect(n.choose("ghcr.io", "", "org/app"), How::kNamespace, 1, "org/app");
  expect(n.choose("reg.corp:5000", "", "ghcr.io/app"), How::kNamespace, 2, "ghcr.io/app");
  expect(n.choose("ghcr.io", "docker.io", "org/app"), How::kNamespace, 1, "org/app");
  expect(n.choose("GHCR.IO:443", "", "org/app"), How::kNamespace, 1, "org/app");
  // hosts.toml with override_path names the registry twice.
  expect(n.choose("ghcr.io", "", "ghcr.io/org/app"), How::kNamespace, 1, "org/app");
}

// An unknown namespace is never another registry's content, whatever the default.
TEST(Choice, UnknownNamespaceIsNotFound) {
  EXPECT_EQ(names().choose("evil.io", "", "library/alpine").how, How::kUnknown);
  EXPECT_EQ(names().choose("evil.io", "docker.io", "docker.io/library/alpine").how, How::kUnknown);
}

// Docker Hub's names are one registry, and its official images have their directory.
TEST(Choice, DockerHubIsOneRegistry) {
  const auto n = names();
  for (const auto* ns : {"docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO"}) {
    expect(n.choose(ns, "", "alpine"), How::kNamespace, 0, "library/alpine");
  }
  expect(n.choose(std::nullopt, "", "registry-1.docker.io/alpine"), How::kPath, 0, "library/alpine");
  expect(n.choose("ghcr.io", "", "alpine"), How::kNamespace, 1, "alpine");
  expect(n.choose("docker.io", "", "org/app"), How::kNamespace, 0, "org/app");
}

// Also when it is configured under another of its names.
TEST(Choice, DockerHubUnderAnAlias) {
  const RegistryNames n({{"registry-1.docker.io", {}}}, "docker.io", false);
  expect(n.choose("docker.io", "", "alpine"), How::kNamespace, 0, "library/alpine");
  expect(n.default_choice("alpine"), How::kDefault, 0, "library/alpine");
}

// Without `ns` the first path component, the prefix before /v2, or an alias name the registry.
TEST(Choice, PathNamesTheRegistry) {
  const auto n = names();
  expect(n.choose(std::nullopt, "", "ghcr.io/org/app"), How::kPath, 1, "org/app");
  expect(n.choose(std::nullopt, "ghcr.io", "org/app"), How::kPath, 1, "org/app");
  expect(n.choose(std::nullopt, "mirror/ghcr.io", "org/app"), How::kPath, 1, "org/app");
  expect(n.choose(std::nullopt, "", "corp/team/app"), How::kPath, 2, "team/app");
  expect(n.choose(std::nullopt, "", "reg.corp:5000/team/app"), How::kPath, 2, "team/app");
  expect(n.choose("", "", "ghcr.io/org/app"), How::kPath, 1, "org/app");
}

// Nothing named: digest memory and the default are asked, in that order, by the caller.
TEST(Choice, UnspecifiedGoesToTheDefault) {
  const auto n = names();
  expect(n.choose(std::nullopt, "", "library/alpine"), How::kUnspecified, std::nullopt, "library/alpine");
  expect(n.choose(std::nullopt, "some/prefix", "alpine"), How::kUnspecified, std::nullopt, "alpine");
  expect(n.default_choice("alpine"), How::kDefault, 0, "library/alpine");
  EXPECT_EQ(names("").default_choice("alpine").how, How::kUnknown);
  // A lone component is a repository, not a registry without one.
  expect(n.choose(std::nullopt, "", "ghcr.io"), How::kUnspecified, std::nullopt, "ghcr.io");
}

// A path that means a registry we do not mirror gets nothing; dots in a repository of a private default stay possible.
TEST(Choice, UnknownHostInThePath) {
  EXPECT_EQ(names().choose(std::nullopt, "", "evil.io/library/alpine").how, How::kUnknown);
  EXPECT_EQ(names().choose(std::nullopt, "evil.io", "library/alpine").how, How::kUnknown);
  EXPECT_EQ(names("corp").choose(std::nullopt, "", "evil:5000/x").how, How::kUnknown);
  expect(names("corp").choose(std::nullopt, "", "my.team/app"), How::kUnspecified, std::nullopt, "my.team/app");
}

// Any registry, when it is allowed, must at least look like a host.
TEST(Choice, AllowAnyTakesPlausibleHosts) {
  const auto n = names("docker.io", true);
  const auto choice = n.choose("Other.io:8443", "", "a/b");
  EXPECT_EQ(choice.how, How::kNamespace);
  EXPECT_EQ(choice.registry, std::nullopt);
  EXPECT_EQ(choice.host, "other.io:8443");
  EXPECT_EQ(n.choose(std::nullopt, "", "other.io/a/b").host, "other.io");
  EXPECT_EQ(n.choose(std::nullopt, "", "other.io/a/b").repository, "a/b");
  for (const auto* bad :
       {"nohost", "a b.io", "u@h.io", "h.io/path", "..", "-a.io", "a..io", "h.io:", "h.io:x", "[::1", "a.io\r\n"}) {
    EXPECT_EQ(n.choose(bad, "", "a/b").how, How::kUnknown) << bad;
  }
}

TEST(Filter, GlobsAndPrecedence) {
  EXPECT_TRUE(glob_match("*", "library/alpine"));
  EXPECT_TRUE(glob_match("library/*", "library/alpine"));
  EXPECT_TRUE(glob_match("*/a?pine", "library/alpine"));
  EXPECT_TRUE(glob_match("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(glob_match("library/*", "libraryx/alpine"));
  EXPECT_FALSE(glob_match("", "a"));
  EXPECT_TRUE(glob_match("", ""));
  const RepositoryFilter filter({"team/*", "library/*"}, {"team/secret*"});
  EXPECT_TRUE(filter.allows("team/app"));
  EXPECT_FALSE(filter.allows("team/secret-app"));
  EXPECT_FALSE(filter.allows("other/app"));
  EXPECT_FALSE(RepositoryFilter({}, {}).allows("a"));
}

// A pattern of stars does not make a match cost more than pattern times text.
TEST(Filter, HostilePatternIsCheap) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  EXPECT_FALSE(glob_match(pattern + "b", std::string(20'000, 'a')));
}

}  // namespace
}  // namespace oxbow::registry_api
