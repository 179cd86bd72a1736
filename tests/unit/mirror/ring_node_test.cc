// A node of the ring on real sockets: what it says of itself, and how it leaves.
#include "mirror/ring_node.h"

#include <fstream>

#include "body_reader.h"
#include "mirror/blobs.h"
#include "p2p/peer_client.h"
#include "scratch.h"

namespace oxbow::mirror {
namespace {

using std::chrono::milliseconds;

p2p::Member named(std::string name) {
  p2p::Member member;
  member.name = std::move(name);
  return member;
}

class RingNodeTest : public ::testing::Test {
 protected:
  RingNodeTest() {
    config_.peer.name = "node-1";
    config_.peer.listen = "127.0.0.1:0";
    config_.peer.tls.insecure = true;
    config_.membership.provider = config::MembershipProvider::kFile;
    config_.membership.path = scratch_.directory() + ".members";
    config_.routing.replicas = 3;
    config_.limits.peer_upload_slots = 8;
  }
  ~RingNodeTest() override {
    if (node_) {
      node_->drain(milliseconds(0));
      node_->close();
    }
    asker_->close();
    scratch_.stop();
    std::filesystem::remove(config_.membership.path);
  }

  Result<> start() {
    auto made = RingNode::create(
        config_, {scratch_.loops(), scratch_.pool(), scratch_.clock(), scratch_.metrics(), blobs_, "1.2.3"});
    if (!made) return std::unexpected(made.error());
    node_ = std::move(*made);
    return node_->start();
  }
  /// Whole, by a rename. Members are at addresses where nobody answers.
  void write_members(const std::string& json) {
    const auto next = config_.membership.path + ".new";
    std::ofstream(next) << R"({"members": [)" << json << "]}";
    std::filesystem::rename(next, config_.membership.path);
  }
  bool eventually_knows(std::string_view name) {
    return eventually([&] { return node_->snapshot()->find(name) != nullptr; });
  }
  /// What the node says of itself, and keeps saying while it drains.
  p2p::PeerFacts hello() {
    p2p::Hello own;
    own.facts.name = "asker";
    const auto said = scratch_.run(asker_->hello_at(node_->addresses().front(), own, milliseconds(10'000)));
    EXPECT_TRUE(said) << said.error().what();
    return said ? said->facts : p2p::PeerFacts{};
  }

  Scratch scratch_;
  config::Config config_;
  Blobs blobs_{scratch_.store(), scratch_.pool(), scratch_.clock(), scratch_.metrics(), {}};
  std::unique_ptr<RingNode> node_;
  MetricsRegistry metrics_;  ///< of the asker
  p2p::PeerTable nobody_{named("asker"), {}, scratch_.clock(), metrics_};
  std::unique_ptr<p2p::PeerClient> asker_ =
      p2p::make_peer_client({.own_name = "asker", .tls = nullptr, .http = {}}, nobody_, scratch_.loops(), metrics_);
};

// A node that leaves says so, and stays a member that follows membership, until it has drained.
TEST_F(RingNodeTest, StaysAMemberWhileItLeaves) {
  write_members(R"({"name": "node-2", "addresses": ["127.0.0.1:1"]})");
  ASSERT_TRUE(start());
  ASSERT_TRUE(eventually_knows("node-2"));
  EXPECT_FALSE(hello().draining);
  node_->leave();
  EXPECT_TRUE(hello().draining);
  write_members(R"({"name": "node-3", "addresses": ["127.0.0.1:1"]})");
  EXPECT_TRUE(eventually_knows("node-3"));
}

// What membership says of its weight is what it says of itself, as far as a hello may.
TEST_F(RingNodeTest, SaysTheWeightOfMembership) {
  write_members(R"({"name": "node-1", "addresses": ["127.0.0.1:1"], "weight": 4})");
  ASSERT_TRUE(start());
  ASSERT_TRUE(eventually([&] { return node_->snapshot()->find("node-1")->member.weight == 4; }));
  EXPECT_EQ(hello().weight, 4);
}

// A list of the revoked that is not there would refuse nobody.
TEST_F(RingNodeTest, StartsWithItsListOfTheRevoked) {
  write_members(R"({"name": "node-2", "addresses": ["127.0.0.1:1"]})");
  config_.peer.revoked_file = config_.membership.path + ".revoked";
  const auto started = start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().what().find("peer.revoked_file"), std::string::npos) << started.error().what();
}

}  // namespace
}  // namespace oxbow::mirror
