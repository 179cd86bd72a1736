// The peer table (a selection cache): which peers may be selected, as an immutable snapshot that is read without locks
// (core/published.h), rebuilt on every change of a state (measures wait for the next tick) and at least every 30 s.
// Thread rule: PeerTable from any thread; snapshots are immutable. Lifetime: a snapshot is shared by who reads it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/metrics.h"
#include "core/published.h"
#include "p2p/load.h"
#include "p2p/ring.h"

namespace oxbow::p2p {

/// A peer's number, given when its name is first seen and never given to another name while the process lives.
/// 0 stands for upstream where both are sources.
using PeerId = std::uint32_t;
inline constexpr PeerId kNoPeer = 0;

enum class PeerState : std::uint8_t {
  kEligible,
  kDraining,      ///< said so in its hello
  kSuspended,     ///< sent bad bytes or a false list
  kRevoked,       ///< its certificate's identity was revoked
  kSilent,        ///< no contact within three probe intervals
  kCircuitOpen,   ///< requests failed in a row
  kIncompatible,  ///< no common protocol version
};
std::string_view to_string(PeerState state) noexcept;

struct Peer {
  PeerId id = kNoPeer;
  Member member;
  PeerState state = PeerState::kEligible;
  bool self = false;              ///< as the table's own node sees it; PeerSnapshot::is_self holds for every snapshot
  bool vetted = false;            ///< past probation: has served 32 verified stripes
  std::uint32_t near = 0;         ///< labels that its location shares with ours; PeerSnapshot::near, likewise
  double latency_ms = 0;          ///< EWMA of the time to the first byte; 0: unknown
  double goodput = 0;             ///< EWMA of bytes per second of one stripe; 0: unknown
  Load load;                      ///< as its last answer told it; no slots: unknown
  std::uint64_t incarnation = 0;  ///< of its process; another one: it has restarted and forgotten its soft state
};

/// What of a snapshot depends on its members only: their ring and where to find them. Snapshots share it until the
/// members change, because a ring of 10,000 takes a hundred times longer to build than a peer's state to replace.
class PeerIndex {
 public:
  explicit PeerIndex(std::span<const Peer> peers);
  PeerIndex(const PeerIndex&) = delete;
  PeerIndex& operator=(const PeerIndex&) = delete;

  const Ring& ring() const noexcept { return ring_; }
  std::optional<std::uint32_t> find(PeerId id) const noexcept;
  std::optional<std::uint32_t> find(std::string_view name) const noexcept;

 private:
  Ring ring_;
  std::vector<std::string> names_;
  std::unordered_map<PeerId, std::uint32_t> by_id_;
  std::unordered_map<std::string_view, std::uint32_t> by_name_;  ///< views into names_
};

class PeerSnapshot {
 public:
  PeerSnapshot();
  /// `peers` in the order of the ring's members.
  PeerSnapshot(std::vector<Peer> peers, std::uint64_t revision);
  /// `index`: of the same members in the same order.
  PeerSnapshot(std::vector<Peer> peers, std::uint64_t revision, std::shared_ptr<const PeerIndex> index);
  /// The same peers as another of them, `viewer`, sees them: it shares them with `common`, so that a simulation has
  /// 100,000 nodes' views of 100,000 peers. No peer of `common` is marked as self.
  PeerSnapshot(const PeerSnapshot& common, PeerId viewer);

  const std::vector<Peer>& peers() const noexcept { return *peers_; }
  const Ring& ring() const noexcept { return index_->ring(); }
  std::uint64_t revision() const noexcept { return revision_; }
  PeerId self() const noexcept { return self_; }
  bool is_self(const Peer& peer) const noexcept { return peer.id == self_; }
  /// Labels that its location shares with this node's.
  std::uint32_t near(const Peer& peer) const noexcept;
  const Peer* find(PeerId id) const noexcept;
  const Peer* find(std::string_view name) const noexcept;
  /// The first `count` eligible peers in ring order for the key, this node among them where it is its turn.
  std::vector<PeerId> ranked(Key key, std::size_t count) const;
  /// Eligible peers without this node.
  std::size_t eligible_others() const noexcept { return eligible_others_; }
  /// Those of them that are past probation.
  std::size_t vetted_others() const noexcept { return vetted_others_; }

