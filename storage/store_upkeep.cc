// What happens by itself: gauges, free space, probes of a failed disk, idle files, and the scrub.
#include <future>

#include "core/log.h"
#include "storage/store_impl.h"

namespace oxbow::storage {
namespace {

constexpr std::chrono::milliseconds kTick{250};
constexpr int kTicksPerRefresh = 4;
constexpr std::size_t kOpenFilesMax = 512;
constexpr std::uint64_t kUseRowEvery_s = 3600;
constexpr std::uint64_t kEmptyFor_s = 600;
constexpr std::uint32_t kQuietMs = 500;  ///< no foreground I/O for this long: the scrub may go on

std::uint64_t wall_ms(const Clock& clock) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall().time_since_epoch()).count());
}

}  // namespace

/// False: the store is closing.
bool StoreImpl::pause(std::chrono::milliseconds duration) {
  std::unique_lock lock(stop_mutex_);
  return !stop_changed_.wait_for(lock, duration, [this] { return stopping_; });
}

void StoreImpl::upkeep() {
  int ticks = 0;
  while (pause(kTick)) {
    tick();
    probe_disk();
    if (++ticks % kTicksPerRefresh != 0) continue;
    refresh_space();
    trim_to_budget();
    close_idle_files();
    save_uses();
    forget_empty_blobs();
  }
}

void StoreImpl::tick() {
  room_.arena.trim();
  const std::lock_guard lock(mutex_);
  stored_gauge_.Set(static_cast<double>(stored_bytes_));
  budget_gauge_.Set(static_cast<double>(budget_bytes_));
  free_gauge_.Set(static_cast<double>(free_bytes_));
}

void StoreImpl::probe_disk() {
  if (!opened_writable_ || room_.health.writable()) return;
  if (room_.disk->probe(config_.directory) && !room_.writer->failing()) room_.health.recovered();
}

void StoreImpl::close_idle_files() {
  auto blobs = all_blobs();
  std::erase_if(blobs, [](const auto& blob) { return !blob->is_open(); });
  if (blobs.size() <= kOpenFilesMax) return;
  std::ranges::sort(blobs, {}, [](const auto& blob) { return blob->row_last_used_s.load(); });
  std::size_t open = blobs.size();
  for (const auto& blob : blobs) {
    if (open <= kOpenFilesMax) return;
    if (blob->close_if_idle()) --open;
  }
}

/// When blobs were used last goes to the index now and then: the order of eviction after a restart.
void StoreImpl::save_uses() {
  if (!room_.writer) return;
  const std::lock_guard lock(mutex_);
  for (const auto& [digest, blob] : blobs_) {
    if (blob->account.last_used_s < blob->account.last_used_written_s + kUseRowEvery_s) continue;
    blob->account.last_used_written_s = blob->account.last_used_s;
    blob->row_in_main = queue_.in_main(digest);
    room_.writer->blob_changed(digest, blob);
  }
}

/// Reserved, and then nothing came, or everything was evicted by span.
void StoreImpl::forget_empty_blobs() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<BlobFile>> empty;
  for (const auto& [digest, blob] : blobs_) {
    const bool idle = blob.use_count() == 1 && !blob->active() && now_s() >= blob->account.last_used_s + kEmptyFor_s;
    if (idle && blob->account.stored_bytes == 0 && !blob->account.pinned) empty.push_back(blob);
  }
  for (const auto& blob : empty) forget_locked(blob);
}

/// Reads one stripe and compares it. False: the store is closing.
bool StoreImpl::scrub_stripe(const std::shared_ptr<BlobFile>& blob, std::uint32_t stripe, ScrubReport& report) {
  if (room_.closed.load()) return false;
  if (!blob->has(stripe) || blob->gone()) return true;
  const bool cold = blob->is_cold(stripe);
  std::promise<Result<>> promise;
  auto future = promise.get_future();
  blob->verify(stripe, true, [&promise](Result<> result) { promise.set_value(std::move(result)); });
  const auto result = future.get();
  if (cold) blob->cool(stripe);
  if (!result && result.error().code() == Errc::kNotFound) return true;
  ++report.stripes;
  report.bytes += blob->geometry().stripe(stripe).size();
  if (!result) ++report.corrupt;
  return true;
}

ScrubReport StoreImpl::scrub(const ScrubProgress& progress) {
  ScrubReport report;
  for (const auto& blob : all_blobs()) {
    for (std::uint32_t stripe = 0; stripe < blob->geometry().stripes(); ++stripe) {
      if (!scrub_stripe(blob, stripe, report) || !progress(report)) return report;
    }
  }
  return report;
}

void StoreImpl::scrub_forever() {
  const auto interval_ms = static_cast<std::uint64_t>(config_.scrub_interval.count());
  while (pause(std::chrono::milliseconds(1000))) {
    const bool due = suspect_ || wall_ms(room_.clock) >= scrubbed_at_ms_ + interval_ms;
    if (!due || config_.scrub_bytes_per_second == 0) continue;
    ScrubReport report;
    if (!scrub_slowly(report)) return;
    suspect_ = false;
    scrubbed_at_ms_ = wall_ms(room_.clock);
    if (room_.writer) room_.writer->put(Family::kMeta, "scrubbed_at_ms", std::to_string(scrubbed_at_ms_));
    log::info("scrub done", {{"stripes", report.stripes}, {"bytes", report.bytes}, {"corrupt", report.corrupt}});
  }
}

/// Within the rate, and only while nobody else reads or writes. False: the store is closing.
bool StoreImpl::scrub_slowly(ScrubReport& report) {
  for (const auto& blob : all_blobs()) {
    for (std::uint32_t stripe = 0; stripe < blob->geometry().stripes(); ++stripe) {
      while (room_.now_ms() - room_.last_foreground_ms.load() < kQuietMs) {
        if (!pause(std::chrono::milliseconds(kQuietMs))) return false;
      }
      const std::uint64_t before = report.bytes;
      if (!scrub_stripe(blob, stripe, report)) return false;
      const std::uint64_t cost_ms = (report.bytes - before) * 1000 / config_.scrub_bytes_per_second;
      if (cost_ms > 0 && !pause(std::chrono::milliseconds(cost_ms))) return false;
    }
  }
  return true;
}

}  // namespace oxbow::storage
