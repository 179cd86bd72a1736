// The configured registries and the look-up among them.
#include "mirror/registries.h"

#include "scratch.h"

namespace oxbow::mirror {
namespace {

class RegistriesTest : public ::testing::Test {
 protected:
  RegistriesTest() {
    auto first = config::default_registry_entry("reg.test");
    first.aliases = {"alias.test"};
    config_.registries = {first, config::default_registry_entry("other.test:5000"),
                          config::default_registry_entry("docker.io")};
    config_.client.default_registry = "reg.test";
  }
  std::shared_ptr<Registries> make() {
    auto made = Registries::create(config_, {scratch_.clock(), scratch_.pool(), scratch_.metrics(), "1.2.3"});
    EXPECT_TRUE(made) << (made ? "" : made.error().what());
    return made ? *made : nullptr;
  }
  static std::string name_of(const Registries::Found& found) {
    return found.registry ? found.registry->config.name + ' ' + found.repository : "none";
  }

  Scratch scratch_;
  config::Config config_ = config::defaults();
};

// ns, path and default find the registry and its repository.
TEST_F(RegistriesTest, Finds) {
  const auto registries = make();
  EXPECT_EQ(name_of(registries->find("reg.test", "", "a/b")), "reg.test a/b");
  EXPECT_EQ(name_of(registries->find("alias.test", "", "a/b")), "reg.test a/b");
  EXPECT_EQ(name_of(registries->find("other.test:5000", "", "a")), "other.test:5000 a");
  EXPECT_EQ(name_of(registries->find("registry-1.docker.io", "", "alpine")), "docker.io library/alpine");
  EXPECT_EQ(name_of(registries->find(std::nullopt, "", "docker.io/library/alpine")), "docker.io library/alpine");
  const auto unspecified = registries->find(std::nullopt, "", "a/b");
  EXPECT_TRUE(unspecified.unspecified);
  EXPECT_FALSE(unspecified.registry);
  EXPECT_EQ(name_of(registries->by_default("a/b")), "reg.test a/b");
}

// What is not configured is not found, and does not fall back to the default.
TEST_F(RegistriesTest, UnknownIsNothing) {
  const auto registries = make();
  for (const auto* ns : {"evil.test", "127.0.0.1", "reg.test.evil", "reg.test/x", "reg.test:80"}) {
    const auto found = registries->find(ns, "", "a");
    EXPECT_FALSE(found.registry) << ns;
    EXPECT_FALSE(found.unspecified) << ns;
  }
  EXPECT_EQ(registries->named("evil.test"), nullptr);
  EXPECT_EQ(registries->named("alias.test")->config.name, "reg.test");
}

// With any registry allowed, a new one is made once and kept; their number is bounded, and requests hold theirs.
TEST_F(RegistriesTest, AnyRegistryIsBounded) {
  config_.client.allow_any_registry = true;
  const auto registries = make();
  const auto first = registries->find("new.test", "", "a");
  ASSERT_TRUE(first.registry);
  EXPECT_EQ(registries->find("new.test", "", "b").registry, first.registry);
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(registries->find(fmt::format("r{}.test", i), "", "a").registry);
  EXPECT_EQ(first.registry->config.name, "new.test");
  EXPECT_EQ(registries->named("new.test"), nullptr) << "digest memory leads to configured ones alone";
}

// A URL that is none is an error that names its registry.
TEST_F(RegistriesTest, BadUrlIsNamed) {
  config_.registries[1].upstreams = {"ftp://other.test"};
  const auto made = Registries::create(config_, {scratch_.clock(), scratch_.pool(), scratch_.metrics(), "1.2.3"});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code(), Errc::kInvalid);
  EXPECT_NE(made.error().what().find("other.test:5000"), std::string::npos);
}

// A snapshot that was replaced lives on with those who hold it.
TEST_F(RegistriesTest, HeldRegistriesOutliveTheSnapshot) {
  auto registries = make();
  const auto held = registries->named("reg.test");
  registries.reset();
  EXPECT_TRUE(held->filter.allows("a"));
  EXPECT_EQ(held->upstream->name(), "reg.test");
}

}  // namespace
}  // namespace oxbow::mirror
