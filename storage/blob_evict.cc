// Dropping: single stripes found wrong, spans of giant blobs, whole blobs.
#include "core/log.h"
#include "storage/blob_file.h"

namespace oxbow::storage {
namespace {

// While somebody waits on a giant blob and needs all of it that is here, the spans that arrived last are what he is
// about to read.
constexpr std::uint32_t kWindowSpans = 8;

}  // namespace

/// mutex_ is held. True: it was there.
bool BlobFile::drop_locked(std::uint32_t stripe) {
  if (!present_.clear(stripe)) return false;
  --present_count_;
  checked_.clear(stripe);
  resident_ms_[stripe].store(0, std::memory_order_relaxed);
  return true;
}

void BlobFile::drop_stripe(std::uint32_t stripe) {
  {
    const std::lock_guard lock(mutex_);
    if (stripe >= geometry_.stripes() || !drop_locked(stripe)) return;
  }
  mark_span(Geometry::span_of(stripe));
  room_.host->dropped(*this, stripe_range(stripe).size());
  wake_soon();
}

void BlobFile::mark_gone() {
  bool wake_arena = false;
  {
    const std::lock_guard lock(mutex_);
    gone_.store(true, std::memory_order_release);
    for (auto& [stripe, slot] : slots_) {
      wake_arena |= slot.arriving->refuse(Error(Errc::kNotFound, "the blob was purged")).wake_arena;
    }
  }
  wake_soon();
  if (wake_arena) wake_arena_soon();
}

void BlobFile::keep_open() {
  bool exists = false;
  {
    const std::lock_guard lock(mutex_);
    exists = exists_;
  }
  if (!exists) return;
  // Lost already: those who hold it will find so.
  if (auto file = open_file(); !file) log::debug("blob not kept open", {log::Field(file.error())});
}

// Under the opener's lock: a writer that was about to create the file has either done so, or sees that the blob is
// gone.
void BlobFile::unlink() {
  const std::lock_guard opening(opening_mutex_);
  if (auto removed = room_.disk->remove(path()); !removed) room_.health.write_failed(removed.error());
}

void BlobFile::keep(std::vector<ByteRange> ranges) {
  std::ranges::sort(ranges, {}, &ByteRange::begin);
  std::vector<ByteRange> apart;
  for (const auto& range : ranges) {
    if (range.empty()) continue;
    if (!apart.empty() && range.begin <= apart.back().end)
      apart.back().end = std::max(apart.back().end, range.end);
    else
      apart.push_back(range);
  }
  const std::lock_guard lock(mutex_);
  keep_ = std::move(apart);
}

std::vector<std::uint32_t> BlobFile::evictable_spans() const {
  const bool in_use = waited_for();
  const std::lock_guard lock(mutex_);
  std::vector<bool> writing(geometry_.spans());
  for (const auto& [stripe, slot] : slots_) writing[Geometry::span_of(stripe)] = true;
  std::vector<std::uint32_t> spans;
  for (std::uint32_t span = 0; span < geometry_.spans(); ++span) {
    if (span_pins_[span] > 0 || writing[span] || span_punching_[span]) continue;
    const std::uint32_t first = span * kStripesPerSpan;
    const std::uint32_t end = std::min(first + kStripesPerSpan, geometry_.stripes());
    for (std::uint32_t stripe = first; stripe < end; ++stripe) {
      if (!present_.test(stripe)) continue;
      spans.push_back(span);
      break;
    }
  }
  std::ranges::sort(spans, {}, [this](std::uint32_t span) { return span_used_[span]; });
  if (!in_use) return spans;
  const auto needed = [this](std::uint32_t span) {
    const auto begin = stripe_range(span * kStripesPerSpan).begin;
    const auto end = stripe_range(std::min((span + 1) * kStripesPerSpan, geometry_.stripes()) - 1).end;
    const auto next = std::ranges::upper_bound(keep_, begin, {}, &ByteRange::end);
    return next != keep_.end() && next->begin < end;
  };
  if (!keep_.empty() && !std::ranges::all_of(spans, needed))
    std::erase_if(spans, needed);
  else
    spans.resize(spans.size() - std::min<std::size_t>(spans.size(), kWindowSpans));
  return spans;
}

std::uint64_t BlobFile::span_bytes_present(std::uint32_t span) const {
  const std::uint32_t first = span * kStripesPerSpan;
  const std::uint32_t end = std::min(first + kStripesPerSpan, geometry_.stripes());
  std::uint64_t bytes = 0;
  for (std::uint32_t stripe = first; stripe < end; ++stripe) {
    if (present_.test(stripe)) bytes += stripe_range(stripe).size();
  }
  return bytes;
}

std::uint64_t BlobFile::evict_span(std::uint32_t span) {
  std::uint64_t bytes = 0;
  {
    const std::lock_guard lock(mutex_);
    if (span_pins_[span] > 0 || span_punching_[span]) return 0;
    const std::uint32_t first = span * kStripesPerSpan;
    const std::uint32_t end = std::min(first + kStripesPerSpan, geometry_.stripes());
    if (const auto slot = slots_.lower_bound(first); slot != slots_.end() && slot->first < end) return 0;
    for (std::uint32_t stripe = first; stripe < end; ++stripe) {
      if (drop_locked(stripe)) bytes += stripe_range(stripe).size();
    }
    span_punching_[span] = bytes > 0;
    if (bytes > 0) ++active_;
  }
  if (bytes > 0) mark_span(span);
  return bytes;
}

void BlobFile::punch(std::uint32_t span) {
  const ByteRange range{span * geometry_.span_bytes(),
                        std::min((span + 1) * geometry_.span_bytes(), geometry_.blob_bytes())};
  if (auto file = open_file()) {
    if (auto punched = room_.disk->punch((*file)->fd(), range); !punched) room_.health.write_failed(punched.error());
  }
  {
    const std::lock_guard lock(mutex_);
    span_punching_[span] = false;
    --active_;
  }
  wake();
}

}  // namespace oxbow::storage
