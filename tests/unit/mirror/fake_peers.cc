#include "fake_peers.h"

#include <set>

#include "core/geometry.h"

namespace oxbow::mirror {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

std::vector<std::string> midstates_of(const std::string& content) {
  const Geometry geometry(content.size());
  Hasher hasher(Digest::Algorithm::kSha256);
  std::vector<std::string> states;
  for (std::uint32_t i = 0; i + 1 < geometry.stripes(); ++i) {
    const auto range = geometry.stripe(i);
    hasher.update(bytes_of(std::string_view(content).substr(range.begin, range.size())));
    states.push_back(hasher.midstate());
  }
  return states;
}

Checksum stripe_sum(const std::string& content, std::uint32_t stripe) {
  const auto range = Geometry(content.size()).stripe(stripe);
  return checksum(bytes_of(std::string_view(content).substr(range.begin, range.size())));
}

/// Gives a stripe in parts, until it is told to stop.
class FakeStripeCall final : public p2p::PeerCall {
 public:
  FakeStripeCall(FakePeers& owner, p2p::PeerId peer, p2p::StripeAsk ask, Loop& loop, p2p::StripeSink& sink)
      : owner_(owner), peer_(owner.peers_.at(peer)), ask_(std::move(ask)), timer_(loop), sink_(sink) {
    ++owner_.calls_open_;
    const auto range = Geometry(ask_.blob_bytes).stripe(ask_.stripe);
    begin_ = range.begin;
    position_ = range.begin + ask_.offset;
    end_ = range.end;
    later(0);
  }
  ~FakeStripeCall() override { --owner_.calls_open_; }

  void resume() override { later(0); }

