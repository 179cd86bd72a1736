// What this node fetches because a preheat asked for it: through the whole mirror, with its own right, within bounds.
#include "mirror/preheat_queue.h"

#include <gtest/gtest.h>

#include "body_reader.h"
#include "fake_peers.h"
#include "service_bench.h"

namespace oxbow::mirror {
namespace {

using p2p::PreheatReport;
using p2p::PreheatState;

constexpr std::size_t kMiB = 1024UL * 1024;

class PreheatQueueTest : public ::testing::Test {
 protected:
  PreheatQueueTest() {
    for (const auto size : {100UL, 60'000UL, 3 * kMiB + 7, 2 * kMiB}) {
      contents_.push_back(upstream::testing::pattern(size + contents_.size()));
      blobs_.emplace_back(bench_.site.add_blob("app", contents_.back()), contents_.back().size());
      bytes_ += contents_.back().size();
    }
    const auto manifest = manifest_of(blobs_);
    bench_.site.add_blob("app", "{}");  // the config that it names
    bytes_ += manifest.size() + 2;
    root_ = bench_.site.add_manifest("app", manifest);
  }
  ~PreheatQueueTest() override { end(queue_); }

  static void end(PreheatQueue& queue) {
    queue.close();
    while (queue.running() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }

  static PreheatJob::Parts quick(PreheatJob::Parts parts) {
    parts.retry_after = std::chrono::milliseconds(20);
    parts.tries = 3;
    return parts;
  }
  p2p::PreheatAsk ask(std::string id, std::string registry = "reg.test") const {
    return {.id = std::move(id), .registry = std::move(registry), .repository = "app", .digest = root_};
  }
  PreheatReport wait(const std::string& id) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (;;) {
      const auto report = *queue_.report(id);
      if (p2p::is_over(report.state) || std::chrono::steady_clock::now() > end) return report;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  PreheatReport run(const std::string& id) {
    // The last one of this id is over before it has left the queue: the asker asks again.
    EXPECT_TRUE(eventually([&] { return queue_.start("node-1", ask(id)).has_value(); }));
    return wait(id);
  }

  ServiceBench bench_;
  std::vector<std::string> contents_;
  std::vector<std::pair<Digest, std::uint64_t>> blobs_;
  std::uint64_t bytes_ = 0;
  Digest root_ = Digest::sha256("");
  MetricsRegistry metrics_;
  PreheatQueue queue_{{}, quick(bench_.preheat_parts()), bench_.scratch.loops(), metrics_};
};

TEST_F(PreheatQueueTest, AllOfTheImageIsHereAfterwardsAndCameOnce) {
  const auto report = run("one");
  EXPECT_EQ(report.state, PreheatState::kDone) << report.error;
  EXPECT_EQ(report.bytes_done, bytes_);
  EXPECT_EQ(report.bytes_total, bytes_);
  const auto sent = bench_.site.server().body_bytes_sent();
  EXPECT_EQ(run("two").bytes_done, bytes_);
  for (std::size_t i = 0; i < blobs_.size(); ++i) {
    const auto got = bench_.get("/v2/app/blobs/" + blobs_[i].first.to_string());
    EXPECT_TRUE(got.body == contents_[i]) << i;
    EXPECT_EQ(got.header("Oxbow-Source"), "storage") << i;
  }
  EXPECT_EQ(bench_.site.server().body_bytes_sent(), sent) << "nothing came twice";
}

TEST_F(PreheatQueueTest, WhatTheNodeMayNotReadFailsAndSaysWhatToDo) {
  bench_.site.change([&] { bench_.site["app"].readers = {"Basic YWxpY2U6c2VjcmV0"}; });
  const auto report = run("one");
  EXPECT_EQ(report.state, PreheatState::kFailed);
  EXPECT_TRUE(report.error.contains("credentials = \"node\"")) << report.error;
  bench_.site.change([&] { bench_.site["app"].readers = {}; });
  EXPECT_EQ(run("one").state, PreheatState::kDone) << "asked again, it begins again";
}

/// They outlive the fetches.
struct Peers {
  FakePeers peers_{{"a"}};
};
class PreheatBesidePeers : private Peers, public PreheatQueueTest {
 protected:
  PreheatBesidePeers() { bench_.preheat_parts().blobs.set_peers(&peers_); }
};

// The manifest may be read and a layer may not, and there are peers: the job does not wait for them for ever.
TEST_F(PreheatBesidePeers, ARefusedLayerEndsTheJob) {
  bench_.site.set({.refuse_blobs = 403});
  EXPECT_EQ(run("one").state, PreheatState::kFailed);
  bench_.site.set({});
  EXPECT_EQ(run("one").state, PreheatState::kDone);
}

TEST_F(PreheatQueueTest, AnUnknownRegistryIsAFailureOfThisNode) {
  ASSERT_TRUE(queue_.start("node-1", ask("one", "nowhere.test")));
  EXPECT_EQ(wait("one").state, PreheatState::kFailed);
}

TEST_F(PreheatQueueTest, WrongBytesOfUpstreamAreNotKept) {
  bench_.site.set({.corrupt = true});
  const auto report = run("one");
  EXPECT_EQ(report.state, PreheatState::kFailed);
  bench_.site.set({});
  EXPECT_EQ(run("one").state, PreheatState::kDone);
}

TEST_F(PreheatQueueTest, AnOutageIsWaitedOutForAWhile) {
  bench_.site.set({.down = 503});
  ASSERT_TRUE(queue_.start("node-1", ask("one")));
  EXPECT_EQ(wait("one").state, PreheatState::kFailed);
}

TEST_F(PreheatQueueTest, SoManyWaitAndNoMore) {
  auto parts = bench_.preheat_parts();
  parts.retry_after = std::chrono::seconds(1);
  PreheatQueue queue({}, std::move(parts), bench_.scratch.loops(), metrics_);
  bench_.site.set({.down = 503});
  for (int i = 0; i < 18; ++i) ASSERT_TRUE(queue.start("node-1", ask("p" + std::to_string(i)))) << i;
  EXPECT_EQ(queue.start("node-1", ask("q")).error().code(), Errc::kBusy);
  EXPECT_TRUE(queue.start("node-1", ask("p17"))) << "one that waits is not a further one";
  EXPECT_EQ(queue.cancel("p17")->state, PreheatState::kCancelled);
  EXPECT_TRUE(queue.start("node-1", ask("q")));
  EXPECT_EQ(queue.report("nothing").error().code(), Errc::kNotFound);
  EXPECT_EQ(queue.cancel("nothing").error().code(), Errc::kNotFound);
  auto other = ask("p0");
  other.repository = "other";
  EXPECT_EQ(queue.start("node-1", other).error().code(), Errc::kInvalid);
  auto platform = ask("z");
  platform.platform = "x";
  EXPECT_EQ(queue.start("node-1", platform).error().code(), Errc::kInvalid);
  end(queue);
  EXPECT_EQ(queue.start("node-1", ask("y")).error().code(), Errc::kBusy);
}

}  // namespace
}  // namespace oxbow::mirror
