// BlobFetch for other nodes: stripes that come from a peer because a third node asked for them along a path, and this
// node's turns as the owner of a stripe that it wants itself (docs/decisions/0008-fingers.md).
#include <boost/asio/redirect_error.hpp>

#include "mirror/blob_fetch.h"
#include "mirror/peer_source.h"
#include "p2p/finger_passing.h"

namespace oxbow::mirror {
namespace {

/// Upstream is not waited for by others for longer when it gives this node nothing.
constexpr std::chrono::milliseconds kExpectedFor{3'000};

std::string name_of(const p2p::PeerSnapshot& peers, p2p::PeerId id) {
  const auto* peer = peers.find(id);
  return peer == nullptr ? std::string() : peer->member.name;
}

/// What is known of a request under way, to the rules.
constexpr auto as_coming = [](const auto& one) {
  return p2p::StripeComing{one.upstream, one.forward, one.heard, one.begun, one.since_last};
};

}  // namespace

struct BlobFetch::HeadWaiter {
  explicit HeadWaiter(Loop& home) : timer(home) {}
  asio::steady_timer timer;
  std::optional<Forwarded> answer;
};

bool BlobFetch::is_stalled(const UnderWay& one) noexcept { return p2p::is_stalled(as_coming(one)); }

bool BlobFetch::is_expected(std::uint32_t stripe) const {
  const auto since = now() - kExpectedFor;
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(expected_, [&](const Expected& one) {
    return stripe >= one.stripes.begin && stripe < one.stripes.end && one.moved > since;
  });
}

/// Bytes of `stripe` have come by that request: what comes after it is expected.
void BlobFetch::note_moved(p2p::FetchId id, std::uint32_t stripe) {
  const std::lock_guard lock(mutex_);
  const auto one = std::ranges::find(expected_, id, &Expected::request);
  if (one == expected_.end()) return;
  one->stripes.begin = std::max(one->stripes.begin, stripe);
  one->moved = now();
}

bool BlobFetch::is_coming(std::uint32_t stripe) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::find(coming_, stripe) != coming_.end();
}

std::shared_ptr<SpanSource> BlobFetch::peer_source(const p2p::Fetch& fetch) {
  p2p::StripeAsk ask;
  ask.digest = blob_->digest();
  if (fetch.along) {
    const auto peers = context_.peers->snapshot();
    ask.along = true;
    ask.wants = fetch.along->wants;
    ask.deadline = fetch.along->deadline;
    if (ask.wants > 0)
      ask.client = name_of(*peers, fetch.along->client == p2p::kNoPeer ? peers->self() : fetch.along->client);
    for (const auto id : fetch.along->path) {
      // Who has left meanwhile is passed over.
      if (auto name = name_of(*peers, id); !name.empty()) ask.path.push_back(std::move(name));
    }
  }
  return std::make_shared<PeerSource>(context_.peers->client(), fetch.source, std::move(ask), blob_->geometry());
}

Task<BlobFetch::Forwarded> BlobFetch::forward(ForwardAsk ask) {
  co_return co_await asio::co_spawn(context_.home, forward_here(shared_from_this(), std::move(ask)),
                                    asio::use_awaitable);
}

Task<BlobFetch::Forwarded> BlobFetch::forward_here(std::shared_ptr<BlobFetch> self, ForwardAsk ask) {
  const auto until = self->context_.clock.steady() + ask.deadline;
  const auto stripe = ask.stripe;
  for (;;) {
    if (self->blob_->has(stripe) || self->is_arriving(stripe)) co_return Forwarded{};
    const auto known = self->under_way(stripe);
    const bool own = ask.source == self->context_.peers->snapshot()->self();
    const auto turn = p2p::turn_at_hop(known.transform(as_coming), own, ask.may_wait);
    if (turn.kind == p2p::HopTurn::Kind::kGive) co_return Forwarded{};
    if (turn.give_up) self->cancel(known->id);
    if (turn.kind == p2p::HopTurn::Kind::kRefuse) co_return Forwarded{oxbow::fail(turn.why, turn.text), false};
    const auto left = until - self->context_.clock.steady();
    if (left <= left.zero()) break;
    const auto waiter = std::make_shared<HeadWaiter>(self->context_.home);
    const auto place = self->head_waiters_.emplace(stripe, waiter);
    if (!known) {
      self->forwarding_.push_back(stripe);
      self->start({kForwardId | stripe, ask.source, {stripe, stripe + 1}, {}, ask.along});
      self->pump();  // the strategy must not want it too
    }
    waiter->timer.expires_after(left);
    boost::system::error_code ignored;
    if (!waiter->answer) co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (!waiter->answer) {
      self->head_waiters_.erase(place);
      break;
    }
    // A lease is for the client whose request it was; everybody else asks again, as after a fetch that was given up.
    if (!known || !(waiter->answer->lease || known->over)) co_return std::move(*waiter->answer);
  }
  const auto late = self->under_way(stripe);
  if (late && late->forward && !late->heard && !self->head_waiters_.contains(stripe)) self->cancel(late->id);
  co_return Forwarded{oxbow::fail(Errc::kTimeout, "no answer in time"), false, true};
}

/// An answer has begun, or there is none.
void BlobFetch::head_came(std::uint32_t stripe, const Result<>& outcome, bool lease) {
  const auto [begin, end] = head_waiters_.equal_range(stripe);
  for (auto one = begin; one != end; ++one) {
    one->second->answer = Forwarded{outcome, lease};
    one->second->timer.cancel();
  }
  head_waiters_.erase(begin, end);
}

void BlobFetch::forward_ended(std::uint32_t stripe, const Result<>& outcome, bool lease) {
  std::erase(forwarding_, stripe);
  head_came(stripe, outcome, lease);
}

/// What a reader of this node waits for must not depend on a peer that has stopped.
void BlobFetch::drop_stalled_forwards() {
  if (readers_.empty() || forwarding_.empty()) return;
  for (const auto& one : under_way()) {
    if (one.forward && is_stalled(one)) cancel(one.id);
  }
}

/// A strategy that asks this node itself asks it as the owner: for the lease, or who was given it.
Result<> BlobFetch::take_own_turn(p2p::Fetch& fetch) {
  if (!fetch.along || context_.peers == nullptr) return {};
  const auto self = context_.peers->snapshot()->self();
  if (fetch.source != self) return {};
  auto* owner = context_.peers->finger_owner();
  if (owner == nullptr) return oxbow::fail(Errc::kUnavailable, "this node does not act as an owner");
  using Kind = p2p::FingerOwner::Turn::Kind;
  const auto turn = owner->ask(now(), blob_->digest(), fetch.stripes.begin, self, fetch.along->wants);
  switch (turn.kind) {
    case Kind::kFetch:
      own_turns_[fetch.id] = {fetch.stripes.begin, p2p::kNoPeer};
      return oxbow::fail(Errc::kNotFound, "this node has the lease");
    case Kind::kNobody:
      return oxbow::fail(Errc::kBusy, "nobody was given the stripe yet");
    case Kind::kHolder:
      break;
  }
  own_turns_[fetch.id] = {fetch.stripes.begin, turn.holder};
  fetch.source = turn.holder;
  fetch.along.reset();
  return {};
}

/// True: it ended with the lease. A holder that may still come to have the stripe makes it a matter of waiting.
bool BlobFetch::own_turn_ended(p2p::FetchId id, Result<>& outcome) {
  const auto turn = own_turns_.extract(id);
  if (turn.empty() || outcome) return false;
  const auto [stripe, holder] = turn.mapped();
  if (holder == p2p::kNoPeer) return true;
  const auto code = outcome.error().code();
  if (code == Errc::kBusy || code == Errc::kCancelled) return false;
  if (!context_.peers->finger_owner()->not_given(now(), blob_->digest(), stripe, holder, code))
    outcome = oxbow::fail(Errc::kBusy, "who was given the stripe does not have it yet");
  return false;
}

}  // namespace oxbow::mirror
