#include "p2p/stream_chunks.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

TEST(StreamChunks, TheLastUsedComesNext) {
  StreamChunks chunks;
  auto chunk = chunks.take(StreamChunks::kChunkBytes);
  ASSERT_GE(chunk.capacity(), StreamChunks::kChunkBytes);
  chunk.assign(100, 'x');
  const auto* const bytes = chunk.data();
  chunks.give_back(std::move(chunk));
  chunk = chunks.take(StreamChunks::kChunkBytes);
  EXPECT_EQ(chunk.data(), bytes);
  EXPECT_TRUE(chunk.empty());
}

// Hundreds of have streams wait with a line each: none of them holds a stripe's buffer.
TEST(StreamChunks, AFewBytesTakeNone) {
  StreamChunks chunks;
  chunks.give_back(chunks.take(StreamChunks::kChunkBytes));
  EXPECT_LT(chunks.take(100).capacity(), StreamChunks::kFewBytes);
}

TEST(StreamChunks, KeepsABoundedNumber) {
  StreamChunks chunks;
  std::vector<std::string> taken;
  for (std::size_t i = 0; i < StreamChunks::kSpare + 1; ++i) taken.push_back(chunks.take(StreamChunks::kChunkBytes));
  const auto* const last = taken.back().data();
  for (auto& chunk : taken) chunks.give_back(std::move(chunk));
  for (std::size_t i = 0; i < StreamChunks::kSpare; ++i) EXPECT_NE(chunks.take(StreamChunks::kChunkBytes).data(), last);
}

}  // namespace
}  // namespace oxbow::p2p
