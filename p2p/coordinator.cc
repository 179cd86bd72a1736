#include "p2p/coordinator.h"

#include <algorithm>

#include "core/log.h"
#include "p2p/blob_members.h"
#include "p2p/coordinator_blobs.h"
#include "p2p/lease_rules.h"

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kAsksConsidered = 64;
constexpr std::size_t kReportsConsidered = 16;
constexpr auto kWanterSilent = 5'000ms;   // five announcements missed
constexpr auto kTakeOverLasts = 4'000ms;  // from the first that comes over to the last one's last word of it
constexpr std::uint32_t kMayMiss = 32;    // after a take-over, one of so many: the silent one is counted where many are
constexpr auto kSweepEvery = 500ms;       // a look at every member of a blob, at most this often
constexpr std::size_t kWishesKept = 64;   // spans at one holder that others ask for: the oldest go first
constexpr std::uint32_t kCrowd = 8;       // members that may fetch: below, everybody hears of everybody
constexpr std::uint32_t kAgainPer = 8;    // of so many spans one may be leased although somebody holds it
constexpr auto kSlowFor = 15'000ms;       // a slow node is given no lease for this long
constexpr auto kSlowWaits = 2'000ms;      // unless nobody else took what it asks for

bool is_cast_out(const Peer& peer) noexcept {
  return peer.state == PeerState::kSuspended || peer.state == PeerState::kRevoked;
}

/// It goes away, and is asked for nothing by anybody: what only it has comes to nobody.
bool is_draining(const Peer* peer) noexcept { return peer != nullptr && peer->state == PeerState::kDraining; }

/// Whether what it says counts. Nobody in particular is a newcomer of the simulator: the daemon lets none in.
bool counts(PeerId from, const PeerSnapshot& peers) {
  if (from == kNoPeer) return true;
  const auto* peer = peers.find(from);
  return peer != nullptr && !is_cast_out(*peer);
}

}  // namespace

struct Coordinator::Impl {
  Impl(CoordinatorOptions wanted, std::uint64_t seed, Time since) : options(wanted), random(seed), started(since) {}

  AnnounceReply answer_outsider(PeerId from, const Announce& announce, const PeerSnapshot& peers);
  static void review_midstates(BlobMembers& blob, const PeerSnapshot& peers);
  void expire(BlobMembers& blob, Time now);
  /// After a take-over: some who hold leases have not claimed them yet.
  static bool settles(const BlobMembers& blob, Time now) {
    const bool all_came = blob.awaited > 1 && blob.wanters() + blob.awaited / kMayMiss >= blob.awaited;
    return now < blob.settle_until && !all_came;
  }
  void take_reports(BlobMembers& blob, PeerId from, const Announce& announce, const PeerSnapshot& peers, Time now);
  void take_released(BlobMembers& blob, PeerId from, const Announce& announce, Time now);
  void take_claims(BlobMembers& blob, PeerId from, BlobMember& member, const Announce& announce, Time now,
                   AnnounceReply& reply);
  void grant(BlobMembers& blob, PeerId from, BlobMember& member, const Announce& announce, const PeerSnapshot& peers,
             Time now, AnnounceReply& reply);
  static void name_holder_of_rest(BlobMembers& blob, PeerId from, const PeerSnapshot& peers, std::uint32_t span,
                                  AnnounceReply& reply);
  bool stays_where_it_is(BlobMembers& blob, std::uint32_t span, Time now);
  void name_neighbours(BlobMembers& blob, PeerId from, const PeerSnapshot& peers, AnnounceReply& reply);

  const CoordinatorOptions options;
  const LeaseSpans spans{options.span_stripes};
  const LeaseRules rules{options, spans};
  Random random;
  const Time started;
  CoordinatorBlobs blobs{{options.blobs, options.memory_bytes}, spans};
};

/// Silent wanters and holders go; leases without progress end.
void Coordinator::Impl::expire(BlobMembers& blob, Time now) {
  std::erase_if(blob.leases, [&](const BlobLease& lease) {
    if (!rules.has_ended(blob, lease, now)) return false;
    log::debug("a lease ended without progress", {{"span", lease.span},
                                                  {"holder", lease.holder},
                                                  {"bytes", lease.bytes},
                                                  {"age_ms", (now - lease.granted).count()}});
    blob.part_lease(lease);
    return true;
  });
  if (now - blob.swept < kSweepEvery) return;
  blob.swept = now;
  for (std::size_t place = 0; place < blob.size();) {
    const auto id = blob.at(place);
    const auto* member = blob.find(id);
    const auto limit =
        member->interest == Interest::kWanting ? kWanterSilent : 2 * options.again_holder + kWanterSilent;
    if (now - member->heard > limit)
      blob.remove(id);
    else
      ++place;
  }
}

