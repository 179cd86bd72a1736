#include "p2p/protocol/stripe_fields.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

constexpr std::uint64_t kBlob = 64ULL * 1024 * 1024;

using Names = std::vector<std::string>;

Result<StripeFields> parse(const std::string& path) {
  http::Headers headers;
  headers.add(std::string(field::kSize), std::to_string(kBlob));
  headers.add(std::string(field::kPath), path);
  return parse_request_fields(headers, 5);
}

// A path may be empty, and has two more hops at most.
TEST(StripeFields, Paths) {
  EXPECT_EQ(parse("").value().path, Names());
  EXPECT_EQ(parse("node-1,node-2").value().path, (Names{"node-1", "node-2"}));
  EXPECT_EQ(parse("node-1,node-2,node-3").error().code(), Errc::kLimit);
  EXPECT_EQ(parse("node 1").error().code(), Errc::kInvalid);
}

// What is written is read as the same.
TEST(StripeFields, RoundTrip) {
  StripeFields fields{.blob_bytes = kBlob, .deadline = std::chrono::milliseconds(1'500), .path = Names{"node-4"}};
  fields.client = "node-7";
  fields.wants = 3;
  http::Headers headers;
  add_request_fields(fields, headers);
  const auto read = parse_request_fields(headers, 5);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->blob_bytes, kBlob);
  EXPECT_EQ(read->deadline, fields.deadline);
  EXPECT_EQ(read->path, fields.path);
  EXPECT_EQ(read->client, "node-7");
  EXPECT_EQ(read->wants, 3U);
  EXPECT_FALSE(read->ranged);
}

}  // namespace
}  // namespace oxbow::p2p
