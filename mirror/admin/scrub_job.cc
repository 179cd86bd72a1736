#include "mirror/admin/scrub_job.h"

#include "core/log.h"

namespace oxbow::mirror {

Result<> ScrubJob::start() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return fail(Errc::kCancelled, "the daemon is stopping");
    if (report_.state == Report::State::kRunning)
      return fail(Errc::kBusy, "a scrub is running already; GET /api/v1/cache/scrub says how far it is");
    report_ = {.state = Report::State::kRunning,
               .started = clock_.wall(),
               .ended = {},
               .total_bytes = store_.usage().stored_bytes,
               .found = {}};
  }
  pool_.submit([this] { run(); });
  return {};
}

void ScrubJob::run() {
  const auto found = store_.scrub([this](const storage::ScrubReport& so_far) {
    const std::lock_guard lock(mutex_);
    report_.found = so_far;
    return !stopping_;
  });
  log::info("scrub done", {{"asked_for", true},
                           {"stripes", found.stripes},
                           {"bytes", found.bytes},
                           {"corrupt", found.corrupt},
                           {"stopped", stopping_.load()}});
  const std::lock_guard lock(mutex_);
  report_.found = found;
  report_.ended = clock_.wall();
  report_.state = stopping_ ? Report::State::kStopped : Report::State::kDone;
}

ScrubJob::Report ScrubJob::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

}  // namespace oxbow::mirror