void Coordinator::Impl::take_reports(BlobMembers& blob, PeerId from, const Announce& announce,
                                     const PeerSnapshot& peers, Time now) {
  const auto count = std::min(announce.unreachable.size(), kReportsConsidered);
  for (std::size_t i = 0; i < count; ++i) {
    const auto* peer = peers.find(announce.unreachable[i]);
    if (peer == nullptr || peer->id == from) continue;
    const auto* member = blob.find(peer->id);
    // Who announces in time is alive, whatever one reporter's path to it looks like. Completed holders announce rarely:
    // for them the report alone must do, and only for the reporter (see grant).
    if (member == nullptr || member->interest != Interest::kWanting) continue;
    const bool gone = std::ranges::find(announce.gone, announce.unreachable[i]) != announce.gone.end();
    if (member->suspect || !rules.is_missed(blob, *member, gone, now)) continue;
    log::debug("a member is overdue and out of reach", {{"digest", announce.digest.to_string()},
                                                        {"peer", peer->id},
                                                        {"reporter", from},
                                                        {"silent_ms", (now - member->heard).count()}});
    blob.suspect(peer->id);
  }
}

void Coordinator::Impl::take_released(BlobMembers& blob, PeerId from, const Announce& announce, Time now) {
  for (const auto span : announce.released) {
    const auto* lease = blob.lease_of(span);
    if (lease == nullptr || lease->holder != from) continue;
    const auto ms = static_cast<double>(std::max<std::int64_t>((now - lease->granted).count(), 1));
    const auto* member = blob.find(from);
    if (member != nullptr && blob.holds(*member, span)) {
      const auto bytes = blob.span_bytes(span);
      const double rate = static_cast<double>(bytes - std::min(bytes, lease->bytes_at_grant)) / ms * 1000;
      if (rate > 0) blob.lease_rate = blob.lease_rate <= 0 ? rate : 0.8 * blob.lease_rate + 0.2 * rate;
    }
    blob.end_lease(span);
  }
}

void Coordinator::Impl::take_claims(BlobMembers& blob, PeerId from, BlobMember& member, const Announce& announce,
                                    Time now, AnnounceReply& reply) {
  for (const auto& claim : announce.leases) {
    if (claim.span >= blob.spans()) continue;
    // From a source without ranges the blob streams past its begin: that is progress, but not for ever.
    const auto bytes = std::min(claim.bytes, blob.blob_bytes);
    auto* lease = blob.lease_of(claim.span);
    if (lease != nullptr && lease->holder != from) {
      reply.lost.push_back(claim.span);
      continue;
    }
    if (lease == nullptr) {
      // Expired here, or granted by a coordinator before this one: it goes on unless it was taken away, or is more than
      // one node is ever granted.
      if (member.slow_until > now || blob.leases.size() >= 2 * std::size_t{options.parallel_leases} ||
          blob.leases_of(from) >= options.leases_per_node) {
        reply.lost.push_back(claim.span);
        continue;
      }
      if (now - blob.learned < options.settle) blob.settle_until = blob.learned + options.settle;
      blob.leases.push_back({.span = claim.span,
                             .holder = from,
                             .granted = now,
                             .begun = bytes > 0 ? now : Time{0},
                             .expires = now + rules.ttl(blob),
                             .bytes_at_grant = bytes,
                             .bytes = bytes});
      reply.granted.push_back({claim.span, rules.ttl(blob)});
      continue;
    }
    const bool grew = bytes > lease->bytes;
    lease->bytes = std::max(lease->bytes, bytes);
    if (grew && lease->begun == Time{0}) {
      lease->begun = now;
      const auto waited = static_cast<double>(std::max<std::int64_t>((now - lease->granted).count(), 1));
      blob.first_byte_ms = blob.first_byte_ms <= 0 ? waited : 0.8 * blob.first_byte_ms + 0.2 * waited;
    }
    if (rules.is_too_slow(blob, *lease, now)) {
      member.slow_until = now + kSlowFor;
      blob.part_lease(*lease);
      blob.end_lease(claim.span);
      reply.lost.push_back(claim.span);
      continue;
    }
    if (!grew) continue;
    lease->expires = now + rules.ttl(blob);
    reply.granted.push_back({claim.span, rules.ttl(blob)});
  }
}

