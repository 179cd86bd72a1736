// Small bodies and tables.
#include "support.h"

namespace oxbow::storage {
namespace {

class SmallTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(fixture_.open()); }
  Store& store() { return *fixture_.store; }
  std::shared_ptr<const SmallBody> read(const Digest& digest) {
    std::promise<std::shared_ptr<const SmallBody>> promise;
    store().read_small(digest, [&](std::shared_ptr<const SmallBody> body) { promise.set_value(std::move(body)); });
    return promise.get_future().get();
  }
  std::optional<std::string> get(Table table, const std::string& key) {
    std::promise<std::optional<std::string>> promise;
    store().table_get(table, key, [&](std::optional<std::string> value) { promise.set_value(std::move(value)); });
    return promise.get_future().get();
  }
  StoreFixture fixture_;
};

// A small body is there at once, and after a restart from the index, with its media type.
TEST_F(SmallTest, ABodyIsThereAtOnceAndAfterARestart) {
  ASSERT_TRUE(store().put_small(digest_of(1), {.bytes = "{}", .media_type = "application/json"}));
  EXPECT_EQ(store().small(digest_of(1))->bytes, "{}");
  EXPECT_EQ(store().small(digest_of(2)), nullptr);
  EXPECT_EQ(read(digest_of(2)), nullptr);
  fixture_.reopen();
  EXPECT_EQ(store().small(digest_of(1)), nullptr);
  const auto body = read(digest_of(1));
  ASSERT_TRUE(body);
  EXPECT_EQ(body->bytes, "{}");
  EXPECT_EQ(body->media_type, "application/json");
  EXPECT_EQ(store().small(digest_of(1)), body);
}

// Blobs above 64 KiB have a file; manifests may have 4 MiB.
TEST_F(SmallTest, TooLargeBodiesAreRefused) {
  EXPECT_TRUE(store().put_small(digest_of(1), {.bytes = std::string(kSmallBytes, 'x'), .media_type = ""}));
  EXPECT_EQ(
      store().put_small(digest_of(2), {.bytes = std::string(kSmallBytes + 1, 'x'), .media_type = ""}).error().code(),
      Errc::kLimit);
  EXPECT_TRUE(store().put_small(digest_of(3), {.bytes = std::string(4 * kMiB, 'x'), .media_type = "m"}));
  EXPECT_EQ(
      store().put_small(digest_of(4), {.bytes = std::string(4 * kMiB + 1, 'x'), .media_type = "m"}).error().code(),
      Errc::kLimit);
}

// A body that does not match its checksum is not served, is counted and forgotten.
TEST_F(SmallTest, ACorruptBodyIsNotServed) {
  ASSERT_TRUE(store().put_small(digest_of(1), {.bytes = "right", .media_type = ""}));
  fixture_.close();
  {
    auto index = open_index(fixture_.dir.path() + "/index", true).value();
    auto row = index->get(Family::kSmall, digest_key(digest_of(1))).value().value();
    row.back() = 'X';
    ASSERT_TRUE(index->apply({{Family::kSmall, digest_key(digest_of(1)), row}}, false));
  }
  ASSERT_TRUE(fixture_.open());
  EXPECT_EQ(read(digest_of(1)), nullptr);
  EXPECT_EQ(fixture_.metric("oxbow_verify_failures_total{source=\"storage\"}"), 1);
  ASSERT_TRUE(store().put_small(digest_of(1), {.bytes = "right", .media_type = ""}));
  EXPECT_EQ(read(digest_of(1))->bytes, "right");
}

// Purging a digest forgets its small body too.
TEST_F(SmallTest, PurgeForgetsABody) {
  ASSERT_TRUE(store().put_small(digest_of(1), {.bytes = "x", .media_type = ""}));
  store().purge(digest_of(1));
  EXPECT_EQ(store().small(digest_of(1)), nullptr);
  fixture_.reopen();
  EXPECT_EQ(read(digest_of(1)), nullptr);
}

// The memory for bodies is bounded: what was pushed out of it is still in the index.
TEST_F(SmallTest, BodiesLeaveMemoryNotTheIndex) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    ASSERT_TRUE(store().put_small(digest_of(seed),
                                  {.bytes = std::string(kSmallBytes, static_cast<char>(seed)), .media_type = ""}));
  }
  EXPECT_EQ(store().small(digest_of(1)), nullptr);
  ASSERT_TRUE(read(digest_of(1)));
  EXPECT_EQ(read(digest_of(1))->bytes, std::string(kSmallBytes, '\1'));
}

// The index for bodies is bounded: the oldest unused go.
TEST(SmallBodiesTest, TheOldestUnusedBodyGoes) {
  ManualClock clock;
  MetricsRegistry metrics;
  Counter& hits = limit_counter(metrics, "storage.small_bodies");
  SmallBodies bodies({.memory_bytes = kMiB, .index_bytes = kMiB, .count = 10}, clock, hits);
  for (std::uint64_t seed = 1; seed <= 12; ++seed)
    bodies.put(digest_of(seed), {.bytes = "x", .media_type = ""}, nullptr);
  EXPECT_FALSE(bodies.recorded(digest_of(1)));
  EXPECT_FALSE(bodies.recorded(digest_of(2)));
  EXPECT_TRUE(bodies.recorded(digest_of(12)));
  EXPECT_EQ(hits.Value(), 2);
}

// Tables: what was put is read back before and after it is written, what was erased is gone, scans see one table and
// prefix.
TEST_F(SmallTest, TablesKeepWhatIsPut) {
  store().table_put(Table::kTags, "a/1", "one");
  store().table_put(Table::kTags, "a/2", "two");
  store().table_put(Table::kTags, "b/1", std::string("\0\xff", 2));
  store().table_put(Table::kGrants, "a/1", "grant");
  EXPECT_EQ(get(Table::kTags, "a/1"), "one");
  EXPECT_EQ(get(Table::kGrants, "a/1"), "grant");
  EXPECT_EQ(get(Table::kGrants, "a/2"), std::nullopt);
  store().table_erase(Table::kTags, "a/2");
  EXPECT_EQ(get(Table::kTags, "a/2"), std::nullopt);
  fixture_.reopen();
  EXPECT_EQ(get(Table::kTags, "b/1"), std::string("\0\xff", 2));
  std::vector<std::string> keys;
  store().table_scan(Table::kTags, "a/", [&](std::string_view key, std::string_view) {
    keys.emplace_back(key);
    return true;
  });
  EXPECT_EQ(keys, std::vector<std::string>{"a/1"});
  int rows = 0;
  store().table_scan(Table::kTags, "", [&](std::string_view, std::string_view) { return ++rows < 1; });
  EXPECT_EQ(rows, 1);
}

}  // namespace
}  // namespace oxbow::storage
