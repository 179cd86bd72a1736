// Making ranges ready: the checksum at a stripe's first serve in this run, and cold pages read before sendfile blocks
// on them.
#include <fcntl.h>

#include "core/log.h"
#include "storage/blob_file.h"
#include "storage/residency.h"

namespace oxbow::storage {
namespace {

// How long it is believed that a stripe stays in the page cache: long enough to save most system calls of a stream,
// short enough that a wrong guess is rare. A wrong guess costs a blocking read, not a wrong byte.
constexpr std::uint32_t kResidentForMs = 2000;

}  // namespace

/// Counts down what a prepare waits for; the last one calls back with the first error.
struct BlobFile::PrepareJob {
  std::mutex mutex;
  std::size_t left = 1;
  Result<> result;
  ByteRange range;
  std::move_only_function<void(Result<>)> done;

  /// True: the last one.
  bool finish_one(const Result<>& one) {
    const std::lock_guard lock(mutex);
    if (!one && result) result = one;
    return --left == 0;
  }
  void add() {
    const std::lock_guard lock(mutex);
    ++left;
  }
};

bool BlobFile::ready_now(ByteRange range) {
  const auto file = opened();
  if (!file) return false;
  const std::uint32_t now = room_.now_ms();
  bool known_resident = true;
  const std::uint32_t last = geometry_.stripe_at(range.end - 1);
  for (std::uint32_t stripe = geometry_.stripe_at(range.begin); stripe <= last; ++stripe) {
    if (!has(stripe)) {
      // A stripe that is arriving: its pages have just been written. A wait would change nothing here before it is
      // complete, so a range that ends in it is ready when the stripes before it are.
      if (stripe != last) return false;
      {
        const std::lock_guard lock(mutex_);
        if (!covers(range)) return false;
      }
      const ByteRange before{range.begin, stripe_range(stripe).begin};
      return known_resident || before.empty() || is_resident(file->fd(), before);
    }
    if (!checked_.test(stripe)) return false;
    const std::uint32_t seen = resident_ms_[stripe].load(std::memory_order_relaxed);
    known_resident = known_resident && seen != 0 && now - seen < kResidentForMs;
  }
  if (known_resident) return true;
  // Whole stripes are asked for, so that the answer serves the next ranges too.
  const ByteRange whole{stripe_range(geometry_.stripe_at(range.begin)).begin, stripe_range(last).end};
  if (is_resident(file->fd(), whole)) {
    for (std::uint32_t stripe = geometry_.stripe_at(range.begin); stripe <= last; ++stripe) {
      resident_ms_[stripe].store(now, std::memory_order_relaxed);
    }
    return true;
  }
  return whole != range && is_resident(file->fd(), range);
}

bool BlobFile::prepare(ByteRange range, std::move_only_function<void(Result<>)> done) {
  const bool inside = !range.empty() && range.end <= geometry_.blob_bytes();
  if (inside) {
    room_.last_foreground_ms.store(room_.now_ms(), std::memory_order_relaxed);
    if (ready_now(range)) return true;
  }
  if (room_.pool_closed.load()) {
    done(fail(Errc::kCancelled, "storage is closed"));
    return false;
  }
  room_.submit([self = shared_from_this(), range, inside, done = std::move(done)]() mutable {
    if (!inside) return done(fail(Errc::kOutOfRange, "range outside the blob"));
    self->prepare_slowly(range, std::move(done));
  });
  return false;
}

void BlobFile::prepare_slowly(ByteRange range, std::move_only_function<void(Result<>)> done) {
  auto file = open_file();
  if (!file) return done(std::unexpected(file.error()));
  bool there = false;
  {
    const std::lock_guard lock(mutex_);
    there = covers(range);
  }
  // Not a caller's mistake: the stripe was dropped or evicted since it was seen.
  if (!there) return done(fail(Errc::kNotFound, "not in storage"));
  auto job = std::make_shared<PrepareJob>();
  job->range = range;
  job->done = std::move(done);
  const auto finish = [self = shared_from_this(), job, opened = *file](const Result<>& one) {
    if (job->finish_one(one)) self->warm(job, opened);
  };
  const std::uint32_t last = geometry_.stripe_at(range.end - 1);
  for (std::uint32_t stripe = geometry_.stripe_at(range.begin); stripe <= last; ++stripe) {
    if (!has(stripe) || checked_.test(stripe)) continue;
    job->add();
    verify(stripe, false, [finish](Result<> one) { finish(one); });
  }
  finish({});
}

// The stripes are right; what of the range is cold (also: has become cold again) is read.
void BlobFile::warm(const std::shared_ptr<PrepareJob>& job, const std::shared_ptr<OpenFile>& file) {
  if (!job->result || is_resident(file->fd(), job->range)) return job->done(std::move(job->result));
  std::shared_ptr<const void> pin;
  {
    const std::lock_guard lock(mutex_);
    if (covers(job->range)) pin = pin_spans(job->range, file);
  }
  if (!pin) return job->done(fail(Errc::kNotFound, "not in storage"));
  const int fd = file->fd();
  room_.reader->read(fd, std::move(pin), job->range, nullptr, [self = shared_from_this(), job](Result<> read) {
    if (!read) {
      self->room_.health.read_failed(read.error());
      read = fail(Errc::kIo, read.error().what());
    }
    job->done(std::move(read));
  });
}

bool BlobFile::is_cold(std::uint32_t stripe) const {
  const auto file = opened();
  return !file || !is_resident(file->fd(), stripe_range(stripe));
}

void BlobFile::cool(std::uint32_t stripe) {
  const ByteRange range = stripe_range(stripe);
  const auto file = opened();
  if (!file) return;
  ::posix_fadvise(file->fd(), static_cast<off_t>(range.begin), static_cast<off_t>(range.size()), POSIX_FADV_DONTNEED);
  resident_ms_[stripe].store(0, std::memory_order_relaxed);
}

void BlobFile::verify(std::uint32_t stripe, bool again, std::move_only_function<void(Result<>)> done) {
  auto file = open_file();
  if (!file) return done(std::unexpected(file.error()));
  bool there = false;
  bool known = false;
  std::shared_ptr<const void> pin;
  {
    const std::lock_guard lock(mutex_);
    there = has(stripe);
    // Another check may have ended since the caller looked.
    known = !again && there && checked_.test(stripe);
    if (there && !known) {
      const auto [at, first] = checks_.try_emplace(stripe);
      at->second.waiters.push_back(std::move(done));
      if (!first) return;
      pin = pin_spans(stripe_range(stripe), *file);
    }
  }
  if (!there)
    return done(fail(Errc::kNotFound, "not in storage"));  // NOLINT(bugprone-use-after-move): moved only if there
  // NOLINTNEXTLINE(bugprone-use-after-move): moved only if not known
  if (known) return done({});
  auto sum = std::make_shared<ChecksumState>();
  room_.reader->read((*file)->fd(), std::move(pin), stripe_range(stripe),
                     [sum](std::span<const std::byte> bytes) { sum->update(bytes); },
                     [self = shared_from_this(), stripe, sum](Result<> read) {
                       self->checked(stripe, sum->value(), std::move(read));
                     });
}

void BlobFile::checked(std::uint32_t stripe, const Checksum& found, Result<> read) {
  std::vector<std::move_only_function<void(Result<>)>> waiters;
  Result<> result;
  bool dropped = false;
  {
    const std::lock_guard lock(mutex_);
    waiters = std::move(checks_[stripe].waiters);
    checks_.erase(stripe);
    if (!has(stripe)) {
      result = fail(Errc::kNotFound, "not in storage");
    } else if (read && found == checksums_[stripe]) {
      checked_.set(stripe);
      resident_ms_[stripe].store(room_.now_ms(), std::memory_order_relaxed);
    } else {
      // A stripe that cannot be read is as lost as a wrong one: both are fetched again.
      result = read ? fail(Errc::kCorrupt, "stripe checksum does not match")
                    : fail(read.error().code() == Errc::kCorrupt ? Errc::kCorrupt : Errc::kIo, read.error().what());
      dropped = drop_locked(stripe);
    }
  }
  if (dropped) {
    if (result.error().code() == Errc::kCorrupt) {
      room_.verify_failures.Increment();
      log::error("corrupt stripe dropped",
                 {{"digest", digest_.to_string()}, {"stripe", stripe}, log::Field(result.error())});
    } else {
      room_.health.read_failed(result.error());
    }
    mark_span(Geometry::span_of(stripe));
    if (!gone()) room_.host->dropped(*this, stripe_range(stripe).size());
  }
  for (auto& waiter : waiters) waiter(result);
  if (dropped) wake();
}

}  // namespace oxbow::storage
