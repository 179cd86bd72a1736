#include "p2p/peer_table.h"

#include <algorithm>
#include <array>

#include "core/log.h"
#include "p2p/peer_entry.h"

namespace oxbow::p2p {
namespace {

constexpr std::array kStates{PeerState::kEligible,    PeerState::kDraining, PeerState::kSuspended,
                             PeerState::kRevoked,     PeerState::kSilent,   PeerState::kCircuitOpen,
                             PeerState::kIncompatible};

/// The last sample counts a fifth: ten stripes forget what was before.
constexpr double kEwmaWeight = 0.2;
double ewma(double average, double sample) {
  return average == 0 ? sample : average + kEwmaWeight * (sample - average);
}

constexpr std::chrono::milliseconds kUnnamedRetryMax{30'000};

/// Errors that are answers, or our own doing: they say nothing against the peer.
bool blames_nobody(Errc code) {
  return code == Errc::kCancelled || code == Errc::kBusy || code == Errc::kThrottled || code == Errc::kLimit ||
         code == Errc::kNotFound;
}

}  // namespace

PeerTable::PeerTable(Member self, PeerTableOptions options, const Clock& clock, MetricsRegistry& metrics)
    : self_(std::move(self)),
      options_(options),
      clock_(clock),
      states_(
          gauge_family(metrics, "oxbow_peers", "Other members by state; unnamed: no hello has told their name yet")),
      suspensions_(counter_family(metrics, "oxbow_peer_suspensions_total", "Peers suspended for bad bytes").Add({})),
      circuits_opened_(
          counter_family(metrics, "oxbow_peer_circuits_opened_total", "Times a peer's circuit breaker opened").Add({})),
      members_limit_(limit_counter(metrics, "peer_members")) {
  OXBOW_INVARIANT(!self_.name.empty());
  Told told;
  const std::lock_guard lock(mutex_);
  apply_view(clock_.steady());
  rebuild(clock_.steady(), told);
}

PeerTable::~PeerTable() = default;

void PeerTable::on_change(OnChange listener) {
  const std::lock_guard lock(mutex_);
  on_change_.push_back(std::move(listener));
}

void PeerTable::on_restart(OnRestart listener) {
  const std::lock_guard lock(mutex_);
  on_restart_.push_back(std::move(listener));
}

template <typename Change>
void PeerTable::change(PeerId peer, Change change_entry) {
  Told told;
  {
    const std::lock_guard lock(mutex_);
    const EntryPtr entry = find(peer);
    if (entry == nullptr) return;
    const auto now = clock_.steady();
    change_entry(*entry, now, told);
    if (outdated(*entry, now)) rebuild(now, told);
  }
  tell(std::move(told));
}

void PeerTable::tell(Told told) {
  if (told.snapshot != nullptr) {
    for (const auto& listener : told.on_change) listener(told.snapshot);
  }
  for (const auto peer : told.restarted) {
    for (const auto& listener : told.on_restart) listener(peer);
  }
}

void PeerTable::set_members(std::vector<Member> members) {
  Told told;
  {
    const std::lock_guard lock(mutex_);
    if (members.size() > options_.members_max) {
      members_limit_.Increment();
      log::warn("the membership view is too large, its end is ignored",
                {{"members", members.size()}, {"limit", options_.members_max}});
      members.resize(options_.members_max);
    }
    if (members == view_) return;
    view_ = std::move(members);
    forget_addresses();
    const auto now = clock_.steady();
    apply_view(now);
    rebuild(now, told);
  }
  tell(std::move(told));
}

void PeerTable::set_revoked(std::vector<std::string> names) {
  std::ranges::sort(names);
  Told told;
  {
    const std::lock_guard lock(mutex_);
    if (names == revoked_) return;
    revoked_ = std::move(names);
    rebuild(clock_.steady(), told);
  }
  tell(std::move(told));
}

void PeerTable::take_facts(Entry& entry, const PeerFacts& facts, Heard heard, Now now, Told& told) {
  const auto before = entry.facts ? entry.facts->incarnation : 0;
  const bool restarted = before != 0 && before != facts.incarnation;
  if (restarted) {
    told.restarted.push_back(entry.id);
    told.on_restart = on_restart_;
  }
  const bool fresh = restarted || (heard == Heard::kGreeting && !entry.facts);
  if (fresh) {
    entry.health.restarted(now);
  } else if (heard == Heard::kAnswer) {
    entry.health.hello(now);
  }
  if (heard == Heard::kGreeting) entry.health.greeted(now, fresh, options_);
  if (entry.facts == facts) return;
  const double weight_before = weight_of(entry);
  entry.facts = facts;
  entry.facts_changed = true;
  if (weight_of(entry) != weight_before && !entry.name.empty()) members_changed(now, told);
}

void PeerTable::note_hello(PeerId peer, const PeerFacts& facts) {
  std::string address;
  change(peer, [&](Entry& entry, Now now, Told& told) {
    if (entry.name == facts.name) {
      take_facts(entry, facts, Heard::kAnswer, now, told);
    } else if (entry.name_from_view) {
      log::warn("a peer says that it is another one", {{"peer", entry.name}, {"says", facts.name}});
      if (entry.health.failure(now, options_)) circuits_opened_.Increment();
    } else if (!entry.from_view.addresses.empty()) {
      address = entry.from_view.addresses.front();
    }
  });
  if (!address.empty()) note_hello_at(address, facts);
}

PeerId PeerTable::note_hello_at(const std::string& address, const PeerFacts& facts) {
  Told told;
  PeerId peer = kNoPeer;
  {
    const std::lock_guard lock(mutex_);
    if (const auto* named = named_by_view(address); named != nullptr && named->name != facts.name) {
      log::warn("a member's address answers with another name",
                {{"peer", named->name}, {"address", address}, {"says", facts.name}});
      return kNoPeer;
    }
    peer = take_at(address, facts, Heard::kAnswer, clock_.steady(), told);
  }
  tell(std::move(told));
  return peer;
}

PeerId PeerTable::note_claim(const std::string& address, const PeerFacts& facts) {
  Told told;
  PeerId peer = kNoPeer;
  {
    const std::lock_guard lock(mutex_);
    if (!may_claim(address, facts.name)) return kNoPeer;
    peer = take_at(address, facts, Heard::kGreeting, clock_.steady(), told);
  }
  tell(std::move(told));
  return peer;
}

void PeerTable::note_greeting(PeerId peer, const PeerFacts& facts) {
  change(peer, [&](Entry& entry, Now now, Told& told) {
    if (entry.name == facts.name) take_facts(entry, facts, Heard::kGreeting, now, told);
  });
}

/// Every certificate of the CA can claim any address; only who answers there shows that it is there.
bool PeerTable::may_claim(const std::string& address, const std::string& name) {
  const auto known = known_at(address);
  if (known.empty() || known == name || std::ranges::binary_search(revoked_, known)) return true;
  const auto it = entries_.find(known);
  if (it == entries_.end()) return false;
  auto& entry = *it->second;
  if (std::ranges::find(entry.contested, address) != entry.contested.end()) return false;
  log::info("a peer says that it is at another one's address", {{"peer", known}, {"address", address}, {"says", name}});
  if (!entry.self && !entry.name_from_view) entry.contested.push_back(address);
  return false;
}

PeerId PeerTable::take_at(const std::string& address, const PeerFacts& facts, Heard heard, Now now, Told& told) {
  if (facts.name.empty()) return kNoPeer;
  EntryPtr entry = find(facts.name, address);
  if (in_view(address) && name_at_[address] != facts.name) {
    name_at_[address] = facts.name;
    members_changed(now, told);
    if (entry == nullptr && members_changed_) {  // an address that was another's: there is no entry to wait with
      apply_view(now);
      rebuild(now, told);
    }
    entry = find(facts.name, address);
  }
  if (entry == nullptr) return kNoPeer;
  take_facts(*entry, facts, heard, now, told);
  if (outdated(*entry, now)) rebuild(now, told);
  return entry->id;
}

void PeerTable::note_contact(PeerId peer, std::optional<Load> load) {
  change(peer, [&](Entry& entry, Now now, Told&) {
    entry.health.contact(now);
    if (!load || *load == entry.load) return;
    entry.load = *load;
    measures_changed_ = true;
  });
}

void PeerTable::note_failure(PeerId peer, const Error& error) {
  if (blames_nobody(error.code())) return;
  change(peer, [&](Entry& entry, Now now, Told&) {
    if (!entry.health.failure(now, options_)) return;
    circuits_opened_.Increment();
    const auto level = entry.health.openings() == 1 ? log::Level::kInfo : log::Level::kDebug;
    log::write(level, "a peer does not answer", {{"peer", entry.name}, log::Field(error)});
  });
}

void PeerTable::note_stripe(PeerId peer, double first_byte_ms, double bytes_per_second) {
  change(peer, [&](Entry& entry, Now now, Told&) {
    entry.health.served(now);
    ++entry.stripes;
    entry.latency_ms = ewma(entry.latency_ms, first_byte_ms);
    entry.goodput = ewma(entry.goodput, bytes_per_second);
    measures_changed_ = true;
  });
}

void PeerTable::suspend(PeerId peer, std::string_view why) {
  change(peer, [&](Entry& entry, Now now, Told&) {
    if (entry.self || !entry.health.suspend(now, options_)) return;
    suspensions_.Increment();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(entry.health.suspended_until() - now);
    log::warn("suspended a peer", {{"peer", entry.name}, {"why", why}, {"seconds", seconds.count()}});
  });
}

void PeerTable::tick() {
  Told told;
  {
    const std::lock_guard lock(mutex_);
    const auto now = clock_.steady();
    if (members_changed_) apply_view(now);
    forget_departed(now);
    const bool due = index_ == nullptr || measures_changed_ || now - built_ >= options_.rebuild_interval ||
                     std::ranges::any_of(order_, [&](const auto& entry) { return outdated(*entry, now); });
    if (due) rebuild(now, told);
  }
  tell(std::move(told));
}

std::vector<ProbeTarget> PeerTable::take_probe_targets(std::size_t named_max, std::size_t unnamed_max) {
  const std::lock_guard lock(mutex_);
  const auto now = clock_.steady();
  std::vector<EntryPtr> named;
  std::vector<EntryPtr> unnamed;
  // Whose address is contested is asked although it may be heard of all the time.
  const auto since = [](const Entry& entry) {
    return entry.contested.empty() ? entry.health.last_try() : entry.health.last_question();
  };
  const auto due = [&](const Entry& entry) { return now - since(entry) >= options_.probe_interval; };
  for (const auto& entry : order_) {
    if (!entry->self && due(*entry) && state_of(*entry, now) != PeerState::kRevoked) named.push_back(entry);
  }
  for (const auto& [address, entry] : unnamed_) {
    const auto wait = std::min(kUnnamedRetryMax, std::chrono::milliseconds(500LL << std::min(entry->asked, 10U)));
    if (!entry->facts && now - entry->health.last_try() >= wait) unnamed.push_back(entry);
  }
  std::vector<ProbeTarget> targets;
  const auto take = [&](std::vector<EntryPtr>& entries, std::size_t most) {
    // Among thousands a turn comes after minutes, and until then it would be left out for one question that was lost.
    std::ranges::sort(entries, {}, [&](const EntryPtr& entry) {
      return std::tuple(!entry->health.in_doubt(), since(*entry), entry->id);
    });
    if (entries.size() > most) entries.resize(most);
    for (const auto& entry : entries) {
      const auto& addresses = entry->from_view.addresses;
      ProbeTarget target;
      target.peer = entry->id;
      target.unnamed = entry->name.empty();
      if (!addresses.empty()) target.address = addresses[entry->asked++ % addresses.size()];
      target.by_address =
          target.unnamed || (!entry->name_from_view && !target.address.empty() && entry->health.silent(now, options_));
      if (!entry->contested.empty()) {
        target.address = std::move(entry->contested.front());
        entry->contested.erase(entry->contested.begin());
        target.by_address = true;
      }
      entry->health.probed(now);
      targets.push_back(std::move(target));
    }
  };
  take(named, named_max);
  take(unnamed, unnamed_max);
  return targets;
}

std::vector<PeerId> PeerTable::heard_of_last(std::size_t most) const {
  const std::lock_guard lock(mutex_);
  const auto now = clock_.steady();
  std::vector<EntryPtr> entries;
  for (const auto& entry : order_) {
    if (!entry->self && state_of(*entry, now) == PeerState::kEligible) entries.push_back(entry);
  }
  std::ranges::sort(entries, std::ranges::greater(),
                    [](const EntryPtr& entry) { return entry->health.last_contact(); });
  if (entries.size() > most) entries.resize(most);
  std::vector<PeerId> peers;
  for (const auto& entry : entries) peers.push_back(entry->id);
  return peers;
}

std::size_t PeerTable::unnamed() const {
  const std::lock_guard lock(mutex_);
  return unnamed_.size();
}

bool PeerTable::passes_probation(const PeerSnapshot& snapshot, const Peer& peer, double share, double draw) noexcept {
  if (snapshot.is_self(peer) || peer.vetted) return true;
  if (snapshot.vetted_others() * 2 < snapshot.eligible_others()) return true;
  return draw < share;
}

bool PeerTable::past_probation(const Entry& entry) const { return entry.stripes >= options_.vetted_after_stripes; }

double PeerTable::weight_of(const Entry& entry) const {
  return entry.facts && !entry.self ? entry.facts->weight : entry.from_view.weight;
}

PeerState PeerTable::state_of(const Entry& entry, Now now) const {
  if (std::ranges::binary_search(revoked_, entry.name)) return PeerState::kRevoked;
  if (entry.self) return PeerState::kEligible;
  const auto oldest = entry.facts ? entry.facts->protocol_oldest : entry.from_view.protocol_oldest;
  const auto newest = entry.facts ? entry.facts->protocol_newest : entry.from_view.protocol_newest;
  if (oldest > self_.protocol_newest || newest < self_.protocol_oldest) return PeerState::kIncompatible;
  return entry.health.state(now, options_, entry.facts && entry.facts->draining);
}

bool PeerTable::outdated(const Entry& entry, Now now) const {
  if (entry.name.empty() || entry.departed) return false;
  return entry.facts_changed || entry.told_vetted != past_probation(entry) || entry.told_state != state_of(entry, now);
}

Peer PeerTable::describe(const Entry& entry, Now now) const {
  Peer peer;
  peer.id = entry.id;
  peer.state = state_of(entry, now);
  peer.self = entry.self;
  peer.member = entry.from_view;
  peer.member.name = entry.name;
  if (entry.facts && !entry.self) {  // what this node says of itself comes from here
    if (!entry.facts->location.empty()) peer.member.location = entry.facts->location;
    peer.member.weight = entry.facts->weight;
    peer.member.protocol_oldest = entry.facts->protocol_oldest;
    peer.member.protocol_newest = entry.facts->protocol_newest;
    peer.incarnation = entry.facts->incarnation;
  }
  peer.vetted = past_probation(entry);
  peer.near = shared_labels(own_location_, peer.member.location);
  peer.latency_ms = entry.latency_ms;
  peer.goodput = entry.goodput;
  peer.load = entry.load;
  return peer;
}

void PeerTable::members_changed(Now now, Told& told) {
  members_changed_ = true;
  if (order_.size() + unnamed_.size() > options_.rebuild_at_once_max) return;
  apply_view(now);
  rebuild(now, told);
}

void PeerTable::rebuild(Now now, Told& told) {
  std::vector<Peer> peers;
  peers.reserve(order_.size());
  for (const auto& entry : order_) {
    peers.push_back(describe(*entry, now));
    entry->told_state = peers.back().state;
    entry->told_vetted = peers.back().vetted;
    entry->facts_changed = false;
  }
  if (index_ == nullptr) index_ = std::make_shared<PeerIndex>(peers);
  auto next = std::make_shared<const PeerSnapshot>(std::move(peers), ++revision_, index_);
  snapshot_.publish(next);
  built_ = now;
  measures_changed_ = false;
  count_states();
  told.snapshot = std::move(next);
  told.on_change = on_change_;
}

void PeerTable::count_states() {
  std::array<std::size_t, kStates.size()> count{};
  for (const auto& entry : order_) {
    if (!entry->self) ++count[static_cast<std::size_t>(entry->told_state)];
  }
  for (const auto state : kStates) {
    const auto peers = static_cast<double>(count[static_cast<std::size_t>(state)]);
    states_.Add({{"state", std::string(to_string(state))}}).Set(peers);
  }
  states_.Add({{"state", "unnamed"}}).Set(static_cast<double>(unnamed_.size()));
}

}  // namespace oxbow::p2p
