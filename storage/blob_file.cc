#include "storage/blob_file.h"

#include <unistd.h>

#include "core/log.h"

namespace oxbow::storage {

OpenFile::~OpenFile() { ::close(fd_); }

BlobFile::BlobFile(Room& room, const Digest& digest, std::uint64_t size, std::uint64_t generation, bool recorded)
    : room_(room),
      digest_(digest),
      geometry_(size),
      generation_(generation),
      present_(geometry_.stripes()),
      checked_(geometry_.stripes()),
      resident_ms_(std::make_unique<std::atomic<std::uint32_t>[]>(geometry_.stripes())),
      exists_(recorded),
      checksums_(geometry_.stripes()),
      span_pins_(geometry_.spans()),
      span_used_(geometry_.spans()),
      span_punching_(geometry_.spans()) {}

std::string BlobFile::path() const {
  const std::string hex = digest_.hex();
  return fmt::format("{}/blobs/{}/{}.{:x}", room_.directory, hex.substr(0, 2), hex, generation_);
}

bool BlobFile::has(std::uint32_t stripe) const noexcept {
  return stripe < geometry_.stripes() && present_.test(stripe);
}

std::optional<Checksum> BlobFile::stripe_checksum(std::uint32_t stripe) const {
  const std::lock_guard lock(mutex_);
  if (!has(stripe)) return std::nullopt;
  return checksums_[stripe];
}

std::uint64_t BlobFile::readable(std::uint64_t offset, std::uint64_t max) const noexcept {
  const std::uint64_t end = std::min(geometry_.blob_bytes(), offset + std::min(max, geometry_.blob_bytes()));
  std::uint64_t at = offset;
  while (at < end) {
    const std::uint32_t stripe = geometry_.stripe_at(at);
    if (has(stripe)) {
      at = std::min(end, stripe_range(stripe).end);
      continue;
    }
    const std::lock_guard lock(mutex_);
    if (has(stripe)) continue;
    if (const auto found = slots_.find(stripe); found != slots_.end()) {
      at = std::max(at, std::min(end, found->second.readable_end()));
    }
    break;
  }
  return at > offset ? at - offset : 0;
}

/// mutex_ is held.
bool BlobFile::covers(ByteRange range) const {
  std::uint64_t at = range.begin;
  while (at < range.end) {
    const std::uint32_t stripe = geometry_.stripe_at(at);
    std::uint64_t end = stripe_range(stripe).end;
    if (!has(stripe)) {
      const auto found = slots_.find(stripe);
      if (found == slots_.end()) return false;
      end = found->second.readable_end();
      if (end < std::min(range.end, stripe_range(stripe).end)) return false;
    }
    at = end;
  }
  return true;
}

std::shared_ptr<OpenFile> BlobFile::opened() const {
  const std::lock_guard lock(mutex_);
  return file_;
}

bool BlobFile::is_open() const { return opened() != nullptr; }

Result<std::shared_ptr<OpenFile>> BlobFile::open_file() {
  const std::lock_guard opening(opening_mutex_);
  bool exists = false;
  {
    const std::lock_guard lock(mutex_);
    if (file_) return file_;
    exists = exists_;
  }
  if (!exists && gone()) return fail(Errc::kNotFound, "the blob was purged");
  const auto fd =
      exists ? room_.disk->open(path(), geometry_.blob_bytes()) : room_.disk->create(path(), geometry_.blob_bytes());
  if (!fd) {
    if (exists && (fd.error().code() == Errc::kNotFound || fd.error().code() == Errc::kCorrupt)) {
      return std::unexpected(lose_file(fd.error()).error());
    }
    if (exists) {
      room_.health.read_failed(fd.error());
      return fail(Errc::kIo, fd.error().what());
    }
    room_.health.write_failed(fd.error());
    return std::unexpected(room_.health.error());
  }
  const std::lock_guard lock(mutex_);
  exists_ = true;
  file_ = std::make_shared<OpenFile>(*fd);
  return file_;
}

// The file is missing or short: nothing of what the index says is there. The next writer makes a new one.
Result<> BlobFile::lose_file(const Error& why) {
  std::uint64_t bytes = 0;
  std::vector<std::uint32_t> spans;
  {
    const std::lock_guard lock(mutex_);
    exists_ = false;
    for (std::uint32_t stripe = 0; stripe < geometry_.stripes(); ++stripe) {
      if (!drop_locked(stripe)) continue;
      bytes += stripe_range(stripe).size();
      if (spans.empty() || spans.back() != Geometry::span_of(stripe)) spans.push_back(Geometry::span_of(stripe));
    }
  }
  if (bytes > 0 && !gone()) {
    log::warn("blob file lost", {{"digest", digest_.to_string()}, {"bytes", bytes}, log::Field(why)});
    for (const std::uint32_t span : spans) mark_span(span);
    room_.host->dropped(*this, bytes);
    wake_soon();
  }
  return fail(Errc::kNotFound, why.what());
}

/// A pinned range: keeps the descriptor open and its spans in the file.
class BlobFile::Pin {
 public:
  Pin(std::shared_ptr<BlobFile> blob, std::shared_ptr<OpenFile> file, std::uint32_t first, std::uint32_t last)
      : blob_(std::move(blob)), file_(std::move(file)), first_(first), last_(last) {}
  ~Pin() { blob_->unpin_spans(first_, last_); }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

