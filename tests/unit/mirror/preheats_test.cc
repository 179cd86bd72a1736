// Preheats as the node that was asked sees them: which nodes, how they are followed, and what becomes of those that are
// busy, restart, cannot be reached or are too old.
#include "mirror/preheats.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace oxbow::mirror {
namespace {

using p2p::PreheatReport;
using p2p::PreheatState;
using What = p2p::PeerClient::PreheatCall::What;
using std::chrono::milliseconds;

const Digest kDigest = Digest::sha256(std::string_view("image"));

std::shared_ptr<const p2p::PeerSnapshot> cluster(std::size_t count) {
  std::vector<p2p::Peer> peers;
  for (std::size_t i = 0; i < count; ++i) {
    p2p::Peer peer;
    peer.id = static_cast<p2p::PeerId>(i + 1);
    peer.member.name = "node-" + std::to_string(i);
    peer.self = i == 0;
    peers.push_back(std::move(peer));
  }
  return std::make_shared<const p2p::PeerSnapshot>(std::move(peers), 1);
}

/// Nodes that finish after some questions, or do something worse. Any thread.
class Nodes final : public p2p::PeerPreheats {
 public:
  struct Node {
    int reports = 1;          ///< questions until it is done
    int unreachable = 0;      ///< calls that fail first; negative: all
    int busy = 0;             ///< starts that are refused
    int restarts_after = -1;  ///< reports, then it has forgotten
    bool old = false;
    std::string fails = {};
    int started = 0, cancelled = 0;
    bool running = false;
    int asked = 0;
  };

  Result<PreheatReport> call(const std::string& name, What what, const p2p::PreheatAsk& ask) {
    const std::lock_guard lock(mutex_);
    auto& node = nodes_[name];
    if (node.unreachable != 0) {
      if (node.unreachable > 0) --node.unreachable;
      return fail(Errc::kUnavailable, "nobody there");
    }
    if (node.old) return fail(Errc::kNotFound, "no such route");
    if (what == What::kCancel) {
      ++node.cancelled;
      return PreheatReport{.id = ask.id, .state = PreheatState::kCancelled};
    }
    if (what == What::kStart) {
      if (node.busy > 0) {
        --node.busy;
        return fail(Errc::kBusy, "too many wait");
      }
      ++node.started;
      node.running = true;
      running_.insert(name);
      most_at_once_ = std::max(most_at_once_, running_.size());
      asks_.push_back(ask);
    } else {
      if (!node.running) return fail(Errc::kNotFound, "never heard of it");
      if (++node.asked == node.restarts_after) {
        node.running = false;
        return fail(Errc::kUnavailable, "it is just restarting");
      }
    }
    PreheatReport report{.id = ask.id, .state = PreheatState::kRunning, .bytes_done = 1, .bytes_total = 2};
    if (!node.fails.empty()) {
      report.state = PreheatState::kFailed;
      report.error = node.fails;
    } else if (node.asked >= node.reports) {
      report.state = PreheatState::kDone;
      report.bytes_done = 2;
    }
    if (p2p::is_over(report.state)) running_.erase(name);
    return report;
  }
  Result<PreheatReport> start(const std::string&, const p2p::PreheatAsk& ask) override {
    return call("node-0", What::kStart, ask);
  }
  Result<PreheatReport> report(std::string_view id) override { return call("node-0", What::kReport, one(id)); }
  Result<PreheatReport> cancel(std::string_view id) override { return call("node-0", What::kCancel, one(id)); }

  static p2p::PreheatAsk one(std::string_view id) { return {.id = std::string(id), .registry = {}, .repository = {}}; }
  Node& operator[](const std::string& name) { return nodes_[name]; }
  std::size_t most_at_once() const { return most_at_once_; }
  const std::vector<p2p::PreheatAsk>& asks() const { return asks_; }

