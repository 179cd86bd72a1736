#include "mirror/peer_knowledge.h"

#include "knowing_peers.h"
#include "scratch.h"

namespace oxbow::mirror {
namespace {

// How many ranked peers are asked follows the settings that hold now, not those of the start.
TEST(PeerKnowledgeTest, AsksTheRankedOfTheSettings) {
  Scratch scratch;
  KnowingPeers peers(40);
  PeerKnowledge::Options options;
  options.others = 0;
  options.budget = std::chrono::seconds(30);
  PeerKnowledge knowledge(options, peers, scratch.metrics());
  peers.ranked = 0;
  EXPECT_TRUE(scratch.run(knowledge.known({"docker.io", "library/alpine"}, "3")).empty());
  EXPECT_EQ(peers.questions(), 0U);
  peers.ranked = 41;  // all of them, this node too
  EXPECT_TRUE(scratch.run(knowledge.known({"docker.io", "library/alpine"}, "3")).empty());
  EXPECT_EQ(peers.questions(), 40U);
  scratch.stop();
}

}  // namespace
}  // namespace oxbow::mirror
