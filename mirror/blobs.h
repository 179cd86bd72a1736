// The blobs of this node as its readers see them: finds or makes the one BlobFetch of a blob, and carries what fetching
// has to report to metrics and log.
// Thread rule: all methods from any thread. Lifetime: outlives its bodies and fetches.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>

#include "mirror/blob_fetch.h"

namespace oxbow::mirror {

class Blobs final : public FetchObserver {
 public:
  Blobs(storage::Store& store, WorkPool& pool, const Clock& clock, MetricsRegistry& metrics, FetchLimits limits);

  storage::Store& store() noexcept { return store_; }
  WorkPool& pool() noexcept { return pool_; }
  const Clock& clock() const noexcept { return clock_; }
  const FetchLimits& limits() const noexcept { return limits_; }

  /// The running fetch of this blob, else a new one that lives on `home`. Errors: as Store::reserve; kNoSpace, kIo and
  /// kInvalid (of another size here, by the word of another repository) mean window mode.
  Result<std::shared_ptr<BlobFetch>> fetch(const Digest& digest, std::uint64_t size, Loop& home);

  /// Bytes given to clients, by where they were when the reader came.
  void count_served(bool from_storage, std::uint64_t bytes) {
    (from_storage ? served_storage_ : served_upstream_).Increment(static_cast<double>(bytes));
  }
  void count_window_reader() { window_readers_.Increment(); }

  void on_stripe(const StripeEvent& event) override;
  void on_stripe_corrupt(const Digest& digest, std::uint32_t stripe) override;
  void on_blob_corrupt(const Digest& digest, const Error& error) override;

 private:
  storage::Store& store_;
  WorkPool& pool_;
  const Clock& clock_;
  FetchLimits limits_;
  Counter& served_storage_;
  Counter& served_upstream_;
  Counter& window_readers_;
  Counter& corrupt_upstream_;
  Histogram& fetch_seconds_;
  std::mutex mutex_;
  std::unordered_map<Digest, std::weak_ptr<BlobFetch>, Digest::Hash> fetches_;
};

}  // namespace oxbow::mirror
