#include "core/encoding.h"

#include <gtest/gtest.h>

namespace oxbow {
namespace {

using namespace std::chrono_literals;

TEST(Hex, LowerCaseOnly) {
  EXPECT_EQ(to_hex(std::as_bytes(std::span("\x00\xff\x1a", 3))), "00ff1a");
  EXPECT_EQ(from_hex("00ff1a")->size(), 3U);
  EXPECT_TRUE(from_hex("")->empty());
  for (const auto* bad : {"0", "0g", "FF", " 0"}) EXPECT_FALSE(from_hex(bad)) << bad;
}

// RFC 4648's vectors, both ways; both alphabets; padding optional when reading.
TEST(Base64, Vectors) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    EXPECT_EQ(base64_encode(plain), coded);
    EXPECT_EQ(base64_decode(coded), plain);
  }
  EXPECT_EQ(base64_decode("-_-_"), base64_decode("+/+/"));
  EXPECT_EQ(base64_decode("Zg"), "f");
  for (const auto* bad : {"A", "AAAAA", "A A=", "Zm9v\n", "=Zg"}) EXPECT_FALSE(base64_decode(bad)) << bad;
}

// Every byte survives base64 and percent-encoding.
TEST(Encoding, AllBytesRoundTrip) {
  std::string all;
  for (int i = 1; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(base64_decode(base64_encode(all)), all);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
}

// Broken escapes and NUL are refused, not guessed at.
TEST(Percent, Decode) {
  EXPECT_EQ(percent_decode("a%2Fb%2f"), "a/b/");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  EXPECT_EQ(percent_decode("%41"), "A");
  for (const auto* bad : {"%", "%4", "a%", "%zz", "%00", "%-1"}) EXPECT_FALSE(percent_decode(bad)) << bad;
  EXPECT_EQ(percent_encode("a/b:c~"), "a%2Fb%3Ac~");
}

// The first value of a key; an empty one is not an absent one; a broken one is none.
TEST(Query, Value) {
  EXPECT_EQ(query_value("ns=reg%3A5000&n=5", "ns"), "reg:5000");
  EXPECT_EQ(query_value("ns=reg%3A5000&n=5&n=6", "n"), "5");
  EXPECT_EQ(query_value("a&b=", "a"), "");
  EXPECT_EQ(query_value("a&b=", "b"), "");
  EXPECT_EQ(query_value("a=1", "b"), std::nullopt);
  EXPECT_EQ(query_value("", "b"), std::nullopt);
  EXPECT_EQ(query_value("%6es=x", "ns"), "x");
  EXPECT_EQ(query_value("ns=%zz", "ns"), std::nullopt);
  EXPECT_EQ(query_value("&&ns=a=b", "ns"), "a=b");
}

TEST(Bytes, ParseAndFormat) {
  EXPECT_EQ(*parse_bytes("0"), 0U);
  EXPECT_EQ(*parse_bytes("512"), 512U);
  EXPECT_EQ(*parse_bytes("64KiB"), 65536U);
  EXPECT_EQ(*parse_bytes("1.5 GiB"), 1610612736U);
  EXPECT_EQ(*parse_bytes("10MB"), 10'000'000U);
  for (const auto* bad : {"", "-1", "x", "1 QiB", "1KIB", "inf", "nan", "1e30", "99999999999TiB", "0x10"}) {
    EXPECT_FALSE(parse_bytes(bad)) << bad;
  }
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(700'000'000'000), "651.9 GiB");
}

TEST(Duration, ParseAndFormat) {
  EXPECT_EQ(*parse_duration("250ms"), 250ms);
  EXPECT_EQ(*parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(*parse_duration("24h"), 24h);
  EXPECT_EQ(*parse_duration("0"), 0ms);
  for (const auto* bad : {"", "5", "-1s", "5 years", "s", "1e9d"}) EXPECT_FALSE(parse_duration(bad)) << bad;
  for (const auto value : {0ms, 250ms, 1500ms, 5000ms, 600'000ms, 86'400'000ms}) {
    EXPECT_EQ(*parse_duration(format_duration(value)), value);
  }
}

TEST(Text, Helpers) {
  EXPECT_TRUE(iequals("Content-LENGTH", "content-length"));
  EXPECT_FALSE(iequals("a", "ab"));
  EXPECT_EQ(to_lower("AbZ\xc3\x84"), "abz\xc3\x84");
  EXPECT_EQ(trim(" \t a b \t"), "a b");
  EXPECT_EQ(trim(" "), "");
}

}  // namespace
}  // namespace oxbow
