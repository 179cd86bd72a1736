#include "registry-api/challenge.h"

#include <gtest/gtest.h>

namespace oxbow::registry_api {
namespace {

// What Docker Hub, ghcr and distribution send parses into scheme and parameters, with the space inside a scope kept.
TEST(Challenge, BearerWithQuotedParameters) {
  const auto found = parse_challenges(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull repository:c:pull")");
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].scheme, "bearer");
  EXPECT_EQ(found[0].find("realm"), "https://auth.docker.io/token");
  EXPECT_EQ(found[0].find("SERVICE"), "registry.docker.io");
  EXPECT_EQ(found[0].find("scope"), "repository:a/b:pull repository:c:pull");
  EXPECT_FALSE(found[0].find("error"));
}

// A comma, an escaped quote and a backslash inside a quoted string do not end it.
TEST(Challenge, EscapesAndCommasInsideQuotes) {
  const auto found = parse_challenges(R"(Basic realm="a, \"b\" \\ c", charset="UTF-8")");
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].find("realm"), R"(a, "b" \ c)");
  EXPECT_EQ(found[0].find("charset"), "UTF-8");
}

// Two challenges in one field are told apart from two parameters, with and without parameters of their own.
TEST(Challenge, SeveralInOneField) {
  const auto found =
      parse_challenges(R"(Basic realm="x", Bearer realm="https://r/t", service=s, Negotiate, NTLM YWJj==, Basic)");
  ASSERT_EQ(found.size(), 5);
  EXPECT_EQ(found[0].scheme, "basic");
  EXPECT_EQ(found[1].scheme, "bearer");
  EXPECT_EQ(found[1].find("service"), "s");
  EXPECT_EQ(found[2].scheme, "negotiate");
  EXPECT_TRUE(found[2].parameters.empty());
  EXPECT_EQ(found[3].token68, "YWJj==");
  EXPECT_EQ(found[4].scheme, "basic");
}

// Several WWW-Authenticate fields are read in order, whatever their case.
TEST(Challenge, SeveralFields) {
  http::Headers headers;
  headers.add("www-authenticate", "Basic realm=\"one\"");
  headers.add("Content-Type", "text/plain");
  headers.add("WWW-AUTHENTICATE", "Bearer realm=\"https://two\"");
  const auto found = parse_challenges(headers);
  ASSERT_EQ(found.size(), 2);
  EXPECT_EQ(found[0].scheme, "basic");
  EXPECT_EQ(found[1].scheme, "bearer");
}

// What sloppy registries send: spaces around '=', an unquoted URL, empty list elements, a missing closing quote.
TEST(Challenge, Lenient) {
  auto found = parse_challenges(" , Bearer  realm = \"https://r\" ,, service =s");
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].find("realm"), "https://r");
  EXPECT_EQ(found[0].find("service"), "s");

  found = parse_challenges("Bearer realm=https://r:5000/token?x=y,service=s");
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].find("realm"), "https://r:5000/token?x=y");

  found = parse_challenges("Bearer realm=\"https://r");
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].find("realm"), "https://r");

  found = parse_challenges("Bearer realm=");
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].find("realm"), "");
}

// Rubbish gives nothing, or what stood before it; it never loops.
TEST(Challenge, Rubbish) {
  EXPECT_TRUE(parse_challenges("").empty());
  EXPECT_TRUE(parse_challenges(",,, ,").empty());
  EXPECT_TRUE(parse_challenges("\"quoted\"").empty());
  EXPECT_TRUE(parse_challenges("=x").empty());
  EXPECT_TRUE(parse_challenges("realm=\"x\"").empty());
  EXPECT_TRUE(parse_challenges(std::string_view("\0\0", 2)).empty());
  const auto found = parse_challenges("Basic realm=\"a\", \"b\"");
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].find("realm"), "a");
}

// A hostile field cannot make the list grow without bound.
TEST(Challenge, Bounded) {
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "A,";
  EXPECT_EQ(parse_challenges(many).size(), kMaxChallenges);
  std::string wide = "Bearer ";
  for (int i = 0; i < 1000; ++i) wide += "p=v,";
  ASSERT_EQ(parse_challenges(wide).size(), 1);
  EXPECT_EQ(parse_challenges(wide)[0].parameters.size(), kMaxChallengeParameters);
}

// Formatting and parsing again gives the same challenge: replaying one to a client changes nothing.
TEST(Challenge, RoundTrip) {
  for (const auto* text : {R"(Bearer realm="https://r", scope="a b", x="q\"\\")", "Negotiate", "NTLM YWJj=="}) {
    const auto found = parse_challenges(text);
    ASSERT_EQ(found.size(), 1);
    EXPECT_EQ(parse_challenges(format_challenge(found[0])), found);
  }
}

}  // namespace
}  // namespace oxbow::registry_api
