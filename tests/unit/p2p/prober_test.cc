#include "p2p/prober.h"

#include <gtest/gtest.h>

#include "table_site.h"

namespace oxbow::p2p {
namespace {

using std::chrono::milliseconds;

/// Peers that answer at once, or do not.
class FakeClient final : public PeerClient {
 public:
  std::map<std::string, Hello> at;  ///< who answers at an address
  std::map<PeerId, Hello> peers;    ///< who answers as a peer
  std::vector<PeerId> asked;
  std::vector<std::string> asked_at;
  std::vector<Hello> said;
  std::function<void()> on_ask = [] {};

  Task<Result<Hello>> hello(PeerId peer, Hello own, milliseconds) override {
    asked.push_back(peer);
    said.push_back(own);
    on_ask();
    const auto it = peers.find(peer);
    if (it == peers.end()) co_return fail(Errc::kTimeout, "no answer");
    co_return it->second;
  }
  Task<Result<Hello>> hello_at(std::string address, Hello own, milliseconds) override {
    asked_at.push_back(address);
    said.push_back(own);
    on_ask();
    const auto it = at.find(address);
    if (it == at.end()) co_return fail(Errc::kUnavailable, "refused");
    co_return it->second;
  }
  std::unique_ptr<PeerCall> stripe(PeerId, StripeAsk, Loop&, StripeSink&) override { return nullptr; }
  std::unique_ptr<PeerCall> watch_have(PeerId, Digest, std::uint32_t, Loop&, std::function<void(HaveUpdate)>,
                                       std::function<void(Error)>) override {
    return nullptr;
  }
  Task<Result<std::vector<AnnounceReply>>> announce(PeerId, std::vector<Announce>, milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  Task<Result<BlobFacts>> facts(PeerId, Digest, bool, milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  Task<Result<KnownFacts>> known(PeerId, KnownAsk, milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  Task<Result<SmallReply>> small(PeerId, Digest, milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  Task<Result<PreheatReport>> preheat(PeerId, PreheatCall, milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  void close() override {}
};

Hello hello_of(const std::string& name, std::uint64_t incarnation = 1) {
  Hello hello;
  hello.facts = facts(name, incarnation);
  return hello;
}

class ProberTest : public ::testing::Test, public TableSite {
 protected:
  static ProberOptions options() {
    ProberOptions options;
    options.probes_per_round = 4;
    return options;
  }
  void round() {
    asio::co_spawn(loop_, prober_.round(milliseconds(0)), asio::detached);
    loop_.restart();
    loop_.run();
  }

  void tell() {
    prober_.tell();
    loop_.restart();
    loop_.run();
  }
  Hello own() const {
    auto own = hello_of("self");
    own.facts.draining = draining_;
    return own;
  }

  bool draining_ = false;
  Loop loop_;
  FakeClient client_;
  Prober prober_{options(), table_, client_, [this] { return own(); }, loop_, metrics_, 1};
};

// A round says hello to everyone who is new, with this node's own facts; who answered is not asked again within the
// interval.
TEST_F(ProberTest, AsksWhoWasNotHeardOf) {
  table_.set_members(named({"a", "b"}));
  client_.peers = {{id("a"), hello_of("a", 5)}, {id("b"), hello_of("b", 6)}};
  round();
  EXPECT_EQ(client_.asked.size(), 2U);
  EXPECT_EQ(client_.said.front().facts.name, "self");
  EXPECT_EQ(table_.snapshot()->find("a")->incarnation, 5U);
  pass(milliseconds(4'999));
  table_.note_contact(id("b"));
  round();
  EXPECT_EQ(client_.asked.size(), 2U);
  pass(milliseconds(1));
  round();
  EXPECT_EQ(client_.asked.size(), 3U);
  EXPECT_EQ(client_.asked.back(), id("a"));
}

// However many members there are, a round asks so many and no more, and those first that waited longest, so that the
// dead do not take the place of the living.
TEST_F(ProberTest, RoundsAreBoundedAndFair) {
  std::vector<std::string> names;
  for (int i = 0; i < 10; ++i) names.push_back("n" + std::to_string(i));
  table_.set_members(named(names));
  std::map<PeerId, int> times;
  for (int i = 0; i < 6; ++i) {
    client_.asked.clear();
    round();
    EXPECT_LE(client_.asked.size(), 4U);
    for (const auto peer : client_.asked) ++times[peer];
    pass(milliseconds(5'000));
  }
  EXPECT_EQ(times.size(), 10U);
  for (const auto& [peer, count] : times) EXPECT_GE(count, 2);
  EXPECT_GT(limit_counter(metrics_, "probes_per_round").Value(), 0);
}

// A peer that does not answer becomes silent after three intervals, and is back with its first answer.
TEST_F(ProberTest, FindsTheSilentAndTheirReturn) {
  table_.set_members(named({"a"}));
  for (int i = 0; i < 4; ++i) {
    round();
    pass(milliseconds(5'000));
  }
  EXPECT_EQ(state("a"), PeerState::kSilent);
  client_.peers = {{id("a"), hello_of("a")}};
  round();
  EXPECT_EQ(state("a"), PeerState::kEligible);
}

// A member without a name is asked at its address, again soon and then ever more rarely, until it answers.
TEST_F(ProberTest, NamesMembers) {
  table_.set_members(at({"10.0.0.8:5051"}));
  round();
  pass(milliseconds(999));
  round();
  EXPECT_EQ(client_.asked_at.size(), 1U);
  pass(milliseconds(1));
  round();
  EXPECT_EQ(client_.asked_at.size(), 2U);
  client_.at = {{"10.0.0.8:5051", hello_of("node-8")}};
  pass(milliseconds(1'999));
  round();
  EXPECT_EQ(id("node-8"), kNoPeer);
  pass(milliseconds(1));
  round();
  EXPECT_NE(id("node-8"), kNoPeer);
  EXPECT_EQ(table_.unnamed(), 0U);
}

// A restarted peer is told once, and every answer is handed on.
TEST_F(ProberTest, TellsRestartsAndAnswers) {
  std::vector<PeerId> restarted;
  std::vector<std::string> answers;
  prober_.on_new_incarnation([&](PeerId peer) { restarted.push_back(peer); });
  prober_.on_hello([&](PeerId, const Hello& hello) { answers.push_back(hello.facts.name); });
  table_.set_members(named({"a"}));
  for (const auto incarnation : {1U, 1U, 2U, 2U}) {
    client_.peers = {{id("a"), hello_of("a", incarnation)}};
    round();
    pass(milliseconds(5'000));
  }
  EXPECT_EQ(restarted, std::vector{id("a")});
  EXPECT_EQ(answers.size(), 4U);
}

// A node that leaves tells every eligible peer, although all were heard of a moment ago.
TEST_F(ProberTest, TellsAtOnce) {
  table_.set_members(named({"a", "b", "c"}));
  client_.peers = {{id("a"), hello_of("a", 5)}, {id("b"), hello_of("b", 6)}};
  for (const auto* name : {"a", "b", "c"}) table_.note_contact(id(name));
  table_.suspend(id("c"), "bad stripe");
  draining_ = true;
  tell();
  std::ranges::sort(client_.asked);
  auto told = std::vector{id("a"), id("b")};
  std::ranges::sort(told);
  EXPECT_EQ(client_.asked, told);
  for (const auto& said : client_.said) EXPECT_TRUE(said.facts.draining);
  EXPECT_EQ(table_.snapshot()->find("b")->incarnation, 6U);
}

// However many they are, so many are told and no more, and those first that were heard of last.
TEST_F(ProberTest, TellsTheLatest) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kTellMax + 10; ++i) names.push_back("n" + std::to_string(i));
  table_.set_members(named(names));
  for (const auto& name : names) {
    clock_.advance(milliseconds(1));
    table_.note_contact(id(name));
  }
  tell();
  EXPECT_EQ(client_.asked.size(), kTellMax);
  EXPECT_EQ(client_.asked.front(), id(names.back()));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(std::ranges::count(client_.asked, id(names[static_cast<std::size_t>(i)])), 0);
}

// Started, it goes on by itself; `wake` brings the next round at once, and `stop` ends it and lets the loop run out.
TEST_F(ProberTest, RunsWakesAndStops) {
  table_.set_members(named({"a"}));
  int asked = 0;
  client_.on_ask = [&] {
    if (++asked == 1) {
      table_.set_members(named({"a", "b"}));  // due at once; without `wake` seconds would pass
      prober_.wake();
    } else {
      prober_.stop();
    }
  };
  prober_.start();
  loop_.run();
  EXPECT_EQ(asked, 2);
}

}  // namespace
}  // namespace oxbow::p2p