 private:
  std::shared_ptr<const std::vector<Peer>> peers_;
  std::shared_ptr<const PeerIndex> index_;
  std::uint64_t revision_ = 0;
  PeerId self_ = kNoPeer;
  const Peer* viewer_ = nullptr;  ///< of a shared view
  std::size_t eligible_others_ = 0;
  std::size_t vetted_others_ = 0;
};

struct PeerTableOptions {
  std::chrono::milliseconds probe_interval{5'000};
  std::chrono::milliseconds rebuild_interval{30'000};
  std::uint32_t vetted_after_stripes = 32;
  std::uint32_t circuit_failures = 3;                 ///< in a row
  std::chrono::milliseconds circuit_open_min{1'000};  ///< doubling
  std::chrono::milliseconds circuit_open_max{30'000};
  std::chrono::milliseconds suspension{600'000};    ///< doubling
  std::chrono::milliseconds forget_after{600'000};  ///< out of the view for so long, and not suspended
  std::size_t members_max = 20'000;                 ///< of a view; also of those remembered that have left it
  std::size_t rebuild_at_once_max = 512;  ///< above, what hellos tell of names and weights waits for the next tick
};

/// What a hello tells of a peer.
struct PeerFacts {
  std::string name;
  std::vector<std::string> location;
  double weight = 1;
  std::uint32_t protocol_oldest = 1;
  std::uint32_t protocol_newest = 1;
  std::uint64_t incarnation = 0;
  bool draining = false;

  bool operator==(const PeerFacts&) const = default;
};

/// Whom to say hello to.
struct ProbeTarget {
  PeerId peer = kNoPeer;
  std::string address;
  bool by_address = false;  ///< its name is not known, or was learned and may have changed: ask who is at `address`
  bool unnamed = false;
};

/// Members that are known by address only get an id but no place in the snapshot before a hello has told their name: a
/// place that does not come from the name would be one that other nodes disagree about, and a certificate could not be
/// checked.
class PeerTable {
 public:
  PeerTable(Member self, PeerTableOptions options, const Clock& clock, MetricsRegistry& metrics);
  ~PeerTable();
  PeerTable(const PeerTable&) = delete;
  PeerTable& operator=(const PeerTable&) = delete;

  std::shared_ptr<const PeerSnapshot> snapshot() const noexcept { return snapshot_.read(); }
  /// Called after every change with the new snapshot, on the thread that made the change, never under a lock: of two
  /// changes at once the older may be told later (`revision` tells). Registered at start.
  using OnChange = std::function<void(const std::shared_ptr<const PeerSnapshot>&)>;
  void on_change(OnChange listener);
  /// Called when a hello shows that a peer's process is another one than before. As `on_change`.
  using OnRestart = std::function<void(PeerId)>;
  void on_restart(OnRestart listener);

  // What feeds it:
  /// A membership view, without or with this node. What the view says of this node adds to `self`: its addresses, and
  /// its location and weight where `self` has none (a weight of 1). Of more than `members_max` the end is ignored.
  void set_members(std::vector<Member> members);
  void set_revoked(std::vector<std::string> names);
  /// It answered our hello.
  void note_hello(PeerId peer, const PeerFacts& facts);
  /// Whoever is at `address` answered our hello: names a member that was known by address only, or known by a name that
  /// it no longer has. Returns its id; kNoPeer: membership knows neither the address nor the name.
  PeerId note_hello_at(const std::string& address, const PeerFacts& facts);
  /// It said hello to us. Its facts count; that we reach it is not said by it, so it is no contact.
  void note_greeting(PeerId peer, const PeerFacts& facts);
  /// Likewise, whose name is not known, and which says that it is at `address`: believed while no name is known there.
  /// Else that address is asked soon, and who answers there has it. Returns as `note_hello_at`.
  PeerId note_claim(const std::string& address, const PeerFacts& facts);
  void note_contact(PeerId peer, std::optional<Load> load = {});  ///< any answer, and the load that it told
  void note_failure(PeerId peer, const Error& error);             ///< no answer, a broken connection, no progress
  void note_stripe(PeerId peer, double first_byte_ms, double bytes_per_second);  ///< served and verified
  void suspend(PeerId peer, std::string_view why);                               ///< bad bytes: 10 min, doubling
  void tick();  ///< every second or so: expiries, the staleness bound

  /// At most so many members that were neither heard of nor asked within the probe interval, longest ago first; unnamed
  /// ones are asked a second after the first time and then at doubled times. They count as asked now.
  std::vector<ProbeTarget> take_probe_targets(std::size_t named_max, std::size_t unnamed_max);

  /// At most so many eligible others, those first that were heard of last.
  std::vector<PeerId> heard_of_last(std::size_t most) const;

  /// Members whose name no hello has told yet.
  std::size_t unnamed() const;

  /// Whether to pick `peer` among equals now, by the probation rule: a bounded share for new peers while at least half
  /// are vetted. `draw` is a uniform number in [0, 1).
  static bool passes_probation(const PeerSnapshot& snapshot, const Peer& peer, double share, double draw) noexcept;

 private:
  struct Entry;
  struct Told;  ///< what a change has to tell the listeners
  enum class Heard : std::uint8_t { kAnswer, kGreeting };
  using EntryPtr = std::shared_ptr<Entry>;
  using Now = Clock::Steady;

  template <typename Change>
  void change(PeerId peer, Change change_entry);  ///< of one entry, and what follows from it
  void tell(Told told);

  // Under the lock (peer_roster.cc):
  void apply_view(Now now);
  std::string name_for(const Member& member) const;
  std::string known_at(const std::string& address) const;
  EntryPtr make_entry(Now now);
  EntryPtr entry_for(const std::string& name, const std::vector<std::string>& addresses, Now now);
  void adopt_unnamed(const EntryPtr& entry, const std::vector<std::string>& addresses);
  void keep_unnamed(const std::vector<Member>& unnamed, Now now);
  void forget_departed(Now now);
  void forget_addresses();
  void drop_ids(const Entry& entry);
  const Member* named_by_view(const std::string& address) const;
  bool in_view(const std::string& address) const;
  EntryPtr find(PeerId peer) const;
  EntryPtr find(const std::string& name, const std::string& address) const;

  // Under the lock (peer_table.cc):
  PeerId take_at(const std::string& address, const PeerFacts& facts, Heard heard, Now now, Told& told);
  bool may_claim(const std::string& address, const std::string& name);
  void take_facts(Entry& entry, const PeerFacts& facts, Heard heard, Now now, Told& told);
  void members_changed(Now now, Told& told);
  void rebuild(Now now, Told& told);
  Peer describe(const Entry& entry, Now now) const;
  PeerState state_of(const Entry& entry, Now now) const;
  bool outdated(const Entry& entry, Now now) const;
  bool past_probation(const Entry& entry) const;
  double weight_of(const Entry& entry) const;
  void count_states();

  const Member self_;
  const PeerTableOptions options_;
  const Clock& clock_;
  prometheus::Family<Gauge>& states_;
  Counter& suspensions_;
  Counter& circuits_opened_;
  Counter& members_limit_;

  mutable std::mutex mutex_;
  std::vector<Member> view_;
  std::vector<std::string> own_location_;                 ///< of `self`; the view's where it has none
  std::unordered_map<std::string, std::string> name_at_;  ///< learned by hellos, by address
  std::unordered_map<std::string, EntryPtr> entries_;     ///< by name, those that have left the view too
  std::unordered_map<std::string, EntryPtr> unnamed_;     ///< by their first address
  std::unordered_map<PeerId, EntryPtr> by_id_;            ///< an entry that absorbed others has several
  std::vector<EntryPtr> order_;                           ///< of the snapshot's peers: by name
  std::vector<std::string> revoked_;                      ///< sorted
  std::shared_ptr<const PeerIndex> index_;
  PeerId next_id_ = 1;
  std::uint64_t revision_ = 0;
  Now built_{};
  bool measures_changed_ = false;  ///< the next tick publishes them
  bool members_changed_ = false;   ///< the next tick applies them
  std::vector<OnChange> on_change_;
  std::vector<OnRestart> on_restart_;
  Published<PeerSnapshot> snapshot_;
};

}  // namespace oxbow::p2p
