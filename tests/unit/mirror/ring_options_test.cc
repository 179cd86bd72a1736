// From the configuration to the ring's parts; the list of revoked identities in a file.
#include "mirror/ring_options.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

namespace oxbow::mirror {
namespace {

TEST(RingOptionsTest, SelfAndStrategy) {
  config::Config config;
  config.peer.name = "node-7";
  config.peer.listen = "10.0.0.7:5051";
  EXPECT_EQ(self_member(config).addresses, std::vector<std::string>{"10.0.0.7:5051"});
  config.peer.advertise = "node-7.example:5051";
  config.peer.location = {"zone", "rack"};
  config.peer.weight = 2;
  const auto self = self_member(config);
  EXPECT_EQ(self.name, "node-7");
  EXPECT_EQ(self.addresses, std::vector<std::string>{"node-7.example:5051"});
  EXPECT_EQ(self.location, (std::vector<std::string>{"zone", "rack"}));
  EXPECT_EQ(self.weight, 2);
  config.peer.name.clear();
  EXPECT_FALSE(self_member(config).name.empty());
  EXPECT_EQ(strategy_kind(config::Strategy::kSwarm), p2p::StrategyKind::kSwarm);
  EXPECT_EQ(strategy_kind(config::Strategy::kRing), p2p::StrategyKind::kRing);
  EXPECT_EQ(strategy_kind(config::Strategy::kSingle), p2p::StrategyKind::kSingle);
}

class RevokedListTest : public ::testing::Test {
 protected:
  RevokedListTest() {
    std::string name = (std::filesystem::temp_directory_path() / "oxbow-revoked-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
    config_.peer.revoked_file = directory_ + "/revoked.json";
    config_.storage.directory = directory_ + "/storage";
    std::filesystem::create_directory(config_.storage.directory);
  }
  ~RevokedListTest() override { std::filesystem::remove_all(directory_); }

  /// As an operator would: whole, by a rename.
  void write(const std::string& text) {
    std::ofstream(directory_ + "/new") << text;
    std::filesystem::rename(directory_ + "/new", config_.peer.revoked_file);
  }
  bool eventually_told(const std::vector<std::string>& names) {
    std::unique_lock lock(mutex_);
    return told_changed_.wait_for(lock, std::chrono::seconds(60),
                                  [&] { return !told_.empty() && told_.back() == names; });
  }

  std::string directory_;
  config::Config config_;
  std::mutex mutex_;
  std::condition_variable told_changed_;
  std::vector<std::vector<std::string>> told_;
};

// The file is followed; one that cannot be read or is not a list keeps the last, and is taken again when it is right.
TEST_F(RevokedListTest, FollowsItsFile) {
  RevokedList list(
      config_, nullptr,
      [this](std::vector<std::string> names) {
        const std::lock_guard lock(mutex_);
        told_.push_back(std::move(names));
        told_changed_.notify_all();
      },
      std::chrono::milliseconds(5));
  list.start();
  write(R"(["4af1", "node-3"])");
  EXPECT_TRUE(eventually_told({"4af1", "node-3"}));
  write("not a list");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::filesystem::remove(config_.peer.revoked_file);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(eventually_told({"4af1", "node-3"}));
  write("[]");
  EXPECT_TRUE(eventually_told({}));
  list.stop();
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(told_.size(), 2U);
}

// Before anything is served the file has to be there: without it nobody would be refused, and nobody would notice.
TEST_F(RevokedListTest, IsThereAtTheStart) {
  RevokedList list(config_, nullptr, [this](std::vector<std::string> names) { told_.push_back(std::move(names)); });
  const auto absent = list.load();
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), Errc::kNotFound);
  EXPECT_NE(absent.error().what().find(config_.peer.revoked_file), std::string::npos) << absent.error().what();
  EXPECT_NE(absent.error().what().find("[]"), std::string::npos);
  write("not a list");
  EXPECT_FALSE(list.load());
  EXPECT_TRUE(told_.empty());
  write(R"(["node-3"])");
  EXPECT_TRUE(list.load());
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_.front(), std::vector<std::string>{"node-3"});
  config_.peer.revoked_file.clear();
  EXPECT_TRUE(RevokedList(config_, nullptr, [](const auto&) {}).load());
}