 private:
  void later(int wait_ms) {
    timer_.expires_after(std::chrono::milliseconds(wait_ms));
    timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& cancelled) {
      if (!cancelled && !alive.expired()) step();
    });
  }

  struct Turn {
    std::optional<Error> end;
    std::vector<std::string> alternatives = {};
    std::uint64_t bytes = 0;
  };
  Turn turn() {
    const std::lock_guard lock(owner_.mutex_);
    if (!headed_ && peer_.busy_times > 0) {
      --peer_.busy_times;
      return {Error(Errc::kBusy, "no slot"), peer_.alternatives};
    }
    if (peer_.knows_nothing) return {Error(Errc::kNotFound, "not here")};
    std::uint64_t until = std::min(end_, position_ + 65'536);
    if (peer_.dies_after && begin_ + *peer_.dies_after <= position_) {
      peer_.dies_after.reset();
      return {Error(Errc::kUnavailable, "connection reset")};
    }
    if (const auto stall = peer_.stalls_after.find(ask_.stripe); stall != peer_.stalls_after.end())
      until = std::min(until, std::max(position_, begin_ + stall->second));
    return {{}, {}, until - position_};
  }

  void step() {
    const std::weak_ptr alive(alive_);
    const auto now = turn();
    if (now.end) return sink_.on_done(std::unexpected(*now.end), now.alternatives);
    if (!headed_) {
      headed_ = true;
      p2p::StripeFacts facts;
      facts.blob_bytes = ask_.blob_bytes;
      facts.offset = ask_.offset;
      facts.length = end_ - position_;
      facts.verified = peer_.verified;
      facts.checksum_hex = stripe_sum(peer_.content, ask_.stripe).hex();
      sink_.on_head(facts);
      if (alive.expired()) return;
    }
    if (position_ == end_) return sink_.on_done({}, {});
    if (now.bytes == 0) return later(1);
    const auto taken = sink_.on_data(bytes_of(std::string_view(peer_.content).substr(position_, now.bytes)));
    if (alive.expired()) return;
    owner_.bytes_given_ += taken;
    position_ += taken;
    if (taken == now.bytes) later(0);
  }

  FakePeers& owner_;
  FakePeer& peer_;
  p2p::StripeAsk ask_;
  asio::steady_timer timer_;
  p2p::StripeSink& sink_;
  std::uint64_t begin_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t end_ = 0;
  bool headed_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class ScriptedStrategy final : public p2p::Strategy {
 public:
  ScriptedStrategy(FakePeers& owner, p2p::StrategyContext context)
      : owner_(owner), script_(owner.script), present_(std::move(context.present)) {}

  std::vector<p2p::Action> on_event(p2p::Time now, const p2p::Event& event) override {
    now_ = now;
    actions_.clear();
    std::visit([this](const auto& one) { on(one); }, event);
    return std::move(actions_);
  }

 private:
  struct Run {
    p2p::SourceId source;
    p2p::StripeRange stripes;
    bool hedge;
  };

  void on(const p2p::PeersChanged&) {
    for (const auto peer : script_.watched) actions_.emplace_back(p2p::WatchHave{peer});
    p2p::Send send;
    send.peer = 1;
    actions_.emplace_back(std::move(send));
  }
  void on(const p2p::Replied&) { replied_ = true; }
  void on(const p2p::HaveChanged&) { ++news_; }
  void on(const p2p::HaveNews&) { ++news_; }
  void on(const p2p::HaveEnded&) {}
  void on(const p2p::StripeArrived& event) { present_.set(event.stripe); }
  void on(const p2p::StripeLost& event) {
    present_.clear(event.stripe);
    ++turns_[event.stripe];
  }
  void on(const p2p::SlotsFree& event) { assign(event.slots); }
  void on(const p2p::WindowChanged& event) {
    window_ = event;
    if (!event.has_readers) {
      for (const auto& [id, run] : running_) actions_.emplace_back(p2p::CancelFetch{id});
      return;
    }
    assign(0);
  }
  void on(const p2p::FetchEnded& event) {
    const auto run = running_.find(event.fetch);
    if (run == running_.end()) return;
    if (!event.outcome && !run->second.hedge && event.outcome.error().code() != Errc::kCancelled)
      ++turns_[run->second.stripes.begin];
    running_.erase(run);
    for (const auto peer : event.alternatives) owner_.add(owner_.alternatives_heard_, peer);
  }
  void on(const p2p::TimerFired&) {
    for (const auto& [stripe, peer] : script_.hedges) {
      for (const auto& [id, run] : running_) {
        if (run.stripes.begin != stripe || run.hedge || !hedged_.insert(stripe).second) continue;
        const p2p::FetchId hedge = next_++;
        running_[hedge] = {peer, run.stripes, true};
        actions_.emplace_back(p2p::Fetch{hedge, peer, run.stripes, id, {}});
        break;
      }
    }
  }

  void assign(std::uint32_t upstream_slots) {
    if (news_ < script_.news_first || (script_.reply_first && !replied_)) return;
    for (const auto& range : window_.wanted) {
      for (auto stripe = range.begin; stripe < range.end; ++stripe) {
        const bool runs = std::ranges::any_of(
            running_, [&](const auto& one) { return one.second.stripes.begin == stripe && !one.second.hedge; });
        if (runs) continue;
        const auto named = script_.sources.find(stripe);
        const auto& sources = named == script_.sources.end() ? script_.otherwise : named->second;
        auto& turn = turns_[stripe];
        if (!window_.may_fetch && turn + 1 < sources.size() && sources[turn] == p2p::kUpstream) ++turn;
        if (turn >= sources.size() + 20) continue;
        const auto source = sources[std::min<std::size_t>(turn, sources.size() - 1)];
        if (source == p2p::kUpstream && upstream_slots == 0) continue;
        if (source == p2p::kUpstream) --upstream_slots;
        const p2p::FetchId id = next_++;
        running_[id] = {source, {stripe, stripe + 1}, false};
        actions_.emplace_back(p2p::Fetch{id, source, {stripe, stripe + 1}, {}, {}});
        if (script_.hedges.contains(stripe)) actions_.emplace_back(p2p::SetTimer{now_ + std::chrono::milliseconds(30)});
      }
    }
  }

  FakePeers& owner_;
  const Script script_;
  p2p::HaveMap present_;
  p2p::WindowChanged window_;
  std::map<p2p::FetchId, Run> running_;
  std::map<std::uint32_t, std::size_t> turns_;
  std::set<std::uint32_t> hedged_;
  p2p::FetchId next_ = 1;
  std::uint32_t news_ = 0;
  bool replied_ = false;
  p2p::Time now_{0};
  std::vector<p2p::Action> actions_;
};

FakePeers::FakePeers(const std::vector<std::string>& names) : names_(names) {
  for (std::size_t i = 0; i < names.size(); ++i) peers_[static_cast<p2p::PeerId>(i + 2)];
  set_vetted(true);
}

void FakePeers::set_vetted(bool vetted) {
  std::vector<p2p::Peer> all;
  p2p::PeerId id = 1;
  const auto add = [&](const std::string& name) {
    p2p::Peer peer;
    peer.id = id++;
    peer.member.name = name;
    peer.member.addresses = {name + ":5051"};
    peer.vetted = vetted;
    peer.self = peer.id == 1;
    all.push_back(peer);
  };
  add("self");
  for (const auto& name : names_) add(name);
  std::ranges::sort(all, {}, [](const p2p::Peer& peer) { return peer.member.name; });
  snapshot_.publish(std::make_shared<p2p::PeerSnapshot>(std::move(all), 1));
}

void FakePeers::leave(p2p::PeerId id) {
  auto all = snapshot()->peers();
  std::erase_if(all, [id](const auto& peer) { return peer.id == id; });
  snapshot_.publish(std::make_shared<p2p::PeerSnapshot>(std::move(all), 2));
}

std::unique_ptr<p2p::Strategy> FakePeers::make_strategy(p2p::StrategyContext context) {
  if (real_strategy) return p2p::make_strategy(*real_strategy, std::move(context));
  return std::make_unique<ScriptedStrategy>(*this, std::move(context));
}

Task<Result<p2p::AnnounceReply>> FakePeers::announce(p2p::PeerId, p2p::Announce announce, std::chrono::milliseconds) {
  auto answer = reply;
  most_announced_ = std::max(most_announced_.load(), announce.have.count());
  if (announced_++ > 0 && named_once) answer.neighbours.clear();
  answer.digest = announce.digest;
  answer.size = announce.size;
  for (const auto span : announce.ask) answer.granted.push_back({span});
  co_return answer;
}

std::unique_ptr<p2p::PeerCall> FakePeers::stripe(p2p::PeerId peer, p2p::StripeAsk ask, Loop& loop,
                                                 p2p::StripeSink& sink) {
  add(asked_, peer);
  return std::make_unique<FakeStripeCall>(*this, peer, std::move(ask), loop, sink);
}

std::unique_ptr<p2p::PeerCall> FakePeers::watch_have(p2p::PeerId peer, Digest, std::uint32_t stripes, Loop& loop,
                                                     std::function<void(p2p::HaveUpdate)> on_update,
                                                     std::function<void(Error)>) {
  class Call final : public p2p::PeerCall {
   public:
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  };
  auto call = std::make_unique<Call>();
  p2p::HaveUpdate update;
  update.map = p2p::HaveMap(stripes, true);
  update.sums = peers_.at(peer).sums;
  add(streams_, Stream{peer, call->alive, &loop, std::move(on_update)});
  say(peer, update);
  return call;
}

void FakePeers::say(p2p::PeerId id, const p2p::HaveUpdate& update) {
  const std::lock_guard lock(mutex_);
  for (const auto& stream : streams_) {
    if (stream.peer != id) continue;
    asio::post(*stream.loop, [alive = stream.alive, told = stream.told, update] {
      if (!alive.expired()) told(update);
    });
  }
}

Task<Result<std::vector<p2p::AnnounceReply>>> FakePeers::announce(p2p::PeerId, std::vector<p2p::Announce>,
                                                                  std::chrono::milliseconds) {
  co_return fail(Errc::kUnsupported, "not used");
}

Task<Result<p2p::BlobFacts>> FakePeers::facts(p2p::PeerId peer, Digest, bool, std::chrono::milliseconds) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (facts_held_) {
    timer.expires_after(std::chrono::milliseconds(1));
    co_await timer.async_wait(asio::use_awaitable);
  }
  const std::lock_guard lock(mutex_);
  auto& asked = peers_.at(peer);
  ++facts_asked_;
  p2p::BlobFacts facts;
  if (asked.midstates_not_before > 0)
    --asked.midstates_not_before;
  else
    facts.midstates = asked.midstates;
  co_return facts;
}

Task<Result<p2p::Hello>> FakePeers::hello(p2p::PeerId, p2p::Hello, std::chrono::milliseconds) {
  co_return fail(Errc::kUnsupported, "not used");
}
Task<Result<p2p::Hello>> FakePeers::hello_at(std::string, p2p::Hello, std::chrono::milliseconds) {
  co_return fail(Errc::kUnsupported, "not used");
}
Task<Result<p2p::KnownFacts>> FakePeers::known(p2p::PeerId, KnownAsk, std::chrono::milliseconds) {
  co_return fail(Errc::kUnsupported, "not used");
}
Task<Result<p2p::PeerClient::SmallReply>> FakePeers::small(p2p::PeerId, Digest, std::chrono::milliseconds) {
  co_return fail(Errc::kUnsupported, "not used");
}

}  // namespace oxbow::mirror
