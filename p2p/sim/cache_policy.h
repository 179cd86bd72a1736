// Which item of a node's cache goes next, as the capacity simulation asks it. LRU and SIEVE live here; the daemon's own
// S3-FIFO belongs to storage, which this room may not know, and is handed in by who may (mirror/sim/s3_fifo_policy.h).
// Sources: SIEVE: Zhang et al., "SIEVE is Simpler than LRU", NSDI'24.
// Thread rule: one thread at a time. Lifetime: one a simulated node.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace oxbow::p2p::sim {

using ItemId = std::uint32_t;

class CachePolicy {
 public:
  using MayEvict = std::function<bool(ItemId)>;

  virtual ~CachePolicy() = default;
  /// An item that is not there yet; its bytes come with `resize`.
  virtual void insert(ItemId item) = 0;
  virtual void hit(ItemId item) = 0;
  virtual void resize(ItemId item, std::int64_t delta) = 0;
  /// The item to evict now among those that may be; it stays until `evict`. Nothing: none may.
  virtual std::optional<ItemId> victim(const MayEvict& may_evict) = 0;
  /// It was evicted as a victim; a policy with a memory remembers it.
  virtual void evict(ItemId item) = 0;
};

using PolicyMaker = std::function<std::unique_ptr<CachePolicy>()>;

std::unique_ptr<CachePolicy> make_lru();
std::unique_ptr<CachePolicy> make_sieve();

}  // namespace oxbow::p2p::sim
