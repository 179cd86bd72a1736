// The messages of a preheat: what is written reads back, and what is malformed or too long is refused.
#include "p2p/protocol/preheat.h"

#include <gtest/gtest.h>

#include "p2p/peer_route.h"

namespace oxbow::p2p {
namespace {

PreheatAsk an_ask() {
  return {.id = "0a1b2c",
          .registry = "docker.io",
          .repository = "library/nginx",
          .digest = Digest::sha256(std::string_view("x")),
          .platform = "linux/arm64"};
}

TEST(PreheatMessages, ReadBack) {
  EXPECT_EQ(*parse_preheat_ask(to_json(an_ask())), an_ask());
  const PreheatReport report{
      .id = "0a1b2c", .state = PreheatState::kFailed, .bytes_done = 5, .bytes_total = 9, .error = "no"};
  EXPECT_EQ(*parse_preheat_report(to_json(report)), report);
}

TEST(PreheatMessages, UnknownFieldsAreIgnored) {
  auto json = to_json(an_ask());
  json.insert(1, R"("newer":[1],)");
  EXPECT_EQ(*parse_preheat_ask(json), an_ask());
}

TEST(PreheatMessages, WhatIsMissingOrMalformedIsRefused) {
  const auto digest = an_ask().digest.to_string();
  for (const auto& json : {std::string("{}"), std::string("[]"), std::string(""),
                           R"({"id":"a","registry":"r","repository":"x"})" + std::string(),
                           R"({"id":"A b","registry":"r","repository":"x","digest":")" + digest + "\"}",
                           R"({"id":"a","repository":"x","digest":")" + digest + "\"}",
                           R"({"id":"a","registry":"r","digest":")" + digest + "\"}",
                           R"({"id":"a","registry":7,"repository":"x","digest":")" + digest + "\"}"})
    EXPECT_FALSE(parse_preheat_ask(json)) << json;
  for (const auto* json :
       {"{}", R"({"id":"a"})", R"({"id":"a","state":"dreaming"})", R"({"id":"a","state":"done","bytes_done":-1})",
        R"({"id":"a","state":"done","bytes_total":9007199254740993})"})
    EXPECT_FALSE(parse_preheat_report(json)) << json;
  auto ask = an_ask();
  ask.repository = std::string(300, 'a');
  EXPECT_EQ(parse_preheat_ask(to_json(ask)).error().code(), Errc::kLimit);
  EXPECT_EQ(parse_preheat_ask(std::string(kMaxPreheatBytes + 1, ' ')).error().code(), Errc::kLimit);
}

TEST(PreheatMessages, ALongErrorIsCutAndStillReads) {
  PreheatReport report{.id = "a", .state = PreheatState::kFailed};
  report.error = std::string(10 * kMaxPreheatError, '\xff');
  const auto read = parse_preheat_report(to_json(report));
  ASSERT_TRUE(read) << read.error().what();
  EXPECT_FALSE(read->error.empty());
}

TEST(PreheatMessages, Routes) {
  EXPECT_EQ(parse_peer_route("/p2p/v1/preheat")->kind, PeerRoute::Kind::kPreheats);
  const auto one = parse_peer_route("/p2p/v1/preheat/0a1b2c");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->kind, PeerRoute::Kind::kPreheat);
  EXPECT_EQ(one->id, "0a1b2c");
  for (const auto* path : {"/p2p/v1/preheat/", "/p2p/v1/preheat/A", "/p2p/v1/preheat/a/b", "/p2p/v1/preheat/%2e%2e"})
    EXPECT_FALSE(parse_peer_route(path)) << path;
}

}  // namespace
}  // namespace oxbow::p2p
