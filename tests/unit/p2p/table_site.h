// A peer table of the node `self` on a clock of its own.
#pragma once

#include "p2p/peer_table.h"

namespace oxbow::p2p {

inline Member member(std::string name, std::vector<std::string> addresses = {}) {
  Member member;
  member.name = std::move(name);
  member.addresses = std::move(addresses);
  return member;
}

inline std::vector<Member> named(const std::vector<std::string>& names) {
  std::vector<Member> members;
  for (const auto& name : names) members.push_back(member(name, {name + ":5051"}));
  return members;
}

/// Known by address only.
inline std::vector<Member> at(const std::vector<std::string>& addresses) {
  std::vector<Member> members;
  for (const auto& address : addresses) members.push_back(member("", {address}));
  return members;
}

inline PeerFacts facts(std::string name, std::uint64_t incarnation = 1) {
  PeerFacts facts;
  facts.name = std::move(name);
  facts.incarnation = incarnation;
  return facts;
}

struct TableSite {
  explicit TableSite(PeerTableOptions options = {})
      : table_(member("self", {"self:5051"}), options, clock_, metrics_) {}

  PeerId id(std::string_view name) const {
    const auto snapshot = table_.snapshot();
    const auto* peer = snapshot->find(name);
    return peer == nullptr ? kNoPeer : peer->id;
  }
  PeerState state(std::string_view name) const { return table_.snapshot()->find(name)->state; }
  void pass(std::chrono::milliseconds time) {
    clock_.advance(time);
    table_.tick();
  }
  double gauge(const std::string& state) {
    return gauge_family(metrics_, "oxbow_peers", "").Add({{"state", state}}).Value();
  }

  ManualClock clock_;
  MetricsRegistry metrics_;
  PeerTable table_;
};

}  // namespace oxbow::p2p
