#include "mirror/blobs.h"

#include <algorithm>

#include "core/log.h"
#include "mirror/peer_contents.h"
#include "mirror/verify_failures.h"
#include "p2p/single.h"

namespace oxbow::mirror {
namespace {

prometheus::Family<Counter>& client_bytes(MetricsRegistry& metrics) {
  return counter_family(metrics, "oxbow_client_bytes_total",
                        "Body bytes of blobs and manifests given to clients, by source");
}

Histogram& fetch_seconds(MetricsRegistry& metrics, const char* source) {
  return histogram_family(metrics, "oxbow_fetch_seconds", "Time from the request of a stripe to its arrival")
      .Add({{"source", source}}, Histogram::BucketBoundaries{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30});
}

}  // namespace

Blobs::Blobs(storage::Store& store, WorkPool& pool, const Clock& clock, MetricsRegistry& metrics, FetchLimits limits)
    : store_(store),
      pool_(pool),
      clock_(clock),
      limits_(limits),
      journal_(clock),
      window_memory_(limits.window_memory, limit_counter(metrics, "memory")),
      hedge_memory_(limits.hedge_memory, limit_counter(metrics, "hedge_memory")),
      served_{&client_bytes(metrics).Add({{"source", "storage"}}), &client_bytes(metrics).Add({{"source", "peer"}}),
              &client_bytes(metrics).Add({{"source", "upstream"}})},
      window_readers_(counter_family(metrics, "oxbow_window_readers_total",
                                     "Readers served through a window in memory because the bytes could not be kept")
                          .Add({})),
      relayed_hits_(limit_counter(metrics, "relayed_blobs")),
      corrupt_upstream_(verify_failures(metrics).Add({{"source", "upstream"}})),
      corrupt_peer_(verify_failures(metrics).Add({{"source", "peer"}})),
      upstream_seconds_(fetch_seconds(metrics, "upstream")),
      peer_seconds_(fetch_seconds(metrics, "peer")) {}

std::shared_ptr<BlobFetch> Blobs::running(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  const auto known = fetches_.find(digest);
  return known == fetches_.end() ? nullptr : known->second.lock();
}

std::shared_ptr<BlobFetch> Blobs::running(const storage::Blob& blob) {
  auto fetch = running(blob.digest());
  return fetch && &fetch->blob() == &blob ? fetch : nullptr;
}

std::size_t Blobs::running_count() {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(
      std::ranges::count_if(fetches_, [](const auto& known) { return !known.second.expired(); }));
}

void Blobs::distrust(const Digest& digest) {
  constexpr std::size_t kRemembered = 64;
  const std::lock_guard lock(mutex_);
  if (std::ranges::find(distrusted_, digest) != distrusted_.end()) return;
  if (distrusted_.size() == kRemembered) distrusted_.pop_front();
  distrusted_.push_back(digest);
}

bool Blobs::distrusted(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  return std::ranges::find(distrusted_, digest) != distrusted_.end();
}

Result<std::shared_ptr<BlobFetch>> Blobs::fetch(const Digest& digest, std::uint64_t size, Loop& home, bool continues) {
  const std::lock_guard lock(mutex_);
  return fetch_locked(digest, size, home, continues, false);
}

Result<std::shared_ptr<BlobFetch>> Blobs::relay(const Digest& digest, std::uint64_t size, Loop& home) {
  std::shared_ptr<BlobFetch> fetch;
  RelayedBlobs::Use use;
  {
    const std::lock_guard lock(mutex_);
    auto made = fetch_locked(digest, size, home, false, true);
    if (!made) return made;
    fetch = std::move(*made);
    use = relayed_.use(digest);
  }
  if (!use) return fetch;
  auto* const bare = fetch.get();
  return std::shared_ptr<BlobFetch>(
      std::make_shared<std::pair<std::shared_ptr<BlobFetch>, RelayedBlobs::Use>>(std::move(fetch), std::move(use)),
      bare);
}

void Blobs::relay_failed(const Digest& digest, std::shared_ptr<BlobFetch> relay) {
  relay.reset();
  const std::lock_guard lock(mutex_);
  if (!relayed_.is_idle(digest)) return;
  const auto blob = store_.peek(digest);
  if (blob && blob->stripes_present() > 0) return;
  if (blob) store_.purge(digest);
  relayed_.remove(digest);
  fetches_.erase(digest);
}

bool Blobs::drop_relayed_locked(const Digest& digest) {
  const auto known = fetches_.find(digest);
  if (known != fetches_.end() && !known->second.expired()) return false;
  const auto blob = store_.peek(digest);
  if (blob && blob->state() == storage::BlobState::kPartial) store_.purge(digest);
  return true;
}

Result<std::shared_ptr<storage::Blob>> Blobs::reserve_locked(const Digest& digest, std::uint64_t size, bool relayed) {
  const bool is_new = relayed && !store_.peek(digest);
  const auto drop = [this](const Digest& oldest) { return drop_relayed_locked(oldest); };
  if (is_new && !relayed_.add(digest, Geometry(size).stripes(), drop)) {
    relayed_hits_.Increment();
    return fail(Errc::kBusy, "too much is kept for other nodes");
  }
  auto blob = store_.reserve(digest, size);
  if (!blob && blob.error().code() == Errc::kInvalid && !relayed) {
    // A manifest, or a peer along a path, may have claimed the other size. Which of the two is right is not known, but
    // what has not hashed to its digest, and nobody fetches, is only a cache: it keeps no other reader out.
    const auto stored = store_.lookup(digest);
    if (stored && stored->state() == storage::BlobState::kPartial) {
      store_.purge(digest);
      blob = store_.reserve(digest, size);
    }
  }
  if (!blob && is_new) relayed_.remove(digest);
  return blob;
}

Result<std::shared_ptr<BlobFetch>> Blobs::fetch_locked(const Digest& digest, std::uint64_t size, Loop& home,
                                                       bool continues, bool relayed) {
  // Somebody with a right wants it: it is no more kept for others alone.
  const bool was_relayed = !relayed && relayed_.remove(digest);
  if (auto running = fetches_[digest].lock()) {
    if (!running->has_failed() && !running->blob().gone()) {
      if (running->blob().geometry().blob_bytes() == size) return running;
      if (!was_relayed) return fail(Errc::kInvalid, "the blob is being fetched with another size");
    }
    // It has failed and is still here: what it had not checked must not be taken for checked by the next one.
    for (std::uint32_t stripe = 0; stripe < running->blob().geometry().stripes(); ++stripe) {
      if (running->marks().at(stripe) != StripeMark::kUnchecked || !running->blob().has(stripe)) continue;
      running->blob().drop_stripe(stripe);
      running->blob().forget_midstates(stripe + 1);
    }
  }
  auto blob = reserve_locked(digest, size, relayed);
  if (!blob) {
    fetches_.erase(digest);
    return std::unexpected(std::move(blob.error()));
  }
  // Now and then the map is swept of fetches that have ended.
  if (fetches_.size() > 256) std::erase_if(fetches_, [](const auto& entry) { return entry.second.expired(); });
  const Geometry geometry((*blob)->geometry());
  const auto here = have_map(**blob, nullptr);
  std::unique_ptr<p2p::Strategy> strategy;
  if (peers_ != nullptr) {
    strategy = peers_->make_strategy({digest, geometry, here});
  } else {
    strategy = std::make_unique<p2p::Single>(geometry);
  }
  auto made =
      BlobFetch::create({home, pool_, clock_, *this, limits_, store_, journal_, hedge_memory_, peers_, continues},
                        std::move(*blob), std::move(strategy), here);
  fetches_[digest] = made;
  return made;
}

void Blobs::on_stripe(const StripeEvent& event) {
  const bool upstream = event.source == p2p::kUpstream;
  (upstream ? upstream_seconds_ : peer_seconds_).Observe(static_cast<double>(event.took.count()) / 1000.0);
  if (log::enabled(log::Level::kDebug)) {
    log::debug("stripe", {{"digest", event.digest.to_string()},
                          {"stripe", event.stripe},
                          {"bytes", event.bytes},
                          {"source", upstream ? "upstream" : "peer"},
                          {"peer", event.source},
                          {"ms", event.took.count()},
                          {"retries", event.retries}});
  }
}

void Blobs::on_stripe_corrupt(const Digest& digest, std::uint32_t stripe, p2p::SourceId source) {
  const bool upstream = source == p2p::kUpstream;
  (upstream ? corrupt_upstream_ : corrupt_peer_).Increment();
  log::warn("stripe did not match its blob; fetching it again",
            {{"digest", digest.to_string()}, {"stripe", stripe}, {"from", upstream ? "upstream" : "peer"}});
}

void Blobs::on_blob_corrupt(const Digest& digest, const Error& error) {
  corrupt_upstream_.Increment();
  log::error("upstream gave wrong bytes; the blob is purged", {{"digest", digest.to_string()}, log::Field(error)});
  store_.purge(digest);
}

}  // namespace oxbow::mirror
