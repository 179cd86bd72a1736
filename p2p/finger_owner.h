// The owner's half of `fingers`: who may fetch a stripe from upstream, and who has been given it. The owner has no
// credential of the client, so it gives the right to the first client that asks (a lease), and sends everybody after it
// to that one: it has the stripe, or is getting it. That is remembered after the lease has ended, until the holder
// turns out not to have it. Soft state; a node that is asked as owner acts as one.
// Thread rule: any thread; pure but for its lock. Lifetime: one a node.
#pragma once

#include <deque>
#include <mutex>
#include <unordered_map>

#include "core/digest.h"
#include "core/metrics.h"
#include "p2p/strategy.h"

namespace oxbow::p2p {

struct FingerOwnerOptions {
  std::chrono::milliseconds lease{2'000};    ///< so long a holder may be without a stripe that it was given,
  std::chrono::milliseconds next{250};       ///< and so much longer for each that it gets before
  std::chrono::milliseconds barred{15'000};  ///< so long whoever stood still is given nothing
  std::size_t stripes = 262'144;             ///< remembered at most; the longest known goes first
};

class FingerOwner {
 public:
  explicit FingerOwner(FingerOwnerOptions options = {}, Counter* limit_hits = nullptr)
      : options_(options), limit_hits_(limit_hits) {}

  struct Turn {
    enum class Kind : std::uint8_t {
      kFetch,   ///< the client has the lease: of this stripe and those after it that it wants and nobody else was given
      kHolder,  ///< ask `holder`
      kNobody,  ///< nobody was given it, and the client may not fetch, or stood still lately
    };
    Kind kind = Kind::kNobody;
    PeerId holder = kNoPeer;
  };
  /// `wants`: how many stripes from this one on `client` would fetch, of this span; 0: it may not.
  Turn ask(Time now, const Digest& digest, std::uint32_t stripe, PeerId client, std::uint32_t wants);
  /// The holder gives it: it has more time for the rest of its span.
  void given(Time now, const Digest& digest, std::uint32_t stripe, PeerId holder);
  /// The holder was asked and did not give it. True: forgotten, so ask again; false: it has time until its lease ends.
  /// `why`: kNotFound (not there, nor coming); anything else means that the holder cannot be had, so that what comes
  /// after it in the same request is forgotten too. `late`: no answer has begun in time, which on full links says
  /// little before the lease ends.
  bool not_given(Time now, const Digest& digest, std::uint32_t stripe, PeerId holder, Errc why, bool late = false);

  std::size_t stripes() const;

 private:
  struct Key {
    Digest digest;
    std::uint32_t stripe;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept {
      return Digest::Hash()(key.digest) + key.stripe * 0x9e3779b97f4a7c15ULL;
    }
  };
  struct Given {
    PeerId holder = kNoPeer;
    Time until{0};
  };
  void give(const Key& key, PeerId client, Time until);
  bool barred(Time now, PeerId client);

  const FingerOwnerOptions options_;
  Counter* limit_hits_;
  mutable std::mutex mutex_;
  std::unordered_map<Key, Given, Hash> given_;
  std::deque<Key> order_;
  std::vector<std::pair<PeerId, Time>> barred_;  ///< a few; forgotten in time
};

}  // namespace oxbow::p2p
