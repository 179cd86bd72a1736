// Parsers and small parts of the upstream client.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "mirror/upstream/address.h"
#include "mirror/upstream/bandwidth.h"
#include "mirror/upstream/http_values.h"
#include "mirror/upstream/lru_map.h"
#include "mirror/upstream/token.h"
#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {
namespace {

using namespace std::chrono_literals;

// Every private range in both families and in every wrapping is refused, and its neighbours are not.
TEST(UpstreamValues, PrivateAddresses) {
  for (const auto* text : {"0.0.0.0",
                           "10.1.2.3",
                           "100.64.0.1",
                           "100.127.255.255",
                           "127.0.0.1",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.0.1",
                           "192.0.0.1",
                           "198.18.0.1",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "fe80::1",
                           "fec0::1",
                           "fc00::1",
                           "fd12:3456::1",
                           "ff02::1",
                           "::ffff:10.0.0.1",
                           "::ffff:127.0.0.1",
                           "::10.0.0.1",
                           "64:ff9b::7f00:1",
                           "64:ff9b:1::1",
                           "2002:7f00:1::",
                           "2001::1",
                           "[::1]",
                           "fe80::1%eth0"}) {
    EXPECT_TRUE(is_private_literal(text)) << text;
  }
  for (const auto* text :
       {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1",
        "192.167.1.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101",
        "2002:101:101::", "example.com", "", "1.2.3", "10.0.0.1.example.com"}) {
    EXPECT_FALSE(is_private_literal(text)) << text;
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  inet_pton(AF_INET, "192.168.1.1", &v4.sin_addr);
  EXPECT_TRUE(is_private_address(reinterpret_cast<const sockaddr&>(v4)));
  inet_pton(AF_INET, "8.8.8.8", &v4.sin_addr);
  EXPECT_FALSE(is_private_address(reinterpret_cast<const sockaddr&>(v4)));
  sockaddr other{};
  other.sa_family = AF_UNIX;
  EXPECT_TRUE(is_private_address(other));
}

// Content-Range in its legal forms; anything else is nothing.
TEST(UpstreamValues, ContentRange) {
  const auto range = parse_content_range("bytes 0-499/1234");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 0);
  EXPECT_EQ(range->last, 499);
  EXPECT_EQ(range->total, 1234);
  EXPECT_FALSE(parse_content_range("bytes 5-9/*")->total);
  EXPECT_EQ(parse_content_range("BYTES  5-9/18446744073709551615")->total, UINT64_MAX);
  for (const auto* bad : {"", "bytes", "bytes */5", "bytes 9-5/20", "bytes 0-20/20", "bytes 0-/20", "bytes -5/20",
                          "bytes a-b/c", "items 0-1/2", "bytes 0-18446744073709551616/*", "bytes 0-1"}) {
    EXPECT_FALSE(parse_content_range(bad)) << bad;
  }
}

// Retry-After as seconds and as dates, bounded.
TEST(UpstreamValues, RetryAfter) {
  const Clock::Wall now(std::chrono::seconds(1'700'000'000));  // Tue, 14 Nov 2023 22:13:20 GMT
  EXPECT_EQ(parse_retry_after("120", now), 120s);
  EXPECT_EQ(parse_retry_after(" 0 ", now), 0s);
  EXPECT_EQ(parse_retry_after("Tue, 14 Nov 2023 22:14:20 GMT", now), 60s);
  EXPECT_EQ(parse_retry_after("Tue, 14 Nov 2023 22:12:20 GMT", now), 0s);
  EXPECT_EQ(parse_retry_after("99999999999999999999", now), 3600s);
  // Years that the system clock cannot count to.
  EXPECT_EQ(parse_retry_after("\x8a\"$91111111", now), 3600s);
  EXPECT_EQ(parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", now), 3600s);
  EXPECT_EQ(parse_retry_after("86400", now), 3600s);
  EXPECT_FALSE(parse_retry_after("", now));
  EXPECT_FALSE(parse_retry_after("soon", now));
}

// What signed URLs of the big object stores say about their end.
TEST(UpstreamValues, LocationLifetime) {
  const Clock::Wall now(std::chrono::seconds(1'700'000'000));
  EXPECT_EQ(location_lifetime("https://cdn/x", now), 60s);
  EXPECT_EQ(location_lifetime("https://s3/x?X-Amz-Date=20231114T221320Z&X-Amz-Expires=300&X-Amz-Signature=a", now),
            290s);
  EXPECT_EQ(location_lifetime("https://s3/x?X-Amz-Date=20231114T221320Z&X-Amz-Expires=604800", now), 900s);
  EXPECT_FALSE(location_lifetime("https://s3/x?X-Amz-Date=20231114T211320Z&X-Amz-Expires=300", now));
  EXPECT_EQ(location_lifetime("https://gcs/x?X-Goog-Date=20231114T221320Z&X-Goog-Expires=100", now), 90s);
  EXPECT_EQ(location_lifetime("https://cf/x?Expires=1700000100&Signature=a", now), 90s);
  EXPECT_FALSE(location_lifetime("https://cf/x?Expires=1699999999", now));
  EXPECT_EQ(location_lifetime("https://az/x?se=2023-11-14T22%3A15%3A00Z&sig=a", now), 90s);
  EXPECT_EQ(location_lifetime("https://az/x?se=whenever", now), 60s);
  EXPECT_FALSE(location_lifetime("not a url", now));
}

// URLs are taken apart as far as needed, and what is odd is refused.
TEST(UpstreamValues, Urls) {
  const auto parts = split_url("HTTPS://Reg.Example:5000/a/b?x=y#z");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->origin(), "https://reg.example:5000");
  EXPECT_EQ(parts->path, "/a/b");
  EXPECT_EQ(parts->query, "x=y");
  EXPECT_EQ(split_url("https://h:443")->origin(), "https://h");
  EXPECT_EQ(split_url("http://[::1]:80/")->origin(), "http://[::1]");
  EXPECT_EQ(split_url("http://[::1]:81?q")->host_port(), "[::1]:81");
  EXPECT_TRUE(split_url("https://u:p@h/")->has_userinfo);
  EXPECT_EQ(printable_url("https://u:p@h/a?secret=1"), "https://h/a");
  for (const auto* bad : {"", "h", "//h", "ftp://h", "https://", "https:///x", "https://h:x", "https://h:123456",
                          "https://a b", "https://h\\x"}) {
    EXPECT_FALSE(split_url(bad)) << bad;
  }
}

// Tokens in all forms that services send; what cannot stand in a header is refused.
TEST(UpstreamValues, Tokens) {
  EXPECT_EQ(parse_token(R"({"token":"a"})")->value, "a");
  EXPECT_EQ(parse_token(R"({"token":"a"})")->lifetime, 60s);
  EXPECT_EQ(parse_token(R"({"token":"","access_token":"b","expires_in":300})")->value, "b");
  EXPECT_EQ(parse_token(R"({"access_token":"b","expires_in":300})")->lifetime, 300s);
  EXPECT_EQ(parse_token(R"({"token":"a","expires_in":-5})")->lifetime, 60s);
  EXPECT_EQ(parse_token(R"({"token":"a","expires_in":1e300})")->lifetime, 86400s);
  EXPECT_EQ(parse_token(R"({"token":"a","expires_in":"300"})")->lifetime, 60s);
  for (const auto* bad : {"", "[]", "{}", R"({"token":5})", R"({"token":""})", R"({"token":"a\r\nX: y"})",
                          R"({"token":"a b"})", R"({"token":"a\u0000"})"}) {
    EXPECT_FALSE(parse_token(bad)) << bad;
  }
  EXPECT_FALSE(parse_token(R"({"token":")" + std::string(100'000, 'x') + "\"}"));
}

// Secrets go only where the registry may send them.
TEST(UpstreamValues, Realms) {
  EXPECT_TRUE(check_realm("https://auth.docker.io/token", true));
  EXPECT_FALSE(check_realm("http://auth.docker.io/token", true));
  EXPECT_TRUE(check_realm("http://127.0.0.1:5001/token", false));
  EXPECT_TRUE(check_realm("https://auth/token", false));
  for (const auto* bad : {"", "/token", "token", "ftp://x", "https://user@host/token", "https://a b/"}) {
    EXPECT_FALSE(check_realm(bad, true)) << bad;
  }
}

// The least recently used goes first.
TEST(UpstreamValues, LruMap) {
  LruMap<int> map(2);
  map.put("a", 1);
  map.put("b", 2);
  EXPECT_EQ(*map.find("a"), 1);
  map.put("c", 3);
  EXPECT_EQ(map.find("b"), nullptr);
  map.put("a", 4);
  EXPECT_EQ(*map.find("a"), 4);
  map.erase("a");
  map.erase("a");
  EXPECT_EQ(map.size(), 1);
}

// Debt is paid at the configured rate, the class's and everybody's limit both hold, and idle time earns little credit.
TEST(UpstreamValues, Bandwidth) {
  MetricsRegistry metrics;
  auto& hits = counter_family(metrics, "hits", "h").Add({});
  Bandwidth bandwidth(1'000'000, {0, 100'000}, hits);
  SteadyTime now{};
  now += 1000s;
  EXPECT_EQ(bandwidth.take(FetchClass::kPull, 50'000, now), 0ns);  // the burst
  EXPECT_EQ(bandwidth.take(FetchClass::kPull, 100'000, now), 100ms);
  EXPECT_EQ(bandwidth.take(FetchClass::kPull, 0, now + 60ms), 40ms);
  EXPECT_EQ(bandwidth.take(FetchClass::kPreheat, 100'000, now + 1s), 950ms);
  EXPECT_EQ(bandwidth.take(FetchClass::kPull, 10'000, now + 10s), 0ns);
  Bandwidth unlimited(0, {}, hits);
  EXPECT_EQ(unlimited.take(FetchClass::kPull, std::size_t{1} << 40, now), 0ns);
}

}  // namespace
}  // namespace oxbow::mirror::upstream
