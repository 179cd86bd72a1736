// The simulated cluster's `fingers`: requests that a node passes on, and the owner's turns. As the daemon does it in
// mirror/peer_contents.cc and mirror/blob_forward.cc.
#include "node.h"

namespace oxbow::p2p::test {
namespace {

constexpr FetchId kForwardId = 3ULL << 62;

}  // namespace

void Cluster::wake(const std::vector<std::pair<std::uint32_t, FetchId>>& waiters) {
  for (const auto& [index, id] : waiters) later(0, [this, index, id] { request(index, id); });
}

/// This node owns the stripe that it wants.
void Cluster::own_turn(std::uint32_t index, FetchId id) {
  auto& node = *nodes_[index];
  auto& transfer = *node.transfers.at(id);
  const auto now = Time(static_cast<std::int64_t>(now_));
  const auto turn = node.owner.ask(now, digest_, transfer.stripe, index + 1, transfer.along->wants);
  const auto end = [&](Errc code, bool lease) {
    later(0, [this, index, id, code, lease] { end_fetch(index, id, fail(code, "own turn"), lease); });
  };
  if (turn.kind == FingerOwner::Turn::Kind::kFetch) return end(Errc::kNotFound, true);
  if (turn.kind == FingerOwner::Turn::Kind::kNobody) return end(Errc::kBusy, false);
  transfer.from = static_cast<int>(turn.holder) - 1;
  transfer.holder = turn.holder;
  transfer.along.reset();
  later(hop(), [this, index, id] { request(index, id); });
}

/// The asked peer does not have the stripe that it is to pass on.
void Cluster::pass_on(std::uint32_t index, FetchId id) {
  auto& asked = *nodes_[index]->transfers.at(id);
  const auto at = static_cast<std::uint32_t>(asked.from);
  auto& node = *nodes_[at];
  const auto now = Time(static_cast<std::int64_t>(now_));
  const auto self = static_cast<PeerId>(at + 1);
  if (auto* coming = node.coming(asked.stripe); coming != nullptr && coming->from < 0) {
    if (now_ - coming->last_byte < 3'000 || !asked.along->path.empty()) return refuse(index, id, Errc::kBusy);
    node.owner.not_given(now, digest_, asked.stripe, self, Errc::kTimeout);
  } else if (coming != nullptr) {
    // One that waits for its own reader lets only those of a smaller number wait for it: so there are no cycles.
    if (!coming->forward && asked.along->client >= at + 1) return refuse(index, id, Errc::kBusy);
    coming->waiters.emplace_back(index, id);
    return;
  }
  auto along = *asked.along;
  if (!along.path.empty()) {
    const auto next = along.path.front() - 1;
    along.path.erase(along.path.begin());
    along.deadline = along.path.empty() ? along.deadline * 7 / 8 : along.deadline * 2 / 3;
    return forward(at, next, kNoPeer, asked, std::move(along));
  }
  auto turn = node.owner.ask(now, digest_, asked.stripe, along.client, along.wants);
  if (turn.holder == self && node.owner.not_given(now, digest_, asked.stripe, self, Errc::kNotFound))
    turn = node.owner.ask(now, digest_, asked.stripe, along.client, along.wants);
  if (turn.kind == FingerOwner::Turn::Kind::kFetch) return refuse(index, id, Errc::kNotFound, true);
  if (turn.kind == FingerOwner::Turn::Kind::kNobody) return refuse(index, id, Errc::kBusy);
  if (turn.holder == self || node.coming(asked.stripe) != nullptr) return refuse(index, id, Errc::kBusy);
  along.deadline = along.deadline * 7 / 8;
  forward(at, turn.holder - 1, turn.holder, asked, std::move(along));
}

void Cluster::forward(std::uint32_t at, std::uint32_t next, PeerId holder, Transfer& asked, Along along) {
  auto& node = *nodes_[at];
  auto transfer = std::make_unique<Transfer>();
  const auto id = kForwardId | asked.stripe;
  transfer->id = id;
  transfer->to = at;
  transfer->from = static_cast<int>(next);
  transfer->stripe = asked.stripe;
  transfer->stripes = {asked.stripe, asked.stripe + 1};
  transfer->last_byte = now_;
  transfer->forward = true;
  transfer->holder = holder;
  transfer->waiters.emplace_back(asked.to, asked.id);
  const auto deadline = along.deadline;
  if (holder == kNoPeer) transfer->along = std::move(along);
  node.transfers.emplace(id, std::move(transfer));
  later(hop(), [this, at, id] { request(at, id); });
  expect_head(at, id, deadline);
  pump(at);
}

/// Whoever waited for it hears of it; whoever was being served is cut.
void Cluster::forward_ended(std::uint32_t at, const Transfer& ended, Result<>& outcome, bool lease) {
  auto& node = *nodes_[at];
  if (outcome || !ended.forward) {
    if (ended.holder != kNoPeer && !outcome && outcome.error().code() != Errc::kBusy &&
        outcome.error().code() != Errc::kCancelled &&
        !node.owner.not_given(Time(static_cast<std::int64_t>(now_)), digest_, ended.stripe, ended.holder,
                              outcome.error().code()))
      outcome = fail(Errc::kBusy, "the holder does not have it yet");
    return wake(ended.waiters);
  }
  const auto code = outcome.error().code();
  bool again = false;
  if (ended.holder != kNoPeer && code != Errc::kBusy && code != Errc::kCancelled) {
    const bool late = code == Errc::kTimeout && ended.state != Transfer::State::kFlowing;
    again =
        node.owner.not_given(Time(static_cast<std::int64_t>(now_)), digest_, ended.stripe, ended.holder, code, late);
  }
  for (const auto serving = node.serving; auto* one : serving) {
    if (one->stripe == ended.stripe && one->along) refuse(one->to, one->id, Errc::kUnavailable);
  }
  for (const auto& [index, id] : ended.waiters) {
    const auto found = nodes_[index]->transfers.find(id);
    if (found == nodes_[index]->transfers.end()) continue;
    auto& path = found->second->along->path;
    const bool broken = code == Errc::kUnavailable || code == Errc::kTimeout;
    if (ended.holder != kNoPeer) {
      if (again)
        wake({{index, id}});
      else
        refuse(index, id, Errc::kBusy);
    } else if (lease && found->second->along->client != ended.along->client) {
      wake({{index, id}});  // the lease is another's
    } else if (broken && path.size() > 1) {
      path.erase(path.begin());  // the peer after the one that failed
      wake({{index, id}});
    } else {
      refuse(index, id, broken ? Errc::kUnavailable : code, lease);
    }
  }
}

}  // namespace oxbow::p2p::test
