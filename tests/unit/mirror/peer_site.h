// A node of a ring in memory: real storage in a directory of its own, real fetches and bodies, fake peers.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>

#include "../storage/support.h"
#include "body_reader.h"
#include "fake_peers.h"
#include "fake_source.h"
#include "mirror/blob_body.h"

namespace oxbow::mirror {

inline constexpr std::size_t kStripe = 512UL * 1024;

class PeerSite : public ::testing::Test {
 protected:
  /// By default the blob is too large to wait for its hash.
  explicit PeerSite(std::uint64_t held_whole_bytes = 1024ULL * 1024, std::uint64_t budget = 1024ULL * 1024 * 1024,
                    std::string content = pattern(8 * kStripe - 5000))
      : content_(std::move(content)) {
    const std::filesystem::path memory = "/dev/shm";
    const auto root = ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
    std::string name = (root / "oxbow-peers-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
    storage::Config config;
    config.directory = directory_;
    config.budget_bytes = budget;
    config.floor_bytes = 0;
    storage::Parts parts;
    parts.wrap_engine = [this](auto real) { return storage::faulty_engine(faults_, std::move(real)); };
    store_ = storage::open_store(config, std::move(parts), clock_, metrics_).value();
    FetchLimits limits;
    limits.no_progress = std::chrono::milliseconds(5'000);
    limits.refused = std::chrono::milliseconds(300);
    limits.held_whole_bytes = held_whole_bytes;
    limits.backoff_min = std::chrono::milliseconds(5);
    limits.backoff_max = std::chrono::milliseconds(20);
    blobs_ = std::make_unique<Blobs>(*store_, pool_, clock_, metrics_, limits);
    blobs_->set_peers(&peers_);
    for (const p2p::PeerId id : {kA, kB, kC}) peers_.peer(id).content = content_;
    loops_.start();
  }
  ~PeerSite() override {
    faults_->let_go();
    settle();
    pool_.join();
    loops_.finish(std::chrono::seconds(2));
    blobs_.reset();
    store_->close();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  /// Waits for what is posted on every loop: the ends of readers and fetches.
  void settle() {
    for (int round = 0; round < 4; ++round) {
      for (std::size_t i = 0; i < loops_.size(); ++i) {
        std::promise<void> reached;
        asio::post(loops_.at(i), [&] { reached.set_value(); });
        reached.get_future().wait();
      }
    }
  }

  /// On the first loop, to its end.
  void on_loop(const std::function<void()>& job) {
    std::promise<void> done;
    asio::post(loops_.at(0), [&] {
      job();
      done.set_value();
    });
    done.get_future().wait();
  }

  BlobRead whole() { return {digest_, content_.size(), {{0, content_.size()}}, true, {}, source_}; }
  BlobRead range(std::uint64_t begin, std::uint64_t end) {
    return {digest_, content_.size(), {{begin, end}}, false, {}, source_};
  }
  std::future<Got> read_async(BlobRead read, std::size_t stop_after = SIZE_MAX, std::size_t loop = 0) {
    auto promise = std::make_shared<std::promise<std::shared_ptr<Reader>>>();
    asio::post(loops_.at(loop), [&, promise, loop, stop_after, read = std::move(read)]() mutable {
      auto body = std::make_unique<BlobBody>(*blobs_, loops_.at(loop), std::move(read));
      promise->set_value(std::make_shared<Reader>(loops_.at(loop), std::move(body), stop_after));
    });
    return promise->get_future().get()->run();
  }
  /// A read that does not end in time is a failure, not a test that hangs.
  Got finish(std::future<Got> reading) {
    if (reading.wait_for(std::chrono::seconds(60)) == std::future_status::ready) return reading.get();
    ADD_FAILURE() << "the read does not end";
    std::abort();
  }
  Got read(BlobRead what, std::size_t stop_after = SIZE_MAX) { return finish(read_async(std::move(what), stop_after)); }

  /// A says that it has everything, and nothing vouches for it.
  void nothing_vouches_for_a() {
    peers_.set_vetted(false);
    peers_.reply.neighbours = {{"a", true, 8}};
    peers_.script.reply_first = true;
    peers_.script.otherwise = {kA};
  }
  void wrong_at(p2p::PeerId peer, std::uint32_t stripe) { peers_.peer(peer).content[stripe * kStripe + 1000] ^= 1; }
  /// A lies about stripe 2; C tells first-hand what it hashes to, and B has it.
  void lie_against_a_first_hand_word() {
    wrong_at(kA, 2);
    peers_.script.otherwise = {kB};
    peers_.script.sources[2] = {kA, kB};
    peers_.script.watched = {kC};
    peers_.script.news_first = 1;
    peers_.peer(kC).sums = {{2, stripe_sum(content_, 2).hex()}};
  }
  void expect_right(const Got& got) {
    EXPECT_FALSE(got.cut) << got.cut->what();
    EXPECT_TRUE(got.bytes == content_);
  }
  bool verified() {
    const auto blob = store_->lookup(digest_);
    return blob && blob->state() == storage::BlobState::kVerified;
  }

  static constexpr p2p::PeerId kA = 2;
  static constexpr p2p::PeerId kB = 3;
  static constexpr p2p::PeerId kC = 4;
  const std::string content_;
  const Digest digest_ = Digest::sha256(content_);
  std::shared_ptr<FakeSource> source_ = std::make_shared<FakeSource>(content_);
  FakePeers peers_{{"a", "b", "c"}};
  std::string directory_;
  std::shared_ptr<storage::Faults> faults_ = std::make_shared<storage::Faults>();
  SystemClock clock_;
  MetricsRegistry metrics_;
  WorkPool pool_{2};
  Loops loops_{2};
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<Blobs> blobs_;
};

}  // namespace oxbow::mirror
