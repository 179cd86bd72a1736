// The blobs of this node as its readers see them: finds or makes the one BlobFetch of a blob, and carries what fetching
// has to report to metrics and log.
// Thread rule: all methods from any thread. Lifetime: outlives its bodies and fetches.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "mirror/blob_fetch.h"
#include "mirror/relayed_blobs.h"
#include "mirror/window_stream.h"

namespace oxbow::mirror {

class Blobs final : public FetchObserver {
 public:
  Blobs(storage::Store& store, WorkPool& pool, const Clock& clock, MetricsRegistry& metrics, FetchLimits limits);

  /// Before the first fetch; without it every stripe comes from upstream.
  void set_peers(FetchPeers* peers) { peers_ = peers; }
  /// Null: no ring.
  FetchPeers* peers() const noexcept { return peers_; }

  storage::Store& store() noexcept { return store_; }
  WorkPool& pool() noexcept { return pool_; }
  const Clock& clock() const noexcept { return clock_; }
  const FetchLimits& limits() const noexcept { return limits_; }
  PullJournal& journal() noexcept { return journal_; }
  WindowMemory& window_memory() noexcept { return window_memory_; }
  const HedgeMemory& hedge_memory() const noexcept { return hedge_memory_; }

  /// The running fetch of this blob, else a new one that lives on `home`; for a reader with a right of its own. Errors:
  /// as Store::reserve; kNoSpace, kIo and kInvalid (verified here with another size, or being fetched with one) mean
  /// window mode. `continues`: as BlobFetch::Context.
  Result<std::shared_ptr<BlobFetch>> fetch(const Digest& digest, std::uint64_t size, Loop& home,
                                           bool continues = false);
  /// The same for a peer's request along a path. What only such requests brought here is bounded (RelayedBlobs), and
  /// counts as in use while what this returned lives. Errors: also kBusy (no room for more of it).
  Result<std::shared_ptr<BlobFetch>> relay(const Digest& digest, std::uint64_t size, Loop& home);
  /// The request got nothing: the blob goes if only such requests brought it here, none is left and no stripe has come.
  void relay_failed(const Digest& digest, std::shared_ptr<BlobFetch> relay);

  /// The fetch of this blob that runs now, if one does.
  std::shared_ptr<BlobFetch> running(const Digest& digest);
  /// The same if it is of this blob, and not of one that took its place with another size: what the fetch says of
  /// stripes is then of others.
  std::shared_ptr<BlobFetch> running(const storage::Blob& blob);
  /// How many fetches run.
  std::size_t running_count();

  /// Bytes given to clients, by where they were when the reader came, or came from afterwards.
  enum class Served { kStorage, kPeer, kUpstream };
  void count_served(Served source, std::uint64_t bytes) {
    served_[static_cast<std::size_t>(source)]->Increment(static_cast<double>(bytes));
  }
  void count_window_reader() { window_readers_.Increment(); }
  /// A window with bytes of peers in it did not hash to the digest, and it does not show whose were wrong: the next
  /// ones of that blob take upstream's first. The last 64 such blobs are remembered.
  void distrust(const Digest& digest);
  bool distrusted(const Digest& digest);

  void on_stripe(const StripeEvent& event) override;
  void on_stripe_corrupt(const Digest& digest, std::uint32_t stripe, p2p::SourceId source) override;
  void on_blob_corrupt(const Digest& digest, const Error& error) override;

 private:
  Result<std::shared_ptr<BlobFetch>> fetch_locked(const Digest& digest, std::uint64_t size, Loop& home, bool continues,
                                                  bool relayed);
  Result<std::shared_ptr<storage::Blob>> reserve_locked(const Digest& digest, std::uint64_t size, bool relayed);
  bool drop_relayed_locked(const Digest& digest);

  storage::Store& store_;
  WorkPool& pool_;
  const Clock& clock_;
  FetchLimits limits_;
  PullJournal journal_;
  WindowMemory window_memory_;
  HedgeMemory hedge_memory_;
  FetchPeers* peers_ = nullptr;
  std::array<Counter*, 3> served_;
  Counter& window_readers_;
  Counter& relayed_hits_;
  Counter& corrupt_upstream_;
  Counter& corrupt_peer_;
  Histogram& upstream_seconds_;
  Histogram& peer_seconds_;
  std::mutex mutex_;
  std::unordered_map<Digest, std::weak_ptr<BlobFetch>, Digest::Hash> fetches_;
  RelayedBlobs relayed_;
  std::deque<Digest> distrusted_;
};

}  // namespace oxbow::mirror
