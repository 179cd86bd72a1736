#include "registry-api/range.h"

#include <gtest/gtest.h>

#include "registry-api/multipart.h"

namespace oxbow::registry_api {
namespace {

using Kind = RangeRequest::Kind;
constexpr std::uint64_t kSize = 2048;

struct Case {
  const char* header;
  Kind kind;
  std::vector<ByteRange> ranges = {};
  bool open_ended = false;
};

// RFC 9110 section 14 and the cases of the conformance suite, on its blob of 2048 bytes.
TEST(Range, Table) {
  const Case cases[] = {
      {"bytes=500-1499", Kind::kRanges, {{500, 1500}}},
      {"bytes=500-", Kind::kRanges, {{500, 2048}}, true},
      {"bytes=-500", Kind::kRanges, {{1548, 2048}}, true},
      {"bytes=2000-5000", Kind::kRanges, {{2000, 2048}}},
      {"bytes=0-0", Kind::kRanges, {{0, 1}}},
      {"bytes=-9999", Kind::kRanges, {{0, 2048}}, true},
      {"bytes=2047-", Kind::kRanges, {{2047, 2048}}, true},
      {"bytes=0-99999999999999999999999", Kind::kRanges, {{0, 2048}}},
      {"BYTES = 0-1", Kind::kRanges, {{0, 2}}},
      {"bytes= 0-1 , 5-6,", Kind::kRanges, {{0, 2}, {5, 7}}},
      {"bytes=5-6,0-1", Kind::kRanges, {{5, 7}, {0, 2}}},  // request order, never sorted
      {"bytes=0-1,1-2", Kind::kRanges, {{0, 2}, {1, 3}}},  // never merged
      {"bytes=0-1,9000-9001,-1", Kind::kRanges, {{0, 2}, {2047, 2048}}},
      {"bytes=0-1,100-", Kind::kRanges, {{0, 2}, {100, 2048}}},
      {"bytes=500-0", Kind::kUnsatisfiable},
      {"bytes=5000-10000", Kind::kUnsatisfiable},
      {"bytes=2048-", Kind::kUnsatisfiable},
      {"bytes=-0", Kind::kUnsatisfiable},
      {"bytes=99999999999999999999999-", Kind::kUnsatisfiable},
      {"items=0-1", Kind::kWhole},
      {"bytes", Kind::kWhole},
      {"bytes=", Kind::kWhole},
      {"bytes=,", Kind::kWhole},
      {"bytes=-", Kind::kWhole},
      {"bytes=a-b", Kind::kWhole},
      {"bytes=1", Kind::kWhole},
      {"bytes=0-1,x", Kind::kWhole},
      {"bytes=+1-2", Kind::kWhole},
      {"bytes=1-2-3", Kind::kWhole},
      {"bytes=0 -1", Kind::kWhole},
  };
  for (const auto& c : cases) {
    const auto request = parse_range(c.header, kSize);
    EXPECT_EQ(request.kind, c.kind) << c.header;
    EXPECT_EQ(request.ranges, c.ranges) << c.header;
    EXPECT_EQ(request.open_ended, c.open_ended) << c.header;
  }
  EXPECT_EQ(parse_range(std::nullopt, kSize).kind, Kind::kWhole);
}

// 1024 ranges, podman's most, are served; one more is refused as a whole.
TEST(Range, BoundsTheCount) {
  std::string header = "bytes=0-0";
  for (int i = 1; i < 1024; ++i) header += "," + std::to_string(i) + "-" + std::to_string(i);
  EXPECT_EQ(parse_range(header, kSize).ranges.size(), 1024U);
  EXPECT_EQ(parse_range(header + ",5-5", kSize).kind, Kind::kTooMany);
}

// A hundred times the whole blob in one request is refused; twice may be asked for.
TEST(Range, BoundsTheOverlap) {
  EXPECT_EQ(parse_range("bytes=0-,0-", kSize).kind, Kind::kRanges);
  const auto request = parse_range("bytes=0-,0-,0-0", kSize);
  EXPECT_EQ(request.kind, Kind::kTooMany);
  EXPECT_TRUE(request.ranges.empty());
}

// An empty blob has no byte to name: it is served whole, or 416 when a byte was asked for.
TEST(Range, EmptyBlob) {
  EXPECT_EQ(parse_range("bytes=0-", 0).kind, Kind::kWhole);
  EXPECT_EQ(parse_range("bytes=-5", 0).kind, Kind::kWhole);
  EXPECT_EQ(parse_range("bytes=5-", 0).kind, Kind::kUnsatisfiable);
}

// Offsets beyond 32 bits are exact.
TEST(Range, GiantBlobs) {
  constexpr std::uint64_t kGiant = 700'000'000'000;
  EXPECT_EQ(parse_range("bytes=699999999999-", kGiant).ranges, (std::vector<ByteRange>{{kGiant - 1, kGiant}}));
  EXPECT_EQ(content_range({kGiant - 1, kGiant}, kGiant), "bytes 699999999999-699999999999/700000000000");
}

// What upstream says about the size is taken only when it is consistent.
TEST(ContentRange, Parses) {
  const auto parsed = parse_content_range("bytes 0-99/2048");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->range, (ByteRange{0, 100}));
  EXPECT_EQ(parsed->size, 2048U);
  EXPECT_EQ(parse_content_range("bytes 0-99/*")->size, std::nullopt);
  EXPECT_EQ(parse_content_range("bytes */2048")->range, std::nullopt);
  EXPECT_EQ(unsatisfied_range(2048), "bytes */2048");
  for (const auto* bad : {"", "bytes", "bytes 0-99", "bytes 99-0/100", "bytes 0-100/100", "bytes */*", "items 0-1/2",
                          "bytes -5/10", "bytes 5-/10", "bytes 0-18446744073709551615/*"}) {
    EXPECT_FALSE(parse_content_range(bad)) << bad;
  }
}

// The announced length is the length of the body, for one part and for many, in the order asked.
TEST(Multipart, LengthIsExact) {
  const MultipartLayout layout({{5, 7}, {0, 2}, {100, 1100}}, kSize, "application/octet-stream", 42);
  std::string body;
  for (std::size_t part = 0; part < layout.parts(); ++part) {
    body += layout.part_header(part) + std::string(layout.part_range(part).size(), 'x');
  }
  body += layout.trailer();
  EXPECT_EQ(body.size(), layout.total_bytes());
  EXPECT_EQ(layout.content_type(), "multipart/byteranges; boundary=" + layout.boundary());
  EXPECT_EQ(layout.boundary().find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789"), std::string::npos);
  EXPECT_TRUE(body.starts_with("--" + layout.boundary() +
                               "\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 5-6/2048\r\n\r\nxx"
                               "\r\n--"));
  EXPECT_TRUE(body.ends_with("\r\n--" + layout.boundary() + "--\r\n"));
}

}  // namespace
}  // namespace oxbow::registry_api
