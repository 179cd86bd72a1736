#include "config/checks.h"

#include <gtest/gtest.h>

#include "config/suggest.h"

namespace oxbow::config {
namespace {

// Addresses to bind are literal: a name could resolve to something else at the next start.
TEST(Checks, Listen) {
  for (const auto* good : {"127.0.0.1:5050", "[::1]:5050", "0.0.0.0:0", "[::]:65535", "fd:3"}) {
    EXPECT_EQ(check_listen(good), "") << good;
  }
  for (const auto* bad : {"", ":5050", "localhost:5050", "127.0.0.1", "127.0.0.1:65536", "::1:5050", "fd:x", "1.2.3:4",
                          "127.0.0.1:+5", "[127.0.0.1]:5"}) {
    EXPECT_NE(check_listen(bad), "") << bad;
  }
  EXPECT_TRUE(is_loopback("127.0.0.2:1"));
  EXPECT_TRUE(is_loopback("[::1]:1"));
  EXPECT_FALSE(is_loopback("[::]:1"));
  EXPECT_FALSE(is_loopback("fd:3"));
}

// An upstream is a plain base URL; credentials in it would end up in logs.
TEST(Checks, Upstream) {
  for (const auto* good : {"https://a.io", "http://127.0.0.1:5000", "https://a.io/prefix/", "http://[::1]:5000"}) {
    EXPECT_EQ(check_upstream(good), "") << good;
  }
  for (const auto* bad : {"a.io", "ftp://a.io", "https://", "https:///x", "https://u:p@a.io", "https://a.io?x",
                          "https://a b", "https://a.io:99999", "https://a.io#f"}) {
    EXPECT_NE(check_upstream(bad), "") << bad;
  }
}

TEST(Checks, NamesAndProxies) {
  for (const auto* good : {"docker.io", "reg:5000", "corp", "[::1]:5000"})
    EXPECT_EQ(check_registry_name(good), "") << good;
  for (const auto* bad : {"", "https://a.io", "a/b", "a b", "reg:port"}) EXPECT_NE(check_registry_name(bad), "") << bad;
  for (const auto* good : {"http://p:3128", "socks5h://u:p@proxy", "https://p"})
    EXPECT_EQ(check_proxy(good), "") << good;
  for (const auto* bad : {"p:3128", "gopher://p", "http://"}) EXPECT_NE(check_proxy(bad), "") << bad;
  EXPECT_EQ(mask_url("http://u:p@h/x@y"), "http://***@h/x@y");
  EXPECT_EQ(mask_url("http://h/x@y"), "http://h/x@y");
}

// A typing error finds its key; something quite different finds none.
TEST(Suggest, FindsTheNearestName) {
  const std::vector<std::string> known{"listen", "tls", "default_registry", "drain_timeout"};
  EXPECT_EQ(suggest("lisetn", known), "listen");
  EXPECT_EQ(suggest("defaultregistry", known), "default_registry");
  EXPECT_EQ(suggest("drain-timeout", known), "drain_timeout");
  EXPECT_EQ(suggest("completely_other", known), std::nullopt);
  EXPECT_EQ(suggest(std::string(10'000, 'x'), known), std::nullopt);
  EXPECT_EQ(edit_distance("ab", "ba"), 1U);
}

}  // namespace
}  // namespace oxbow::config
