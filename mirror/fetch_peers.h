// The ring as the fetching of a blob sees it: who the peers are, how to tell a coordinator, how to follow and ask a
// peer, and whom to report. `mirror/ring_node` implements it; the tests have a fake.
// Thread rule: any thread; callbacks on the given loop. Lifetime: outlives every fetch.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "core/task.h"
#include "p2p/finger_owner.h"
#include "p2p/peer_client.h"
#include "p2p/strategy.h"
#include "storage/store.h"

namespace oxbow::mirror {

class FetchPeers {
 public:
  virtual ~FetchPeers() = default;

  virtual std::unique_ptr<p2p::Strategy> make_strategy(p2p::StrategyContext context) = 0;
  virtual std::shared_ptr<const p2p::PeerSnapshot> snapshot() const = 0;
  /// How many ranked peers of a key know what it names: the settings that hold now.
  virtual std::uint32_t replicas() const { return 3; }
  /// `changed` (any thread) after every change of the table; ends when what it returns is destroyed.
  virtual std::unique_ptr<storage::Subscription> on_change(std::function<void()> changed) = 0;

  /// To a coordinator, which may be this node. kTimeout: nothing at all has come from it for `quiet`.
  virtual Task<Result<p2p::AnnounceReply>> announce(p2p::PeerId peer, p2p::Announce announce,
                                                    std::chrono::milliseconds quiet) = 0;
  virtual p2p::PeerClient& client() = 0;
  /// For stripes that this node owns when `fingers` are used. Null: it never acts as an owner.
  virtual p2p::FingerOwner* finger_owner() { return nullptr; }

  // What fetching finds out:
  virtual void served_well(p2p::PeerId peer, double first_byte_ms, double bytes_per_second) = 0;
  /// Proven: the blob has verified, and what this peer sent (or published) differs from it.
  virtual void sent_bad(p2p::PeerId peer, std::string_view why) = 0;
  virtual void published_bad(std::string_view publisher, std::string_view why) = 0;
  /// What this node holds of a blob is to be announced: it verified here, or its readers have left.
  virtual void holds(const Digest& digest) = 0;
};

}  // namespace oxbow::mirror
