#include "mirror/sim/s3_fifo_policy.h"

#include <array>
#include <cstring>

#include "p2p/random.h"
#include "storage/s3_fifo.h"

namespace oxbow::mirror {
namespace {

using p2p::sim::ItemId;

/// A digest of its own for each item: eight bytes that spread, and the number.
Digest digest_of(ItemId item) {
  std::array<std::byte, 32> bytes{};
  const std::uint64_t spread = p2p::Random(item).next();
  std::memcpy(bytes.data(), &spread, sizeof spread);
  std::memcpy(bytes.data() + sizeof spread, &item, sizeof item);
  return Digest::from_bytes(Digest::Algorithm::kSha256, bytes);
}

ItemId item_of(const Digest& digest) {
  ItemId item = 0;
  std::memcpy(&item, digest.bytes().data() + sizeof(std::uint64_t), sizeof item);
  return item;
}

class S3FifoPolicy final : public p2p::sim::CachePolicy {
 public:
  void insert(ItemId item) override { queue_.insert(digest_of(item), 0); }
  void hit(ItemId item) override { queue_.hit(digest_of(item)); }
  void resize(ItemId item, std::int64_t delta) override { queue_.resize(digest_of(item), delta); }
  std::optional<ItemId> victim(const MayEvict& may_evict) override {
    const auto found = queue_.victim([&](const Digest& digest) { return may_evict(item_of(digest)); });
    return found ? std::optional(item_of(*found)) : std::nullopt;
  }
  /// As storage/store_space.cc: what leaves the small queue is remembered.
  void evict(ItemId item) override {
    const auto digest = digest_of(item);
    if (!queue_.in_main(digest)) queue_.remember(digest);
    queue_.erase(digest);
  }

 private:
  storage::S3Fifo queue_;
};

}  // namespace

std::unique_ptr<p2p::sim::CachePolicy> make_s3_fifo_policy() { return std::make_unique<S3FifoPolicy>(); }

}  // namespace oxbow::mirror