/// The cluster's values, as far as they are watched.
class OneWatched final : public p2p::ClusterValues {
 public:
  Result<std::optional<p2p::ClusterValue>> get(std::string) override { return std::nullopt; }
  Result<p2p::ValueRevision> compare_and_swap(std::string, std::optional<p2p::ValueRevision>, std::string) override {
    return fail(Errc::kUnsupported, "not here");
  }
  void watch(std::string, std::function<void(std::optional<p2p::ClusterValue>)> on_value) override {
    tell_ = std::move(on_value);
  }
  void tell(std::optional<std::string> value) {
    tell_(value ? std::optional(p2p::ClusterValue{std::move(*value), {}}) : std::nullopt);
  }

 private:
  std::function<void(std::optional<p2p::ClusterValue>)> tell_;
};

/// Nodes that follow the cluster's list, one after the other, with one storage directory.
class ClustersRevokedTest : public RevokedListTest {
 protected:
  ClustersRevokedTest() { config_.peer.revoked_file.clear(); }
  /// A start of the daemon, before the cluster has said anything.
  void start(p2p::ClusterValues* values) {
    list_.reset();
    told_.clear();
    list_ = std::make_unique<RevokedList>(
        config_, values, [this](std::vector<std::string> names) { told_.push_back(std::move(names)); });
    ASSERT_TRUE(list_->load());
    list_->start();
  }
  std::vector<std::string> last_told() const {
    return told_.empty() ? std::vector<std::string>{"nothing"} : told_.back();
  }

  OneWatched values_;
  std::unique_ptr<RevokedList> list_;
};

// A store that has lost the cluster's list lets nobody in; a list that says so does.
TEST_F(ClustersRevokedTest, IsKeptWhenItIsGone) {
  start(&values_);
  values_.tell(R"(["node-3"])");
  EXPECT_EQ(last_told(), std::vector<std::string>{"node-3"});
  values_.tell(std::nullopt);
  EXPECT_EQ(last_told(), std::vector<std::string>{"node-3"});
  values_.tell("[]");
  EXPECT_EQ(last_told(), std::vector<std::string>());
}

// Nor does a start while the store is away, or after it has lost the list.
TEST_F(ClustersRevokedTest, IsKnownAtTheNextStart) {
  start(&values_);
  EXPECT_TRUE(told_.empty());
  values_.tell(R"(["node-3"])");
  start(&values_);
  EXPECT_EQ(last_told(), std::vector<std::string>{"node-3"});
  values_.tell(std::nullopt);
  EXPECT_EQ(last_told(), std::vector<std::string>{"node-3"});
  values_.tell("not a list");
  start(&values_);
  EXPECT_EQ(last_told(), std::vector<std::string>{"node-3"});
  values_.tell("[]");
  start(&values_);
  EXPECT_EQ(last_told(), std::vector<std::string>());
}

// Who follows no cluster's list any more is not bound by the one that was.
TEST_F(ClustersRevokedTest, IsNotKnownWithoutACluster) {
  start(&values_);
  values_.tell(R"(["node-3"])");
  start(nullptr);
  EXPECT_TRUE(told_.empty());
}

// What cannot be read, or not be written, costs its own use and nothing else.
TEST_F(ClustersRevokedTest, ABrokenMemoryStopsNobody) {
  std::ofstream(config_.storage.directory + "/revoked.json") << "half a li";
  start(&values_);
  EXPECT_TRUE(told_.empty());
  values_.tell(R"(["node-3"])");
  EXPECT_EQ(last_told(), std::vector<std::string>{"node-3"});
  start(&values_);
  EXPECT_EQ(last_told(), std::vector<std::string>{"node-3"});
  std::filesystem::remove_all(config_.storage.directory);
  values_.tell(R"(["node-4"])");
  EXPECT_EQ(last_told(), std::vector<std::string>{"node-4"});
}

}  // namespace
}  // namespace oxbow::mirror
