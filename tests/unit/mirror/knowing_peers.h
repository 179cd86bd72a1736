// Peers that know what the test says, answer wrongly or not at all, and remember what they were asked.
#pragma once

#include <map>
#include <mutex>
#include <set>

#include "mirror/fetch_peers.h"
#include "p2p/ring.h"

namespace oxbow::mirror {

class KnowingPeers final : public FetchPeers, public p2p::PeerClient {
 public:
  using Milliseconds = std::chrono::milliseconds;
  struct Told {
    std::map<std::string, p2p::KnownFacts> known = {};         ///< by reference
    std::map<std::string, p2p::KnownFacts> after_asking = {};  ///< the same, of questions that may ask upstream
    std::map<Digest, SmallReply> small = {};
    bool silent = false;  ///< answers when the asker has given up
  };

  std::atomic<std::uint32_t> ranked = 3;  ///< of the settings

  /// `count` peers with the ids 1, 2, …, and this node, the last.
  explicit KnowingPeers(std::size_t count) {
    std::vector<p2p::Peer> peers;
    for (std::size_t i = 0; i <= count; ++i) {
      p2p::Peer peer;
      peer.id = static_cast<p2p::PeerId>(i + 1);
      peer.member.name = "node-" + std::to_string(i + 1);
      peer.self = i == count;
      peer.vetted = true;
      peers.push_back(std::move(peer));
    }
    snapshot_ = std::make_shared<const p2p::PeerSnapshot>(std::move(peers), 1);
  }

  Told& operator[](p2p::PeerId peer) { return told_[peer]; }  // before requests, or under change()
  void change(const std::function<void()>& how) {
    const std::lock_guard lock(mutex_);
    how();
  }
  std::size_t questions() {
    const std::lock_guard lock(mutex_);
    return questions_;
  }
  /// Whom questions that may ask upstream went to.
  std::vector<p2p::PeerId> owners_asked() {
    const std::lock_guard lock(mutex_);
    return owners_asked_;
  }
  std::set<p2p::PeerId> bad() {
    const std::lock_guard lock(mutex_);
    return bad_;
  }

  Task<Result<p2p::KnownFacts>> known(p2p::PeerId peer, KnownAsk ask, Milliseconds timeout) override {
    std::optional<p2p::KnownFacts> facts;
    bool silent = false;
    {
      const std::lock_guard lock(mutex_);
      ++questions_;
      if (ask.may_ask) owners_asked_.push_back(peer);
      const auto& told = ask.may_ask ? told_[peer].after_asking : told_[peer].known;
      silent = told_[peer].silent;
      if (const auto found = told.find(ask.reference); found != told.end()) facts = found->second;
    }
    if (silent) {
      co_await sleep_for(timeout);
      co_return fail(Errc::kTimeout, "no answer");
    }
    if (!facts) co_return fail(Errc::kNotFound, "not known");
    co_return *facts;
  }
  Task<Result<SmallReply>> small(p2p::PeerId peer, Digest digest, Milliseconds) override {
    const std::lock_guard lock(mutex_);
    ++questions_;
    const auto found = told_[peer].small.find(digest);
    if (found == told_[peer].small.end()) co_return fail(Errc::kNotFound, "not here");
    co_return found->second;
  }

  std::shared_ptr<const p2p::PeerSnapshot> snapshot() const override { return snapshot_; }
  std::uint32_t replicas() const override { return ranked; }
  p2p::PeerClient& client() override { return *this; }
  void sent_bad(p2p::PeerId peer, std::string_view) override {
    const std::lock_guard lock(mutex_);
    bad_.insert(peer);
  }

  // Of no use to those who ask for knowledge.
  std::unique_ptr<p2p::Strategy> make_strategy(p2p::StrategyContext) override { return nullptr; }
  std::unique_ptr<storage::Subscription> on_change(std::function<void()>) override { return nullptr; }
  Task<Result<p2p::AnnounceReply>> announce(p2p::PeerId, p2p::Announce, std::chrono::milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  void served_well(p2p::PeerId, double, double) override {}
  void published_bad(std::string_view, std::string_view) override {}
  void holds(const Digest&) override {}
  std::unique_ptr<p2p::PeerCall> stripe(p2p::PeerId, p2p::StripeAsk, Loop&, p2p::StripeSink&) override {
    return nullptr;
  }
  std::unique_ptr<p2p::PeerCall> watch_have(p2p::PeerId, Digest, std::uint32_t, Loop&,
                                            std::function<void(p2p::HaveUpdate)>, std::function<void(Error)>) override {
    return nullptr;
  }
  Task<Result<std::vector<p2p::AnnounceReply>>> announce(p2p::PeerId, std::vector<p2p::Announce>,
                                                         Milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  Task<Result<p2p::BlobFacts>> facts(p2p::PeerId, Digest, bool, Milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  Task<Result<p2p::Hello>> hello(p2p::PeerId, p2p::Hello, Milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  Task<Result<p2p::Hello>> hello_at(std::string, p2p::Hello, Milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  Task<Result<p2p::PreheatReport>> preheat(p2p::PeerId, PreheatCall, Milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  void close() override {}

 private:
  std::mutex mutex_;
  std::map<p2p::PeerId, Told> told_;
  std::shared_ptr<const p2p::PeerSnapshot> snapshot_;
  std::size_t questions_ = 0;
  std::vector<p2p::PeerId> owners_asked_;
  std::set<p2p::PeerId> bad_;
};

}  // namespace oxbow::mirror
