// What the peer table keeps of one member. Internal to peer_table.cc and peer_roster.cc; lives under the table's lock.
#pragma once

#include "p2p/peer_health.h"
#include "p2p/peer_table.h"

namespace oxbow::p2p {

struct PeerTable::Entry {
  Entry(PeerId number, Now now) : id(number), health(now) {}

  PeerId id;
  std::vector<PeerId> aliases = {};  ///< of entries that turned out to be this one
  std::string name = {};             ///< empty: unnamed
  bool self = false;
  bool name_from_view = false;  ///< else learned by a hello at one of its addresses
  Member from_view = {};
  std::optional<PeerFacts> facts = {};  ///< of its last hello; they speak before the view
  std::optional<Now> departed = {};     ///< since when no view has it
  PeerHealth health;
  std::uint32_t stripes = 0;                ///< served and verified
  std::uint32_t asked = 0;                  ///< times its address was asked for its name
  std::vector<std::string> contested = {};  ///< of its addresses: another name says that it is there
  double latency_ms = 0;
  double goodput = 0;
  Load load = {};

  // As the snapshot tells it:
  PeerState told_state = PeerState::kEligible;
  bool told_vetted = false;
  bool facts_changed = false;
};

struct PeerTable::Told {
  std::shared_ptr<const PeerSnapshot> snapshot = nullptr;
  std::vector<OnChange> on_change = {};
  std::vector<PeerId> restarted = {};
  std::vector<OnRestart> on_restart = {};
};

}  // namespace oxbow::p2p