 private:
  std::shared_ptr<BlobFile> blob_;
  std::shared_ptr<OpenFile> file_;
  std::uint32_t first_;
  std::uint32_t last_;
};

/// mutex_ is held; `range` is not empty.
std::shared_ptr<const void> BlobFile::pin_spans(ByteRange range, std::shared_ptr<OpenFile> file) {
  const std::uint32_t first = Geometry::span_of(geometry_.stripe_at(range.begin));
  const std::uint32_t last = Geometry::span_of(geometry_.stripe_at(range.end - 1));
  for (std::uint32_t span = first; span <= last; ++span) {
    ++span_pins_[span];
    touch(span);
  }
  ++active_;
  return std::make_shared<Pin>(shared_from_this(), std::move(file), first, last);
}

void BlobFile::unpin_spans(std::uint32_t first, std::uint32_t last) {
  const std::lock_guard lock(mutex_);
  for (std::uint32_t span = first; span <= last; ++span) --span_pins_[span];
  --active_;
}

Result<PinnedRange> BlobFile::acquire(ByteRange range) {
  if (range.empty() || range.end > geometry_.blob_bytes()) return fail(Errc::kOutOfRange, "range outside the blob");
  room_.last_foreground_ms.store(room_.now_ms(), std::memory_order_relaxed);
  // Nearly always open already: a writer or `prepare` has done it.
  if (!opened()) {
    const std::unique_lock lock(mutex_);
    if (!covers(range)) return fail(Errc::kNotFound, "not in storage");
  }
  const auto file = open_file();
  if (!file) return std::unexpected(file.error());
  const std::lock_guard lock(mutex_);
  if (!covers(range)) return fail(Errc::kNotFound, "not in storage");
  return PinnedRange{.fd = (*file)->fd(), .range = range, .pin = pin_spans(range, *file)};
}

std::vector<std::string> BlobFile::midstates() const {
  const std::size_t each = midstate_size(digest_.algorithm());
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (std::size_t at = 0; at < midstates_.size(); at += each) out.push_back(midstates_.substr(at, each));
  return out;
}

void BlobFile::add_midstate(std::uint32_t stripe, std::string midstate) {
  const std::size_t each = midstate_size(digest_.algorithm());
  OXBOW_INVARIANT(midstate.size() == each);
  {
    const std::lock_guard lock(mutex_);
    if (stripe >= geometry_.stripes() || midstates_.size() / each + 1 != stripe) return;
    midstates_ += midstate;
  }
  mark_span(Geometry::span_of(stripe));
}

void BlobFile::forget_midstates(std::uint32_t stripe) {
  const std::size_t each = midstate_size(digest_.algorithm());
  std::size_t known = 0;
  {
    const std::lock_guard lock(mutex_);
    known = midstates_.size() / each;
    if (stripe == 0 || known < stripe) return;
    midstates_.resize((stripe - 1) * each);
  }
  for (auto span = Geometry::span_of(stripe); span <= Geometry::span_of(static_cast<std::uint32_t>(known)); ++span) {
    mark_span(span);
  }
}

void BlobFile::set_verified() {
  state_.store(BlobState::kVerified, std::memory_order_release);
  if (room_.writer && !gone()) room_.writer->blob_changed(digest_, shared_from_this());
  wake_soon();
}

std::string BlobFile::blob_row() const {
  return encode(BlobRow{.size = geometry_.blob_bytes(),
                        .generation = generation_,
                        .last_used_s = row_last_used_s.load(),
                        .state = state(),
                        .pinned = row_pinned.load(),
                        .in_main = row_in_main.load()});
}

std::optional<std::string> BlobFile::span_row(std::uint32_t span) const {
  const std::size_t each = midstate_size(digest_.algorithm());
  const std::lock_guard lock(mutex_);
  SpanRow row;
  for (std::uint32_t i = 0; i < kStripesPerSpan; ++i) {
    const std::uint32_t stripe = span * kStripesPerSpan + i;
    if (stripe >= geometry_.stripes()) break;
    if (present_.test(stripe)) {
      row.present |= static_cast<std::uint8_t>(1U << i);
      row.checksums[i] = checksums_[stripe];
    }
    if (stripe > 0 && stripe * each <= midstates_.size()) {
      row.midstates |= static_cast<std::uint8_t>(1U << i);
      row.midstate_bytes += midstates_.substr((stripe - 1) * each, each);
    }
  }
  if (row.present == 0 && row.midstates == 0) return std::nullopt;
  return encode(row);
}

void BlobFile::restore(const BlobRow& row) {
  state_ = row.state;
  row_pinned = row.pinned;
  row_in_main = row.in_main;
  row_last_used_s = row.last_used_s;
}

std::uint64_t BlobFile::restore(std::uint32_t span, const SpanRow& row) {
  const std::size_t each = midstate_size(digest_.algorithm());
  std::uint64_t bytes = 0;
  std::string_view midstates = row.midstate_bytes;
  const std::lock_guard lock(mutex_);
  for (std::uint32_t i = 0; i < kStripesPerSpan; ++i) {
    const std::uint32_t stripe = span * kStripesPerSpan + i;
    if (stripe >= geometry_.stripes()) break;
    if ((row.present >> i & 1) != 0 && present_.set(stripe)) {
      checksums_[stripe] = row.checksums[i];
      ++present_count_;
      bytes += stripe_range(stripe).size();
    }
    if ((row.midstates >> i & 1) != 0) {
      // Rows come in order; a gap (a lost row) ends what is known.
      if (stripe > 0 && midstates_.size() == (stripe - 1) * each) midstates_ += midstates.substr(0, each);
      midstates.remove_prefix(each);
    }
  }
  return bytes;
}

void BlobFile::mark_span(std::uint32_t span) {
  if (room_.writer && !gone()) room_.writer->span_changed(digest_, shared_from_this(), span);
}

void BlobFile::wake_soon() {
  if (waiters_.empty()) return;
  room_.submit([self = shared_from_this()] { self->wake(); });
}

bool BlobFile::close_if_idle() {
  const std::lock_guard lock(mutex_);
  if (!file_) return true;
  // An unfinished stripe is known in memory only: its bytes must stay in the very file that they were written to.
  if (file_.use_count() > 1 || active() || gone() || !slots_.empty()) return false;
  file_.reset();
  return true;
}

}  // namespace oxbow::storage
