#include "p2p/sim/selection_client.h"

#include <algorithm>
#include <string>

#include "p2p/swarm.h"

namespace oxbow::p2p::sim {
namespace {

using namespace std::chrono_literals;

constexpr double kStripeBytes = 4 << 20;
constexpr std::uint32_t kDraws = 64;  ///< then the client waits
// How long the simple policies leave somebody alone: as long as the daemon does the first time.
constexpr auto kTurnedAwayFor = 20ms;
constexpr std::uint32_t kTurnedAwayJitterMs = 60;
constexpr auto kFailedFor = 1'000ms;
constexpr std::uint32_t kSameTier = 3;

std::string name_of(PeerSerial peer) { return "p" + std::to_string(peer); }

Member member_of(PeerSerial peer) {
  Member member;
  member.name = name_of(peer);
  return member;
}

Member client_member(std::uint32_t number) {
  Member member;
  member.name = "c" + std::to_string(number);
  return member;
}

SwarmNeighbours::Limits limits_of(double probation_share) {
  const SwarmOptions daemon;
  return {daemon.peer_fetches, daemon.per_peer, daemon.probes, probation_share};
}

}  // namespace

SelectionClient::SelectionClient(std::uint32_t number, SelectionPolicy policy, double probation_share,
                                 const Clock& clock, MetricsRegistry& metrics)
    : policy_(policy),
      probation_share_(probation_share),
      table_(client_member(number), {}, clock, metrics),
      neighbours_(1, limits_of(probation_share)),
      window_(HaveMap(1)) {
  window_.set({{0, 1}});
}

SelectionClient::Candidate* SelectionClient::find(PeerSerial peer) {
  const auto found = std::ranges::find(candidates_, peer, &Candidate::serial);
  return found == candidates_.end() ? nullptr : &*found;
}

void SelectionClient::refresh(std::vector<PeerSerial> view) {
  view_ = std::move(view);
  std::vector<Member> members;
  for (const auto peer : view_) members.push_back(member_of(peer));
  table_.set_members(std::move(members));
  table_.tick();
  snapshot_ = table_.snapshot();
  std::erase_if(candidates_, [&](const Candidate& one) { return std::ranges::find(view_, one.serial) == view_.end(); });
  for (const auto peer : view_) {
    if (find(peer) != nullptr) continue;
    auto& candidate = candidates_.emplace_back();
    candidate.serial = peer;
    candidate.id = snapshot_->find(name_of(peer))->id;
  }
  sync();
}

/// What the newest snapshot says, where it has changed.
void SelectionClient::sync() {
  eligible_.clear();
  unvetted_ = 0;
  for (std::uint32_t place = 0; place < candidates_.size(); ++place) {
    auto& one = candidates_[place];
    one.peer = snapshot_->find(one.id);
    OXBOW_INVARIANT(one.peer != nullptr);
    one.expected_ms = one.peer->goodput > 0 ? one.peer->latency_ms + kStripeBytes / one.peer->goodput * 1000 : 0;
    if (one.peer->state != PeerState::kEligible) continue;
    eligible_.push_back(place);
    if (!one.peer->vetted) ++unvetted_;
  }
  if (policy_ == SelectionPolicy::kDaemon) sync_neighbours();
}

/// As the swarm does with a new snapshot; whoever may be selected is a neighbour.
void SelectionClient::sync_neighbours() {
  for (std::size_t place = 0; place < neighbours_.size();) {
    const auto* peer = snapshot_->find(neighbours_.at(place).id);
    if (peer != nullptr && peer->state == PeerState::kEligible)
      ++place;
    else
      neighbours_.remove(neighbours_.at(place).id);
  }
  for (const auto place : eligible_) {
    const auto& candidate = candidates_[place];
    auto* one = neighbours_.find(candidate.id);
    if (one == nullptr) {
      one = &neighbours_.add(candidate.id);
      neighbours_.set_complete(*one);
      one->near = kSameTier;
      one->outstanding = candidate.outstanding;
    }
    one->vetted = candidate.peer->vetted;
    if (one->goodput <= 0) one->goodput = candidate.peer->goodput;
    if (one->latency_ms <= 0) one->latency_ms = candidate.peer->latency_ms;
  }
}

void SelectionClient::vet(PeerSerial peer, double bytes_per_second) {
  auto* candidate = find(peer);
  for (std::uint32_t i = 0; i < PeerTableOptions{}.vetted_after_stripes; ++i)
    table_.note_stripe(candidate->id, 1, bytes_per_second);
}

void SelectionClient::learn(Candidate& candidate, const Load& load, Time now) {
  candidate.load = load;
  auto* one = policy_ == SelectionPolicy::kDaemon ? neighbours_.find(candidate.id) : nullptr;
  if (one == nullptr) return;
  one->load = load;
  one->load_at = now;
}

void SelectionClient::told_load(PeerSerial peer, const Load& load, Time now) {
  if (auto* candidate = find(peer)) learn(*candidate, load, now);
}

bool SelectionClient::askable(const Candidate& one, Time now, Random& random) const {
  return now >= one.not_before &&
         PeerTable::passes_probation(*snapshot_, *one.peer, probation_share_, random.uniform());
}

/// Uniformly among those that may be asked now.
const SelectionClient::Candidate* SelectionClient::any(Time now, Random& random) const {
  for (std::uint32_t draw = 0; draw < kDraws; ++draw) {
    const auto& one = candidates_[eligible_[random.below(static_cast<std::uint32_t>(eligible_.size()))]];
    if (askable(one, now, random)) return &one;
  }
  return nullptr;
}

/// The shortest expected time; who is unknown is tried first.
const SelectionClient::Candidate* SelectionClient::quickest(Time now, Random& random) const {
  const Candidate* best = nullptr;
  const auto first = random.below(static_cast<std::uint32_t>(eligible_.size()));
  for (std::uint32_t i = 0; i < eligible_.size(); ++i) {
    const auto& one = candidates_[eligible_[(first + i) % eligible_.size()]];
    if (!askable(one, now, random)) continue;
    if (best == nullptr || one.expected_ms < best->expected_ms) best = &one;
  }
  return best;
}

const SelectionClient::Candidate* SelectionClient::neighbour(Time now, Random& random) {
  for (std::size_t place = 0; place < neighbours_.size(); ++place) {
    auto& one = neighbours_.at(place);
    if (one.away && now >= one.away_until) neighbours_.set_back(one);
  }
  const auto choice = neighbours_.pick(now, window_, true, *snapshot_, typical_, random);
  if (!choice) return nullptr;
  const auto id = neighbours_.at(choice->place).id;
  return &*std::ranges::find(candidates_, id, &Candidate::id);
}

std::optional<SelectionClient::Pick> SelectionClient::pick(Time now, Random& random) {
  auto newest = table_.snapshot();
  if (newest->revision() != snapshot_->revision()) {
    snapshot_ = std::move(newest);
    sync();
  }
  if (eligible_.empty()) return std::nullopt;
  const auto queue = [](const Candidate& one) { return one.load.used + one.load.waiting + one.outstanding; };
  const Candidate* chosen = nullptr;
  switch (policy_) {
    case SelectionPolicy::kRandom:
      chosen = any(now, random);
      break;
    case SelectionPolicy::kTwoChoices: {
      chosen = any(now, random);
      const auto* other = any(now, random);
      if (chosen == nullptr || (other != nullptr && queue(*other) < queue(*chosen))) chosen = other;
      break;
    }
    case SelectionPolicy::kLatency:
      chosen = quickest(now, random);
      break;
    case SelectionPolicy::kDaemon:
      chosen = neighbour(now, random);
      break;
  }
  if (chosen == nullptr) return std::nullopt;
  Pick pick;
  pick.peer = chosen->serial;
  pick.believed = queue(*chosen);
  pick.unvetted = !chosen->peer->vetted;
  pick.unvetted_share = static_cast<double>(unvetted_) / static_cast<double>(eligible_.size());
  ++find(pick.peer)->outstanding;
  if (auto* one = neighbours_.find(chosen->id)) ++one->outstanding;
  return pick;
}

void SelectionClient::served(PeerSerial peer, double first_byte_ms, double bytes_per_second, double whole_rate,
                             const Load& load, Time now) {
  auto* candidate = find(peer);
  if (candidate == nullptr) return;  // it has left the view in the meantime
  --candidate->outstanding;
  table_.note_stripe(candidate->id, first_byte_ms, bytes_per_second);
  auto* one = neighbours_.find(candidate->id);
  if (one == nullptr) return;
  --one->outstanding;
  SwarmNeighbours::served(*one);
  SwarmNeighbours::learn_speed(*one, whole_rate, typical_);
  learn(*candidate, load, now);
}

void SelectionClient::was_busy(PeerSerial peer, const Load& load, Time now, Random& random) {
  auto* candidate = find(peer);
  if (candidate == nullptr) return;
  --candidate->outstanding;
  candidate->not_before = now + kTurnedAwayFor + std::chrono::milliseconds(random.below(kTurnedAwayJitterMs));
  table_.note_contact(candidate->id);
  auto* one = neighbours_.find(candidate->id);
  if (one == nullptr) return;
  --one->outstanding;
  learn(*candidate, load, now);
  neighbours_.was_busy(*one, now, {}, random);
}

void SelectionClient::failed(PeerSerial peer, Time now) {
  auto* candidate = find(peer);
  if (candidate == nullptr) return;
  --candidate->outstanding;
  candidate->not_before = now + kFailedFor;
  table_.note_failure(candidate->id, Error(Errc::kTimeout, "no answer"));
  auto* one = neighbours_.find(candidate->id);
  if (one == nullptr) return;
  --one->outstanding;
  neighbours_.failed(*one, now, kFailedFor);
}

}  // namespace oxbow::p2p::sim
