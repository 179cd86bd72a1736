// Which digest is known to be where, over a real store.
#include "mirror/digest_memory.h"

#include "scratch.h"

namespace oxbow::mirror {
namespace {

const RepositoryKey kApp{"reg.test", "team/app"};
const RepositoryKey kLib{"reg.test", "team/lib"};

class DigestMemoryTest : public ::testing::Test {
 protected:
  DigestMemory::Membership membership(const RepositoryKey& repository) {
    return scratch_.run(memory_->membership(digest_, repository));
  }
  void remember(const RepositoryKey& repository, std::optional<std::uint64_t> size) {
    scratch_.start(memory_->remember(digest_, repository, size)).get();
  }
  void restart() {
    memory_.reset();
    scratch_.reopen();
    memory_.emplace(scratch_.store());
  }

  Scratch scratch_;
  Digest digest_ = Digest::sha256("content");
  std::optional<DigestMemory> memory_{scratch_.store()};
};

// A digest belongs to the repositories that named it and to no other one.
TEST_F(DigestMemoryTest, BelongsWhereItWasSeen) {
  EXPECT_FALSE(membership(kApp).belongs);
  remember(kApp, 10);
  EXPECT_TRUE(membership(kApp).belongs);
  EXPECT_FALSE(membership(kLib).belongs);
  EXPECT_FALSE(membership({"other.test", "team/app"}).belongs);
  EXPECT_FALSE(membership({"reg.test", "team/ap"}).belongs);
}

// What one repository claims of the size says nothing in another one.
TEST_F(DigestMemoryTest, SizesAreKeptByRepository) {
  remember(kApp, 10);
  remember(kLib, 99);
  EXPECT_EQ(membership(kApp).size, 10U);
  EXPECT_EQ(membership(kLib).size, 99U);
}

// A later mention without a size does not lose the size; forgetting it does, and keeps the membership.
TEST_F(DigestMemoryTest, SizeIsKeptUntilForgotten) {
  remember(kApp, 10);
  remember(kApp, std::nullopt);
  EXPECT_EQ(membership(kApp).size, 10U);
  scratch_.start(memory_->forget_size(digest_, kApp)).get();
  EXPECT_TRUE(membership(kApp).belongs);
  EXPECT_FALSE(membership(kApp).size);
  remember(kApp, 12);
  EXPECT_EQ(membership(kApp).size, 12U);
}

// The repository that named it last comes last: that is where an unnamed request goes.
TEST_F(DigestMemoryTest, TheLastSeenIsLast) {
  remember(kApp, 1);
  remember(kLib, 1);
  EXPECT_EQ(scratch_.run(memory_->recall(digest_)).places.back().repository.repository, "team/lib");
  remember(kApp, 1);
  EXPECT_EQ(scratch_.run(memory_->recall(digest_)).places.back().repository.repository, "team/app");
  EXPECT_EQ(scratch_.run(memory_->recall(digest_)).places.size(), 2U);
}

// It is all there after a restart, of unknown size too.
TEST_F(DigestMemoryTest, SurvivesReopen) {
  remember(kApp, std::nullopt);
  remember(kLib, 18'446'744'073'709'551'615ULL);
  restart();
  EXPECT_TRUE(membership(kApp).belongs);
  EXPECT_FALSE(membership(kApp).size);
  EXPECT_EQ(membership(kLib).size, 18'446'744'073'709'551'615ULL);
}

// A digest that everybody names takes bounded memory: the oldest repository is forgotten first.
TEST_F(DigestMemoryTest, PlacesAreBounded) {
  for (std::size_t i = 0; i <= DigestMemory::kMaxPlaces; ++i) remember({"reg.test", "r" + std::to_string(i)}, i);
  EXPECT_EQ(scratch_.run(memory_->recall(digest_)).places.size(), DigestMemory::kMaxPlaces);
  EXPECT_FALSE(membership({"reg.test", "r0"}).belongs);
  EXPECT_TRUE(membership({"reg.test", "r" + std::to_string(DigestMemory::kMaxPlaces)}).belongs);
}

// What falls out of memory comes back from the index.
TEST_F(DigestMemoryTest, TheIndexRemembersWhatMemoryDrops) {
  remember(kApp, 7);
  scratch_.start([](DigestMemory& memory) -> Task<> {
    for (std::size_t i = 0; i <= DigestMemory::kMaxCached; ++i)
      co_await memory.remember(Digest::sha256(std::to_string(i)), kLib, i);
  }(*memory_)).get();
  EXPECT_EQ(membership(kApp).size, 7U);
}

// Rows that are damaged give what can be read of them and nothing made up.
TEST(DigestFacts, DecodesWhatIsReadable) {
  const DigestFacts facts{{{kApp, 5}, {kLib, std::nullopt}}};
  const auto again = DigestFacts::decode(facts.encode());
  ASSERT_EQ(again.places.size(), 2U);
  EXPECT_EQ(again.in(kApp)->size, 5U);
  EXPECT_FALSE(again.in(kLib)->size);
  EXPECT_EQ(DigestFacts::decode("").places.size(), 0U);
  EXPECT_EQ(DigestFacts::decode("half a").places.size(), 0U);
  EXPECT_EQ(DigestFacts::decode("\n\nx\n").places.size(), 0U);
  EXPECT_FALSE(DigestFacts::decode("reg.test team/app 99999999999999999999999\n").in(kApp)->size);
}

}  // namespace
}  // namespace oxbow::mirror
