// Whom this node has given a stripe to of late: they have it, or will soon, so a busy answer names them. A node that
// has completed its blob follows nobody's have map any more, and knows of other holders by nothing else. Thread rule:
// any thread. Lifetime: one a peer service.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "p2p/peer_table.h"

namespace oxbow::p2p {

class StripeReceivers {
 public:
  static constexpr std::size_t kStripes = 4'096;  ///< remembered at most, 100 bytes each: the oldest go first
  static constexpr std::size_t kEach = 4;         ///< receivers of one stripe: the latest

  /// `what`: a number for the stripe (UploadSlots::acquire).
  void add(std::uint64_t what, PeerId receiver);
  /// The latest first.
  std::vector<PeerId> of(std::uint64_t what) const;

 private:
  struct Entry {
    std::array<PeerId, kEach> peers = {};
    std::uint32_t count = 0;  ///< that were ever added; the next goes to this place, modulo kEach
  };

  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, Entry> stripes_;
  std::deque<std::uint64_t> by_age_;
};

}  // namespace oxbow::p2p
