// What JSON from outside may cost: refused before it is parsed.
#include "core/bounded_json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace oxbow {
namespace {

constexpr JsonLimits kLimits{.bytes = 1UL * 1024 * 1024, .depth = 3, .values = 1'000};
/// The most keys whose looks, n × (n - 1) / 2, are not above 16,000.
constexpr std::size_t kMostKeys = 179;
static_assert(kMostKeys * (kMostKeys - 1) / 2 <= kMaxKeyLooksPerValue * kLimits.values);
static_assert(kMostKeys * (kMostKeys + 1) / 2 > kMaxKeyLooksPerValue * kLimits.values);

std::string object_of(std::size_t keys) {
  std::string text = "{";
  for (std::size_t i = 0; i < keys; ++i) text += fmt::format("{}\"key-{}\":{}", i == 0 ? "" : ",", i, i);
  return text + "}";
}

std::string list_of(std::size_t count, const std::string& object) {
  std::string text = R"({"list":[)";
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + object;
  return text + "]}";
}

// The looks for keys grow with the square of an object's keys: they are bounded, whatever the number of values is.
TEST(BoundedJson, KeysOfAnObject) {
  const auto most = parse_json_object(object_of(kMostKeys), kLimits);
  ASSERT_TRUE(most) << most.error().what();
  EXPECT_EQ(most->size(), kMostKeys);
  const auto more = parse_json_object(object_of(kMostKeys + 1), kLimits);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code(), Errc::kLimit);
  EXPECT_EQ(std::string(more.error().what()), "JSON has objects of too many keys");
}

// What all objects of a document cost together is bounded, so that not many of them do what one may not; small ones are
// as many as the values allow.
TEST(BoundedJson, KeysOfAllObjects) {
  EXPECT_TRUE(parse_json_object(list_of(1, object_of(150)), kLimits));
  EXPECT_EQ(parse_json_object(list_of(2, object_of(150)), kLimits).error().code(), Errc::kLimit);
  EXPECT_TRUE(parse_json_object(list_of(150, object_of(5)), kLimits));
}

// A colon in a text is no key.
TEST(BoundedJson, TextIsNotLookedInto) {
  const auto text = fmt::format(R"({{"a":"{}","b":"\"{}"}})", std::string(2'000, ':'), std::string(2'000, ':'));
  EXPECT_TRUE(parse_json_object(text, kLimits));
}

TEST(BoundedJson, BytesDepthAndValues) {
  EXPECT_EQ(parse_json_object(std::string(kLimits.bytes + 1, ' '), kLimits).error().code(), Errc::kLimit);
  EXPECT_TRUE(parse_json_object("{\"a\":[[1]]}", kLimits));
  EXPECT_EQ(parse_json_object("{\"a\":[[[1]]]}", kLimits).error().code(), Errc::kLimit);
  EXPECT_EQ(parse_json_object(list_of(500, "[1]"), kLimits).error().code(), Errc::kLimit);
  EXPECT_EQ(parse_json_object("[]", kLimits).error().code(), Errc::kInvalid);
  EXPECT_EQ(parse_json_object("{", kLimits).error().code(), Errc::kInvalid);
}

}  // namespace
}  // namespace oxbow
