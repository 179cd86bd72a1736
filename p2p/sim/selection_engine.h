// The events of one run: requests arrive, are picked for, wait, are sent, turned away or lost; peers die and are
// replaced; clients refresh. Part of p2p/sim/selection.
// Thread rule: one thread. Lifetime: one run.
#pragma once

#include <queue>
#include <vector>

#include "p2p/sim/runs.h"
#include "p2p/sim/selection_client.h"

namespace oxbow::p2p::sim {

struct SelectionSetup {
  std::uint32_t nodes = 0;
  SelectionPolicy policy = SelectionPolicy::kRandom;
  double refresh_s = 0;
  double probation_share = 0;
  double leaves = 0;
  double slow_joiners = 0;  ///< share of those that join
};

class SelectionEngine {
 public:
  SelectionEngine(const SelectionOptions& options, const SelectionSetup& setup, std::uint64_t seed);

  struct Counts {
    std::vector<double> ms;  ///< of each stripe that was asked for in the measured time
    std::uint64_t picks = 0;
    std::uint64_t dead = 0;
    std::uint64_t stale = 0;
    std::uint64_t busy = 0;
    std::uint64_t unvetted = 0;
    double unvetted_share = 0;          ///< sum over picks
    std::vector<double> served;         ///< by place: in the measured time
    std::vector<bool> fast_throughout;  ///< by place: one peer that lived through all of it and is not slow
  };
  /// Runs to the end, or until cancelled.
  Counts run(const Progress& progress);

 private:
  enum class Kind : std::uint8_t { kArrival, kDispatch, kEnd, kGiveUp, kTimeout, kRefresh, kDeath };
  struct Event {
    Micros at = 0;
    std::uint64_t number = 0;  ///< breaks ties
    Kind kind = Kind::kArrival;
    std::uint32_t who = 0;
    std::uint64_t stamp = 0;
    bool operator>(const Event& other) const { return at != other.at ? at > other.at : number > other.number; }
  };
  struct Place {
    PeerSerial peer = 0;
    bool slow = false;
    bool fast_throughout = true;
    SelectionServer server;
    std::uint64_t served = 0;
  };
  struct Request {
    std::uint32_t client = 0;
    PeerSerial peer = 0;
    Micros arrived = 0;
    Micros sent = 0;
    Micros begun = 0;
    std::uint32_t turned_away = 0;  ///< in a row
    std::uint64_t attempt = 0;      ///< never the same twice
  };

  void at(Micros when, Kind kind, std::uint32_t who, std::uint64_t stamp = 0) {
    events_.push({when, ++numbers_, kind, who, stamp});
  }
  void handle(const Event& event);
  void arrival(std::uint32_t client);
  void dispatch(RequestId id);
  void send(RequestId id, const SelectionClient::Pick& pick);
  void turned_away(RequestId id);
  void end(std::uint32_t place, std::uint64_t version);
  void give_up(RequestId id, std::uint64_t attempt);
  void timeout(RequestId id, std::uint64_t attempt);
  void refresh(std::uint32_t client);
  void death();
  void schedule_end(std::uint32_t place);
  void begin_waiting(std::uint32_t place);
  RequestId new_request(std::uint32_t client);
  PeerSerial any_peer() { return places_[random_.below(setup_.nodes)].peer; }
  Place make_place(double slow_share);
  bool lives(PeerSerial peer) const { return places_[place_of_[peer]].peer == peer; }
  bool measured() const { return now_ >= measured_from_; }
  Time time() const { return Time(now_ / 1000); }

  const SelectionOptions& options_;
  const SelectionSetup setup_;
  Random random_;
  Micros now_ = 0;
  Micros measured_from_ = 0;
  Micros end_ = 0;
  std::uint64_t numbers_ = 0;
  std::uint64_t under_way_ = 0;
  ManualClock clock_;
  MetricsRegistry metrics_;
  std::vector<Place> places_;
  std::vector<std::uint32_t> place_of_;  ///< by serial
  std::vector<std::unique_ptr<SelectionClient>> clients_;
  std::vector<Request> requests_;
  std::vector<RequestId> free_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  Counts counts_;
};

}  // namespace oxbow::p2p::sim
