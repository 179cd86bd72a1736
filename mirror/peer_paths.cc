// PeerContents along a path (`fingers`): a stripe that is not here is fetched from the next peer of the path, kept, and
// given on as it arrives; at the path's end this node acts as the owner (docs/decisions/0008-fingers.md).
#include "mirror/peer_contents.h"
#include "mirror/stripe_body.h"
#include "p2p/finger_passing.h"

namespace oxbow::mirror {
namespace {

using std::chrono::milliseconds;

}  // namespace

struct PeerContents::Passing {
  std::shared_ptr<BlobFetch> fetch;
  std::uint32_t stripe = 0;
  AlongAsk ask;
  Clock::Steady until;
  std::shared_ptr<const p2p::PeerSnapshot> peers;
  p2p::PeerId client = p2p::kNoPeer;
  /// Who waits for a fetch of this node's own has the smaller name: so nobody waits in a circle.
  bool may_wait = false;
  const Clock* clock = nullptr;

  milliseconds left() const { return std::chrono::duration_cast<milliseconds>(until - clock->steady()); }
};

Task<Result<p2p::PeerContent::StripeAnswer>> PeerContents::stripe_along(Digest digest, std::uint64_t blob_bytes,
                                                                        std::uint32_t stripe, std::uint64_t offset,
                                                                        AlongAsk ask) {
  auto& loop = *co_await this_loop();
  auto* peers = blobs_.peers();
  if (peers == nullptr || peers->finger_owner() == nullptr)
    co_return fail(Errc::kUnavailable, "this node passes nothing on");
  if (std::ranges::find(ask.path, name_) != ask.path.end())
    co_return fail(Errc::kUnavailable, "this node stands in its own path");
  if (const auto known = blobs_.store().peek(digest); known && known->geometry().blob_bytes() != blob_bytes)
    co_return this->stripe(digest, blob_bytes, stripe, offset, loop);
  auto fetch = blobs_.relay(digest, blob_bytes, loop);
  if (!fetch && fetch.error().code() == Errc::kBusy) co_return std::unexpected(std::move(fetch.error()));
  if (!fetch) co_return fail(Errc::kUnavailable, fmt::format("nothing can be kept here: {}", fetch.error().what()));
  Passing passing{std::move(*fetch), stripe,       std::move(ask), {},
                  peers->snapshot(), p2p::kNoPeer, false,          &blobs_.clock()};
  passing.until = blobs_.clock().steady() + passing.ask.deadline;
  if (const auto* client = passing.peers->find(passing.ask.client)) passing.client = client->id;
  passing.may_wait = !passing.ask.client.empty() && passing.ask.client < name_;
  const auto found = passing.ask.path.empty() ? co_await act_as_owner(passing) : co_await pass_on(passing);
  if (!found) {
    blobs_.relay_failed(digest, std::move(passing.fetch));
    co_return std::unexpected(found.error());
  }

  auto blob = passing.fetch->shared_blob();
  const auto range = blob->geometry().stripe(stripe);
  StripeAnswer answer;
  answer.facts.blob_bytes = blob_bytes;
  answer.facts.offset = offset;
  answer.facts.length = range.size() - offset;
  answer.body = std::make_unique<StripeBody>(std::move(blob), std::move(passing.fetch),
                                             ByteRange{range.begin + offset, range.end}, loop, true);
  co_return answer;
}

/// From the next of the path; past one that cannot be reached, from the one after it.
Task<Result<>> PeerContents::pass_on(const Passing& passing) {
  std::vector<p2p::PeerId> path;
  for (const auto& name : passing.ask.path) {
    const auto* peer = passing.peers->find(name);
    if (peer != nullptr && peer->state == p2p::PeerState::kEligible)
      path.push_back(peer->id);
    else if (&name == &passing.ask.path.back())
      co_return fail(Errc::kUnavailable, "the owner cannot be reached from here");
  }
  while (!path.empty() && passing.left() > milliseconds::zero()) {
    const auto next = path.front();
    path.erase(path.begin());
    const auto deadline = p2p::time_for_next(passing.left(), path.empty());
    p2p::Along along{path, passing.client, passing.client == p2p::kNoPeer ? 0 : passing.ask.wants, deadline};
    auto got = co_await passing.fetch->forward({passing.stripe, next, std::move(along), passing.may_wait, deadline});
    if (got.outcome) co_return Result<>();
    const auto after = p2p::after_hop(got.outcome.error().code(), got.lease);
    if (after == p2p::AfterHop::kAnswer) co_return std::move(got.outcome);
    if (after == p2p::AfterHop::kEnd) break;
  }
  co_return fail(Errc::kUnavailable, "no peer of the path could be reached");
}

/// Not here: from whom it was given to, or the client is given it.
Task<Result<>> PeerContents::act_as_owner(const Passing& passing) {
  auto& owner = *blobs_.peers()->finger_owner();
  const auto& digest = passing.fetch->blob().digest();
  const auto now = [&] { return std::chrono::duration_cast<p2p::Time>(passing.clock->steady().time_since_epoch()); };
  using Kind = p2p::FingerOwner::Turn::Kind;
  for (std::uint32_t attempt = 0; attempt < p2p::kOwnerAttempts && passing.left() > milliseconds::zero(); ++attempt) {
    const auto turn = owner.ask(now(), digest, passing.stripe, passing.client, passing.ask.wants);
    if (turn.kind == Kind::kFetch) co_return fail(Errc::kNotFound, "the client has the lease");
    if (turn.kind == Kind::kNobody) co_return fail(Errc::kBusy, "nobody has it yet, and the client may not fetch it");
    const auto got = co_await passing.fetch->forward(
        {passing.stripe, turn.holder, std::nullopt, passing.may_wait, p2p::time_for_next(passing.left(), true)});
    if (got.outcome) {
      owner.given(now(), digest, passing.stripe, turn.holder);
      co_return Result<>();
    }
    const auto code = got.outcome.error().code();
    // Given up here, for this node's own reasons, says nothing of the holder.
    if (code == Errc::kBusy || code == Errc::kCancelled) break;
    if (!owner.not_given(now(), digest, passing.stripe, turn.holder, code, got.late)) break;
  }
  co_return fail(Errc::kBusy, "who was given it does not have it yet");
}

}  // namespace oxbow::mirror
