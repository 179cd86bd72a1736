// What the peer service needs of a node that is asked to preheat: `mirror/` implements it; the tests have a fake.
// Thread rule: any thread, and nothing blocks. Lifetime: outlives the service.
#pragma once

#include <string>
#include <string_view>

#include "p2p/protocol/preheat.h"

namespace oxbow::p2p {

class PeerPreheats {
 public:
  virtual ~PeerPreheats() = default;
  /// Starts it, or says how the one of that id is; one that was not done begins again. `from`: the peer that asks.
  /// Errors: kBusy (too many wait), kInvalid, kNotFound (no such registry here), kDenied (a repository that is not
  /// served here).
  virtual Result<PreheatReport> start(const std::string& from, const PreheatAsk& ask) = 0;
  /// Errors: kNotFound (never heard of, or forgotten in a restart: ask again).
  virtual Result<PreheatReport> report(std::string_view id) = 0;
  virtual Result<PreheatReport> cancel(std::string_view id) = 0;
};

}  // namespace oxbow::p2p
