#include "core/digest.h"

#include <gtest/gtest.h>

#include <unordered_set>

namespace oxbow {
namespace {

const std::string kEmptySha256 = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// Parsing keeps the text, for both algorithms that can be verified.
TEST(Digest, RoundTrips) {
  for (const auto& text : {kEmptySha256, "sha512:" + std::string(128, '0')}) {
    const auto digest = Digest::parse(text);
    ASSERT_TRUE(digest) << text;
    EXPECT_EQ(digest->to_string(), text);
  }
}

// Malformed text and algorithms that we cannot verify are different errors: 400 is not "try another".
TEST(Digest, TellsMalformedFromUnsupported) {
  for (const auto& bad :
       {std::string(""), std::string("sha256"), std::string("sha256:"), std::string(":abc"), std::string("sha256:abc"),
        "sha256:" + std::string(64, 'A'), "sha256:" + std::string(63, 'a'), "sha256:" + std::string(65, 'a'),
        "SHA256:" + std::string(64, 'a'), "sha256:" + std::string(64, 'g'), "sha256:" + std::string(63, 'a') + "/",
        std::string("a++b:00"), std::string("-a:00"), std::string("a b:00"), "x:" + std::string(1000, 'a')}) {
    const auto digest = Digest::parse(bad);
    ASSERT_FALSE(digest) << bad;
    EXPECT_EQ(digest.error().code(), Errc::kInvalid) << bad;
  }
  for (const auto& unknown : {"blake3:" + std::string(64, 'a'),
                              std::string("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8")}) {
    EXPECT_EQ(Digest::parse(unknown).error().code(), Errc::kUnsupported) << unknown;
  }
}

// Known answers (FIPS 180-4's examples).
TEST(Digest, HashesContent) {
  EXPECT_EQ(Digest::sha256("").to_string(), kEmptySha256);
  EXPECT_EQ(Digest::sha256("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(
      Digest::of(Digest::Algorithm::kSha512, std::as_bytes(std::span("abc", 3))).hex(),
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce"
      "80e2a9ac94fa54ca49f");
}

// Equality, order and hash agree, and a sha256 is never a sha512 with the same first half.
TEST(Digest, ComparesByAlgorithmAndBytes) {
  const auto a = *Digest::parse("sha256:" + std::string(64, '0'));
  const auto b = *Digest::parse("sha512:" + std::string(128, '0'));
  EXPECT_NE(a, b);
  EXPECT_EQ(a, *Digest::parse(a.to_string()));
  EXPECT_LT(a, *Digest::parse("sha256:" + std::string(63, '0') + "1"));
  std::unordered_set<Digest, Digest::Hash> set{a, b, a};
  EXPECT_EQ(set.size(), 2U);
  EXPECT_EQ(Digest::from_bytes(a.algorithm(), a.bytes()), a);
}

}  // namespace
}  // namespace oxbow