void Coordinator::Impl::grant(BlobMembers& blob, PeerId from, BlobMember& member, const Announce& announce,
                              const PeerSnapshot& peers, Time now, AnnounceReply& reply) {
  if (!announce.may_fetch || announce.interest != Interest::kWanting || announce.ask.empty()) {
    member.refused_since = Time{0};
    return;
  }
  if (settles(blob, now)) return;
  if (member.slow_until > now && blob.fetchers() > 1) {
    if (member.refused_since == Time{0}) member.refused_since = now;
    if (now - member.refused_since < kSlowWaits) return;
  }
  member.refused_since = Time{0};

  std::vector<PeerId> out_of_reach;
  for (std::size_t i = 0; i < std::min(announce.unreachable.size(), kReportsConsidered); ++i) {
    const auto* peer = peers.find(announce.unreachable[i]);
    if (peer == nullptr || peer->id == from) continue;
    // What a wanter has that announces in time reaches the asker through the others, if not from itself; one that does
    // not is a suspect by now.
    const auto* reported = blob.find(peer->id);
    if (reported != nullptr && reported->interest != Interest::kWanting) out_of_reach.push_back(peer->id);
  }
  const auto fetchers = std::max(blob.fetchers(), 1U);
  auto share = std::min((options.shared_leases + fetchers - 1) / fetchers, options.leases_per_node);
  if (const auto age = now - blob.learned; age < share * options.another_lease && peers.eligible_others() > 0)
    share = 1 + static_cast<std::uint32_t>(age / options.another_lease);
  auto own = blob.leases_of(from);
  for (std::size_t i = 0; i < std::min(announce.ask.size(), kAsksConsidered); ++i) {
    const auto span = announce.ask[i];
    if (span >= blob.spans()) continue;
    if (auto* lease = blob.lease_of(span)) {
      // It asks for what it holds: the answer that said so was lost.
      if (lease->holder == from) reply.granted.push_back({span, rules.ttl(blob)});
      continue;
    }
    if (own >= share || blob.leases.size() >= options.parallel_leases) break;
    // The asker's news of what others have may be late: here it is known stripe by stripe.
    if (blob.held(span, from, out_of_reach)) {
      if (!stays_where_it_is(blob, span, now)) continue;
      ++blob.leased_again;
    } else {
      name_holder_of_rest(blob, from, peers, span, reply);
    }
    std::erase_if(blob.wishes, [span](const BlobWish& wish) { return wish.span == span; });
    // What it has of the span already is in its claims too, and did not come by this lease.
    const auto bytes = blob.bytes_held(member, span);
    blob.leases.push_back({.span = span,
                           .holder = from,
                           .granted = now,
                           .expires = now + rules.ttl(blob),
                           .bytes_at_grant = bytes,
                           .bytes = bytes});
    reply.granted.push_back({span, rules.ttl(blob)});
    ++own;
  }
}

/// Whoever had the lease before and lost it has a part of the span. The next one gets that part from it rather than
/// from upstream.
void Coordinator::Impl::name_holder_of_rest(BlobMembers& blob, PeerId from, const PeerSnapshot& peers,
                                            std::uint32_t span, AnnounceReply& reply) {
  const auto holder = blob.take_rest(span);
  if (holder == kNoPeer || holder == from) return;
  const auto* member = blob.find(holder);
  const auto* peer = peers.find(holder);
  if (member == nullptr || !member->counts()) return;
  if (peer == nullptr || peer->state != PeerState::kEligible) return;
  reply.neighbours.push_back(
      {peer->member.name, member->complete, member->complete ? blob.stripes() : member->have.count()});
}

/// Whether a span that one member holds comes to nobody although others have asked for it for twice as long as a
/// lease may take. A node with a slow uplink gets a span from upstream as fast as any other, and then all wait for it:
/// 1,000 nodes for four seconds in every third simulated crowd with 5 % of such nodes.
bool Coordinator::Impl::stays_where_it_is(BlobMembers& blob, std::uint32_t span, Time now) {
  if (blob.fetchers() < kCrowd || !blob.is_rare(span)) return false;
  if (blob.leased_again >= (blob.spans() + kAgainPer - 1) / kAgainPer) return false;
  auto wish = std::ranges::find(blob.wishes, span, &BlobWish::span);
  if (wish == blob.wishes.end()) {
    if (blob.wishes.size() >= kWishesKept) blob.wishes.erase(blob.wishes.begin());
    blob.wishes.push_back({span, now, now});
    return false;
  }
  if (now - wish->since < 2 * rules.ttl(blob) || now - wish->looked < kSweepEvery) return false;
  wish->looked = now;
  auto* holder = blob.keeps_alone(span);
  if (holder == nullptr) return false;
  holder->slow_until = now + kSlowFor;
  return true;
}

