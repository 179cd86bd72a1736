#include "p2p/have_stream.h"

#include <gtest/gtest.h>

#include <set>

namespace oxbow::p2p {
namespace {

using std::chrono::milliseconds;

struct FakeWatch final : PeerContent::HaveWatch {
  State state;
  std::function<void()> changed;
  State current() override { return state; }
  std::optional<std::string> first_hand(std::uint32_t stripe) override {
    if (stripe % 100 != 1) return std::nullopt;
    return std::string(32, 'a');
  }
  void on_change(std::function<void()> call) override { changed = std::move(call); }
};

class HaveStreamTest : public ::testing::Test {
 protected:
  void open(std::uint32_t stripes) {
    auto watch = std::make_unique<FakeWatch>();
    watch_ = watch.get();
    watch_->state.have = HaveMap(stripes);
    stream_ = make_have_stream(loop_, {.watch = std::move(watch),
                                       .load = [this] { return load_; },
                                       .allowed = [this] { return allowed_; },
                                       .counted = nullptr,
                                       .clock = clock_});
  }
  /// The next line; nothing: Wait.
  std::optional<HaveUpdate> line() {
    std::string text;
    for (;;) {
      const auto piece = stream_->next(64UL * 1024);
      if (const auto* memory = std::get_if<http::MemoryPiece>(&piece)) {
        text += memory->bytes;
        if (text.ends_with('\n')) break;
        continue;
      }
      ended_ = std::holds_alternative<http::End>(piece);
      return std::nullopt;
    }
    auto update = parse_have_update(text, watch_->state.have.size());
    EXPECT_TRUE(update) << update.error().what();
    return std::move(*update);
  }
  void change() {
    watch_->changed();
    loop_.restart();
    loop_.poll();
  }

  Loop loop_;
  ManualClock clock_;
  Load load_{.used = 0, .slots = 8, .waiting = 0};
  bool allowed_ = true;
  bool ended_ = false;
  FakeWatch* watch_ = nullptr;
  std::unique_ptr<http::Body> stream_;
};

// The first line is the whole map with the load; then changes of 20 ms come in one line, and nothing before.
TEST_F(HaveStreamTest, ChangesAreCoalesced) {
  open(200);
  watch_->state.have.set(5);
  watch_->state.arriving = {9};
  const auto first = line();
  ASSERT_TRUE(first && first->map && first->load);
  EXPECT_EQ(*first->map, watch_->state.have);
  EXPECT_EQ(first->arriving, (std::vector<std::uint32_t>{9}));
  EXPECT_FALSE(line());

  watch_->state.have.set(1);
  change();
  EXPECT_FALSE(line()) << "within 20 ms";
  watch_->state.have.set(2);
  watch_->state.have.clear(5);
  watch_->state.arriving = {};
  change();
  clock_.advance(milliseconds(20));
  const auto second = line();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->have, (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(second->lost, (std::vector<std::uint32_t>{5, 9}));
  EXPECT_EQ(second->sums, (std::vector<std::pair<std::uint32_t, std::string>>{{1, std::string(32, 'a')}}));
  EXPECT_FALSE(second->map || second->load);
  EXPECT_FALSE(line());
}

// The load is told when it changes by much, and in any case every 2 s.
TEST_F(HaveStreamTest, LoadAndSignsOfLife) {
  open(10);
  ASSERT_TRUE(line());
  load_.used = 1;
  clock_.advance(milliseconds(250));
  EXPECT_FALSE(line());
  load_.used = 8;
  clock_.advance(milliseconds(250));
  const auto busy = line();
  ASSERT_TRUE(busy);
  EXPECT_EQ(busy->load, load_);
  EXPECT_FALSE(busy->map);
  clock_.advance(milliseconds(1'999));
  EXPECT_FALSE(line());
  clock_.advance(milliseconds(1));
  EXPECT_EQ(line()->load, load_);
}

// More changes than fit are a new map, and lists that do not fit go on in the next line: nothing is lost.
TEST_F(HaveStreamTest, ManyChanges) {
  open(20'000);
  ASSERT_TRUE(line());
  for (std::uint32_t i = 0; i < 5'000; ++i) watch_->state.have.set(i);
  for (std::uint32_t i = 10'000; i < 15'000; ++i) watch_->state.arriving.push_back(i);
  change();
  std::set<std::uint32_t> arriving;
  std::set<std::uint32_t> sums;
  bool map = false;
  for (int i = 0; i < 10; ++i) {
    clock_.advance(milliseconds(20));
    const auto update = line();
    if (!update) break;
    if (update->map) map = *update->map == watch_->state.have;
    arriving.insert(update->arriving.begin(), update->arriving.end());
    for (const auto& [stripe, sum] : update->sums) sums.insert(stripe);
  }
  EXPECT_TRUE(map);
  EXPECT_EQ(arriving.size(), 5'000U);
  EXPECT_EQ(sums.size(), 50U);
}

// The stream ends when the blob is gone, and when the asker may not listen any more.
TEST_F(HaveStreamTest, Ends) {
  open(10);
  ASSERT_TRUE(line());
  watch_->state.gone = true;
  change();
  clock_.advance(milliseconds(20));
  EXPECT_FALSE(line());
  EXPECT_TRUE(ended_);
  open(10);
  ended_ = false;
  ASSERT_TRUE(line());
  allowed_ = false;
  EXPECT_FALSE(line());
  EXPECT_TRUE(ended_);
}

}  // namespace
}  // namespace oxbow::p2p
