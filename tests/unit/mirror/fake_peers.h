// A ring in memory: peers with contents of their own that can be wrong, slow, busy or dead, a coordinator whose answer
// the test writes, and a strategy that does what it is told.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "mirror/fetch_peers.h"

namespace oxbow::mirror {

/// The midstates of `content`, from stripe 1 on.
std::vector<std::string> midstates_of(const std::string& content);
Checksum stripe_sum(const std::string& content, std::uint32_t stripe);

struct FakePeer {
  std::string content;                                       ///< what it gives; not necessarily the blob
  bool verified = true;                                      ///< as it says; else it passes on what it got
  bool knows_nothing = false;                                ///< kNotFound to everything
  std::optional<std::uint64_t> dies_after = {};              ///< bytes of a stripe; the next request is good again
  std::map<std::uint32_t, std::uint64_t> stalls_after = {};  ///< by stripe, until `release`
  std::uint32_t busy_times = 0;
  std::vector<std::string> alternatives = {};
  std::vector<std::pair<std::uint32_t, std::string>> sums = {};  ///< that it got from upstream, as it says
  std::optional<p2p::MidstateList> midstates = {};
  std::uint32_t midstates_not_before = 0;  ///< asked so often it has none yet
};

/// What the scripted strategy does.
struct Script {
  std::map<std::uint32_t, std::vector<p2p::SourceId>> sources = {};  ///< by stripe, in turn; the last one again
  std::vector<p2p::SourceId> otherwise = {p2p::kUpstream};
  std::vector<p2p::PeerId> watched = {};
  std::map<std::uint32_t, p2p::PeerId> hedges = {};  ///< by stripe: asked for the tail a moment later
  std::uint32_t news_first = 0;                      ///< have updates before anything is fetched
  bool reply_first = false;                          ///< the coordinator's answer before anything is fetched
};

class FakePeers final : public FetchPeers, public p2p::PeerClient {
 public:
  /// Peers 2, 3, … by these names; 1 is this node, "self".
  explicit FakePeers(const std::vector<std::string>& names);

  FakePeer& peer(p2p::PeerId id) { return peers_.at(id); }
  /// Whether they have served well before; they have at first. Before anything is read.
  void set_vetted(bool vetted);
  Script script;
  std::optional<p2p::StrategyKind> real_strategy = {};
  p2p::AnnounceReply reply;
  bool named_once = false;  ///< its neighbours are in the first answer alone
  int announced() const { return announced_; }
  /// Stripes that the coordinator was told of, at most.
  std::uint32_t most_announced() const { return most_announced_; }

  void release(p2p::PeerId id) {
    const std::lock_guard lock(mutex_);
    peers_.at(id).stalls_after.clear();
  }
  /// One more line on every have stream of that peer.
  void say(p2p::PeerId id, const p2p::HaveUpdate& update);
  std::vector<p2p::PeerId> bad_senders() const { return copy(bad_senders_); }
  std::vector<std::string> bad_publishers() const { return copy(bad_publishers_); }
  std::vector<p2p::PeerId> alternatives_heard() const { return copy(alternatives_heard_); }
  std::vector<p2p::PeerId> asked() const { return copy(asked_); }
  int calls_open() const { return calls_open_; }
  std::uint64_t bytes_given() const { return bytes_given_; }
  std::uint32_t held() const { return held_; }
  std::uint32_t facts_asked() const { return facts_asked_; }
  /// Nobody says what it has before `false`.
  void hold_facts(bool hold) { facts_held_ = hold; }

  // FetchPeers
  std::unique_ptr<p2p::Strategy> make_strategy(p2p::StrategyContext context) override;
  std::shared_ptr<const p2p::PeerSnapshot> snapshot() const override { return snapshot_.read(); }
  /// It is no member any more.
  void leave(p2p::PeerId id);
  std::unique_ptr<storage::Subscription> on_change(std::function<void()>) override { return nullptr; }
  Task<Result<p2p::AnnounceReply>> announce(p2p::PeerId peer, p2p::Announce announce,
                                            std::chrono::milliseconds quiet) override;
  p2p::PeerClient& client() override { return *this; }
  void served_well(p2p::PeerId, double, double) override {}
  void sent_bad(p2p::PeerId peer, std::string_view) override { add(bad_senders_, peer); }
  void published_bad(std::string_view publisher, std::string_view) override {
    add(bad_publishers_, std::string(publisher));
  }
  void holds(const Digest&) override { ++held_; }

  // PeerClient
  std::unique_ptr<p2p::PeerCall> stripe(p2p::PeerId peer, p2p::StripeAsk ask, Loop& loop,
                                        p2p::StripeSink& sink) override;
  std::unique_ptr<p2p::PeerCall> watch_have(p2p::PeerId peer, Digest digest, std::uint32_t stripes, Loop& loop,
                                            std::function<void(p2p::HaveUpdate)> on_update,
                                            std::function<void(Error)> on_end) override;
  Task<Result<std::vector<p2p::AnnounceReply>>> announce(p2p::PeerId peer, std::vector<p2p::Announce> announces,
                                                         std::chrono::milliseconds timeout) override;
  Task<Result<p2p::BlobFacts>> facts(p2p::PeerId peer, Digest digest, bool with_midstates,
                                     std::chrono::milliseconds timeout) override;
  Task<Result<p2p::Hello>> hello(p2p::PeerId peer, p2p::Hello own, std::chrono::milliseconds timeout) override;
  Task<Result<p2p::Hello>> hello_at(std::string address, p2p::Hello own, std::chrono::milliseconds timeout) override;
  Task<Result<p2p::KnownFacts>> known(p2p::PeerId peer, KnownAsk ask, std::chrono::milliseconds timeout) override;
  Task<Result<SmallReply>> small(p2p::PeerId peer, Digest digest, std::chrono::milliseconds timeout) override;
  Task<Result<p2p::PreheatReport>> preheat(p2p::PeerId, PreheatCall, std::chrono::milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  void close() override {}

 private:
  friend class FakeStripeCall;
  friend class ScriptedStrategy;
  template <typename T>
  std::vector<T> copy(const std::vector<T>& from) const {
    const std::lock_guard lock(mutex_);
    return from;
  }
  template <typename T>
  void add(std::vector<T>& to, T value) {
    const std::lock_guard lock(mutex_);
    to.push_back(std::move(value));
  }

  mutable std::mutex mutex_;
  struct Stream {
    p2p::PeerId peer;
    std::weak_ptr<bool> alive;
    Loop* loop;
    std::function<void(p2p::HaveUpdate)> told;
  };
  std::map<p2p::PeerId, FakePeer> peers_;
  std::vector<Stream> streams_;
  const std::vector<std::string> names_;
  Published<p2p::PeerSnapshot> snapshot_;
  std::vector<p2p::PeerId> bad_senders_;
  std::vector<std::string> bad_publishers_;
  std::vector<p2p::PeerId> alternatives_heard_;
  std::vector<p2p::PeerId> asked_;
  std::atomic<int> calls_open_ = 0;
  std::atomic<int> announced_ = 0;
  std::atomic<std::uint32_t> most_announced_ = 0;
  std::atomic<std::uint64_t> bytes_given_ = 0;
  std::atomic<std::uint32_t> held_ = 0;
  std::atomic<std::uint32_t> facts_asked_ = 0;
  std::atomic<bool> facts_held_ = false;
};

}  // namespace oxbow::mirror