void Coordinator::Impl::name_neighbours(BlobMembers& blob, PeerId from, const PeerSnapshot& peers,
                                        AnnounceReply& reply) {
  struct Candidate {
    PeerId id;
    const Peer* peer;
    BlobMember* member;
    std::uint32_t near;
    std::uint32_t draw = 0;
  };
  if (blob.size() == 0) return;
  const auto* asker = peers.find(from);
  std::vector<Candidate> candidates;
  const auto consider = [&](PeerId id) {
    if (id == from) return;
    auto* member = blob.find(id);
    if (!member->counts()) return;
    const auto* peer = peers.find(id);
    if (peer == nullptr || peer->state != PeerState::kEligible) return;
    candidates.push_back(
        {id, peer, member, asker == nullptr ? 0 : shared_labels(asker->member.location, peer->member.location)});
  };
  // A random run of the members is enough to find some of the asker's tier, and bounds the work with many members.
  const auto members = static_cast<std::uint32_t>(blob.size());
  const auto looked_at = std::min(members, 4 * options.neighbours);
  const auto first = random.below(members);
  for (std::uint32_t i = 0; i < looked_at; ++i) consider(blob.at((first + i) % members));
  for (std::size_t i = candidates.size(); i > 1; --i)
    std::swap(candidates[i - 1], candidates[random.below(static_cast<std::uint32_t>(i))]);
  if (candidates.size() > options.neighbours) {
    // The nearest for half of the places; any for the rest. Among equals whoever was named to the fewest: one that
    // nobody knows gives nothing, and what only it has comes to nobody.
    for (std::uint32_t i = 0; i < candidates.size(); ++i) candidates[i].draw = i;
    const auto known_to_few = [](const Candidate& a, const Candidate& b) {
      return a.member->named != b.member->named ? a.member->named < b.member->named : a.draw < b.draw;
    };
    std::ranges::sort(candidates, [&](const Candidate& a, const Candidate& b) {
      return a.near != b.near ? a.near > b.near : known_to_few(a, b);
    });
    std::sort(candidates.begin() + options.neighbours / 2, candidates.end(), known_to_few);
    candidates.resize(options.neighbours);
  }
  for (const auto& one : candidates) {
    ++one.member->named;
    reply.neighbours.push_back({one.peer->member.name, one.member->complete,
                                one.member->complete ? blob.stripes() : one.member->have.count()});
  }
}

/// Of one that was suspended the list is forgotten, not only kept back: it would be passed on once that one has left.
void Coordinator::Impl::review_midstates(BlobMembers& blob, const PeerSnapshot& peers) {
  if (!blob.midstates) return;
  const auto* publisher = peers.find(blob.midstates->publisher);
  if (publisher != nullptr && is_cast_out(*publisher)) blob.midstates.reset();
}

/// To one that leaves, whose word does not count, or that knows no size and so cannot say what it has: who else there
/// is, and nothing to rely on. It has no leases, and goes on by its own means.
AnnounceReply Coordinator::Impl::answer_outsider(PeerId from, const Announce& announce, const PeerSnapshot& peers) {
  AnnounceReply reply;
  reply.digest = announce.digest;
  reply.again = announce.interest == Interest::kWanting ? options.again : options.again_holder;
  const auto* asker = peers.find(from);
  const bool goes = announce.interest == Interest::kLeft || (asker != nullptr && is_cast_out(*asker));
  if (goes && announce.size == 0) blobs.remove_member(announce.digest, from);
  auto* blob = announce.size == 0 ? blobs.find_any(announce.digest) : blobs.find(announce.digest, announce.size);
  for (const auto& claim : announce.leases) {
    if (blob == nullptr || claim.span < blob->spans()) reply.lost.push_back(claim.span);
  }
  if (blob == nullptr) return reply;
  reply.size = blob->blob_bytes;
  if (goes)
    blob->remove(from);
  else if (!counts(from, peers))
    blob->set_absent(from, true);
  if (announce.interest == Interest::kLeft) return reply;
  review_midstates(*blob, peers);
  if (announce.want_neighbours) name_neighbours(*blob, from, peers, reply);
  if (!announce.know_midstates) reply.midstates = blob->midstates;
  reply.wanters = blob->wanters();
  return reply;
}