 private:
  std::mutex mutex_;
  std::map<std::string, Node> nodes_;
  std::set<std::string> running_;
  std::size_t most_at_once_ = 0;
  std::vector<p2p::PreheatAsk> asks_;
};

class PreheatsTest : public ::testing::Test {
 protected:
  explicit PreheatsTest(std::size_t count = 4) : peers_(cluster(count)) { loops_.start(); }
  ~PreheatsTest() override {
    preheats_.close();
    loops_.finish(milliseconds(2'000));
    loops_.stop();
    loops_.join();
  }

  static Preheats::Limits limits() {
    Preheats::Limits limits;
    limits.follow_every = milliseconds(5);
    limits.ask_again = milliseconds(5);
    limits.patience = milliseconds(2'000);  // longer than a machine under load holds up what is asked again
    limits.kept = 3;
    return limits;
  }
  static Preheats::Request request(NodeChoice nodes = NodeChoice::all()) {
    return {.image = "docker.io/library/nginx:1",
            .registry = "docker.io",
            .repository = "library/nginx",
            .digest = kDigest,
            .platform = {},
            .nodes = std::move(nodes)};
  }
  Preheats::View wait(const std::string& id) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(90);
    for (;;) {
      auto view = preheats_.one(id);
      if (view->state != "running" || std::chrono::steady_clock::now() > end) return *view;
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
  static Preheats::Node node(const Preheats::View& view, const std::string& name) {
    for (const auto& one : view.nodes) {
      if (one.name == name) return one;
    }
    ADD_FAILURE() << name;
    return {};
  }

  SystemClock clock_;
  MetricsRegistry metrics_;
  Loops loops_{1};
  std::shared_ptr<const p2p::PeerSnapshot> peers_;
  Nodes nodes_;
  Preheats preheats_{
      limits(),
      {.loops = loops_,
       .clock = clock_,
       .metrics = metrics_,
       .own_name = "node-0",
       .own = nodes_,
       .peers = [this] { return peers_; },
       .ask = [this](p2p::PeerId peer, p2p::PeerClient::PreheatCall call, milliseconds) -> Task<Result<PreheatReport>> {
         co_return nodes_.call(peers_->find(peer)->member.name, call.what, call.ask);
       }}};
};

TEST(NodeChoiceText, IsAllOrAShare) {
  EXPECT_EQ(parse_node_share("all")->percent, 100U);
  EXPECT_EQ(parse_node_share("25%")->percent, 25U);
  for (const auto* text : {"", "0%", "101%", "25", "-1%", "a%", "1.5%", "%"})
    EXPECT_FALSE(parse_node_share(text)) << text;
}

TEST(ChooseNodes, AShareIsRoundedUpAndALargerOneHasTheSmallerInIt) {
  const auto peers = cluster(10);
  std::vector<std::string> before;
  for (const std::uint32_t percent : {1U, 10U, 25U, 50U, 99U, 100U}) {
    const auto names = *choose_nodes(*peers, {.percent = percent, .names = {}}, kDigest);
    EXPECT_EQ(names.size(), (10 * percent + 99) / 100);
    EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
    ASSERT_LE(before.size(), names.size());
    EXPECT_TRUE(std::equal(before.begin(), before.end(), names.begin()));
    EXPECT_EQ(names, *choose_nodes(*cluster(10), {.percent = percent, .names = {}}, kDigest)) << "the same everywhere";
    before = names;
  }
}

TEST(ChooseNodes, NamesHaveToBeMembers) {
  const auto peers = cluster(3);
  EXPECT_EQ(choose_nodes(*peers, {.percent = {}, .names = {"node-2", "node-1", "node-2"}}, kDigest)->size(), 2U);
  const auto wrong = choose_nodes(*peers, {.percent = {}, .names = {"node-1", "node-9"}}, kDigest);
  ASSERT_FALSE(wrong);
  EXPECT_TRUE(wrong.error().what().contains("node-9"));
}

TEST_F(PreheatsTest, EveryNodeIsAskedForTheSameDigestAndFollowedToItsEnd) {
  nodes_["node-2"].reports = 4;
  const auto view = wait(*preheats_.start(request()));
  EXPECT_EQ(view.state, "done");
  ASSERT_EQ(view.nodes.size(), 4U);
  for (const auto& one : view.nodes) {
    EXPECT_EQ(one.state, Preheats::NodeState::kDone) << one.name;
    EXPECT_EQ(one.bytes_done, 2U);
  }
  ASSERT_EQ(nodes_.asks().size(), 4U);
  for (const auto& ask : nodes_.asks()) EXPECT_EQ(ask.digest, kDigest);
  EXPECT_TRUE(view.ended);
}

TEST_F(PreheatsTest, ANodeThatFailsOrIsTooOldIsNamedAndTheOthersGoOn) {
  nodes_["node-1"].fails = "private";
  nodes_["node-2"].old = true;
  const auto view = wait(*preheats_.start(request()));
  EXPECT_EQ(view.state, "failed");
  EXPECT_EQ(node(view, "node-1").error, "private");
  EXPECT_TRUE(node(view, "node-2").error.contains("version"));
  EXPECT_EQ(node(view, "node-3").state, Preheats::NodeState::kDone);
}

TEST_F(PreheatsTest, ANodeThatIsBusyAwayOrRestartsIsAskedAgain) {
  nodes_["node-1"].busy = 2;
  nodes_["node-2"].unreachable = 3;
  nodes_["node-3"].reports = 4;
  nodes_["node-3"].restarts_after = 2;
  const auto view = wait(*preheats_.start(request()));
  EXPECT_EQ(view.state, "done");
  EXPECT_EQ(nodes_["node-3"].started, 2);
}

TEST_F(PreheatsTest, PatienceWithANodeThatIsGoneHasAnEnd) {
  nodes_["node-1"].unreachable = -1;
  const auto view = wait(*preheats_.start(request()));
  EXPECT_EQ(view.state, "failed");
  EXPECT_EQ(node(view, "node-1").state, Preheats::NodeState::kFailed);
  EXPECT_EQ(node(view, "node-1").error, "nobody there");
}

TEST_F(PreheatsTest, CancelledItEndsOnTheNodesToo) {
  nodes_["node-1"].reports = 1'000'000;
  const auto id = *preheats_.start(request());
  ASSERT_TRUE(preheats_.cancel(id));
  const auto view = wait(id);
  EXPECT_EQ(view.state, "cancelled");
  EXPECT_FALSE(preheats_.cancel("nothing"));
}

TEST_F(PreheatsTest, TheLastAreKept) {
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) {
    ids.push_back(*preheats_.start(request()));
    wait(ids.back());
  }
  EXPECT_FALSE(preheats_.one(ids[0]));
  ASSERT_EQ(preheats_.all().size(), 3U);
  EXPECT_EQ(preheats_.all().front().id, ids[3]) << "newest first";
  nodes_["node-1"].reports = 1'000'000;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(preheats_.start(request()));
  EXPECT_EQ(preheats_.start(request()).error().code(), Errc::kLimit) << "what runs is not forgotten";
}

class ManyPreheatsTest : public PreheatsTest {
 protected:
  ManyPreheatsTest() : PreheatsTest(500) {}
};

TEST_F(ManyPreheatsTest, AtMostSoManyAtOnceAndNodesThatAreGoneDoNotHoldTheOthersUp) {
  for (int i = 1; i <= 100; ++i) nodes_["node-" + std::to_string(i)].unreachable = -1;
  const auto view = wait(*preheats_.start(request()));
  std::size_t done = 0;
  for (const auto& one : view.nodes) done += one.state == Preheats::NodeState::kDone ? 1 : 0;
  EXPECT_EQ(done, 400U);
  EXPECT_LE(nodes_.most_at_once(), limits().at_once);
}

}  // namespace
}  // namespace oxbow::mirror