Coordinator::Coordinator(CoordinatorOptions options, std::uint64_t seed, Time started)
    : impl_(std::make_unique<Impl>(options, seed, started)) {}
Coordinator::~Coordinator() = default;

AnnounceReply Coordinator::on_announce(Time now, PeerId from, const Announce& announce, const PeerSnapshot& peers) {
  if (announce.interest == Interest::kLeft || announce.size == 0 || !counts(from, peers))
    return impl_->answer_outsider(from, announce, peers);
  auto& blob = impl_->blobs.heard(announce.digest, announce.size, from, now);
  const auto& options = impl_->options;
  const bool unheard_of = blob.size() == 0;
  blob.heard = now;
  impl_->expire(blob, now);

  AnnounceReply reply;
  reply.digest = announce.digest;
  if (unheard_of) blob.learned = now;
  // Somebody comes from a coordinator that did not answer: this node takes over a swarm under way.
  const bool comes_over =
      (announce.wanters > 0 && now - blob.took_over >= kTakeOverLasts) || (unheard_of && !announce.unreachable.empty());
  if (comes_over && announce.have.count() > 0) {
    blob.took_over = now;
    blob.settle_until = now + options.settle;
    blob.awaited = 0;
  }

  auto* member = blob.find(from);
  if (member == nullptr) {
    const bool holders_full =
        announce.interest == Interest::kHolding && blob.size() - blob.wanters() >= options.holders_per_blob;
    if (holders_full || blob.size() >= options.members_per_blob) blob.drop_one(impl_->random);
    member = &blob.add(from, now);
  }
  impl_->rules.note_lateness(blob, *member, now);
  blob.update(*member, announce, now);
  blob.awaited = std::max(blob.awaited, announce.wanters);
  const auto* peer = peers.find(from);
  member->incarnation = peer == nullptr ? 0 : peer->incarnation;
  if (is_draining(peer)) blob.withdraw(from);
  impl_->review_midstates(blob, peers);
  if (peer != nullptr && announce.midstates && !blob.midstates) {
    blob.midstates = announce.midstates;
    blob.midstates->publisher = peer->member.name;  // whatever name is written on it
  }
  impl_->take_reports(blob, from, announce, peers, now);
  impl_->take_released(blob, from, announce, now);
  impl_->take_claims(blob, from, *member, announce, now, reply);
  impl_->grant(blob, from, *member, announce, peers, now, reply);
  if (announce.want_neighbours) impl_->name_neighbours(blob, from, peers, reply);

  reply.size = blob.blob_bytes;
  if (!announce.know_midstates) reply.midstates = blob.midstates;
  reply.again = impl_->rules.again(blob, *member);
  reply.fresh = blob.learned - impl_->started < options.fresh_for && now - blob.learned < options.fresh_for;
  reply.wanters = blob.wanters();
  impl_->blobs.make_room();
  return reply;
}

void Coordinator::tick(Time now, const PeerSnapshot& peers) {
  impl_->blobs.keep_if([&](BlobMembers& blob) {
    impl_->expire(blob, now);
    for (std::size_t place = 0; place < blob.size();) {
      const auto id = blob.at(place);
      const auto* peer = peers.find(id);
      if (id == kNoPeer || (peer != nullptr && (is_cast_out(*peer) || blob.is_another(id, peer->incarnation)))) {
        blob.remove(id);
        continue;
      }
      // Who is missing from the view for a moment knows nothing of it, and would announce next in five minutes.
      blob.set_absent(id, peer == nullptr);
      if (is_draining(peer)) blob.withdraw(id);
      ++place;
    }
    return blob.size() > 0;
  });
}

void Coordinator::forget_publisher(std::string_view name) {
  impl_->blobs.each([name](BlobMembers& blob) {
    if (blob.midstates && blob.midstates->publisher == name) blob.midstates.reset();
  });
}

std::size_t Coordinator::blobs() const noexcept { return impl_->blobs.size(); }
std::size_t Coordinator::memory_bytes() const noexcept { return impl_->blobs.bytes(); }
CoordinatorForgotten Coordinator::forgotten() const noexcept { return impl_->blobs.forgotten(); }

std::size_t Coordinator::leases() const noexcept {
  std::size_t count = 0;
  impl_->blobs.each([&](const BlobMembers& blob) { count += blob.leases.size(); });
  return count;
}

}  // namespace oxbow::p2p
