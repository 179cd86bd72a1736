// Writing: the claim on a stripe, its flights to the file, its commit.
#include "core/log.h"
#include "storage/blob_file.h"

namespace oxbow::storage {

class StripeWriterImpl final : public StripeWriter {
 public:
  StripeWriterImpl(std::shared_ptr<BlobFile> blob, std::uint32_t stripe, std::shared_ptr<Arriving> arriving)
      : blob_(std::move(blob)), stripe_(stripe), arriving_(std::move(arriving)) {}
  ~StripeWriterImpl() override {
    flush();
    blob_->release_writer(stripe_, arriving_);
  }
  StripeWriterImpl(const StripeWriterImpl&) = delete;
  StripeWriterImpl& operator=(const StripeWriterImpl&) = delete;

  std::uint64_t position() const noexcept override { return arriving_->accepted(); }
  ByteRange stripe() const noexcept override { return arriving_->stripe(); }
  std::optional<Error> error() const override { return arriving_->error(); }
  bool committed() const override {
    return arriving_->watermark() == arriving_->stripe().end && !blob_->is_arriving(stripe_, arriving_);
  }

  bool write(std::span<const std::byte> bytes, WriteWhen when) override {
    switch (arriving_->take(bytes)) {
      case Arriving::Taken::kYes:
        break;
      case Arriving::Taken::kArenaFull:
        blob_->room_.arena_limit.Increment();
        return false;
      case Arriving::Taken::kRefused:
        return false;
    }
    blob_->room_.last_foreground_ms.store(blob_->room_.now_ms(), std::memory_order_relaxed);
    held_ = true;
    if (when == WriteWhen::kNow || arriving_->accepted() == arriving_->stripe().end || blob_->room_.arena.half_used())
      flush();
    return true;
  }

  void flush() override {
    if (std::exchange(held_, false)) blob_->fly(stripe_, arriving_);
  }

  void discard() override {
    held_ = false;
    blob_->discard(stripe_);
  }

 private:
  std::shared_ptr<BlobFile> blob_;
  const std::uint32_t stripe_;
  std::shared_ptr<Arriving> arriving_;
  bool held_ = false;  // taken since the last flush
};

Result<std::unique_ptr<StripeWriter>> BlobFile::begin_stripe(std::uint32_t stripe) {
  if (stripe >= geometry_.stripes()) return fail(Errc::kOutOfRange, "no such stripe");
  if (room_.closed.load()) return fail(Errc::kCancelled, "storage is closed");
  if (!room_.health.writable()) return std::unexpected(room_.health.error());
  std::shared_ptr<Arriving> arriving;
  std::uint64_t to_admit = 0;
  std::uint64_t stored = 0;
  auto claimed = claim(stripe, arriving, to_admit, stored);
  if (!claimed || to_admit == 0) return claimed;
  // The claim keeps others out; the store is asked without the blob's lock, because it may evict spans of this blob.
  if (auto admitted = room_.host->admit(*this, to_admit, stored); !admitted) {
    return std::unexpected(std::move(admitted.error()));
  }
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_.at(stripe);
  slot.admitted_bytes = to_admit;
  slot.kept_bytes = 0;
  return claimed;
}

Result<std::unique_ptr<StripeWriter>> BlobFile::claim(std::uint32_t stripe, std::shared_ptr<Arriving>& arriving,
                                                      std::uint64_t& to_admit, std::uint64_t& stored) {
  const std::lock_guard lock(mutex_);
  if (gone()) return fail(Errc::kNotFound, "the blob was purged");
  if (has(stripe)) return fail(Errc::kCancelled, "the stripe is there");
  const std::uint32_t span = Geometry::span_of(stripe);
  if (span_punching_[span]) return fail(Errc::kBusy, "the span is being evicted");
  const auto [at, fresh] = slots_.try_emplace(stripe);
  Slot& slot = at->second;
  if (fresh) slot.arriving = std::make_shared<Arriving>(room_.arena, stripe_range(stripe));
  if (slot.discarded) return fail(Errc::kBusy, "what came of the stripe is being discarded");
  if (slot.has_writer || !slot.arriving->restart()) return fail(Errc::kBusy, "the stripe has a writer");
  // All bytes are in the queue already: it commits by itself.
  if (slot.arriving->accepted() == slot.arriving->stripe().end) return fail(Errc::kBusy, "the stripe is being written");
  slot.has_writer = true;
  ++active_;
  touch(span);
  arriving = slot.arriving;
  if (slot.admitted_bytes == 0) {
    to_admit = stripe_range(stripe).size();
    stored = slot.kept_bytes;
  }
  return std::make_unique<StripeWriterImpl>(shared_from_this(), stripe, slot.arriving);
}

void BlobFile::release_writer(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving) {
  {
    const std::lock_guard lock(mutex_);
    --active_;
    // The stripe may have committed, gone, and got another writer since.
    const auto found = slots_.find(stripe);
    if (found != slots_.end() && found->second.arriving == arriving) found->second.has_writer = false;
  }
  settle_if_idle(stripe);
}

bool BlobFile::is_arriving(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving) const {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(stripe);
  return found != slots_.end() && found->second.arriving == arriving;
}

void BlobFile::discard(std::uint32_t stripe) {
  bool wake_arena = false;
  {
    const std::lock_guard lock(mutex_);
    const auto found = slots_.find(stripe);
    OXBOW_INVARIANT(found != slots_.end() && found->second.has_writer);
    Slot& slot = found->second;
    OXBOW_INVARIANT(slot.arriving->accepted() < slot.arriving->stripe().end);
    slot.discarded = true;
    wake_arena = slot.arriving->refuse(Error(Errc::kCancelled, "the stripe's part was discarded")).wake_arena;
  }
  if (wake_arena) wake_arena_soon();
}

/// Not from here: its waiters may take locks that the caller holds.
void BlobFile::wake_arena_soon() {
  room_.submit([&room = room_] { room.arena.waiters().wake_all(); });
}

void BlobFile::fly(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving) {
  if (auto file = opened()) return send(stripe, arriving, std::move(file));
  // The first write creates the file, which blocks.
  room_.submit([self = shared_from_this(), stripe, arriving] {
    auto file = self->open_file();
    // Recorded, and not there: what was in it has just been dropped, and a new one is made.
    if (!file && file.error().code() == Errc::kNotFound && !self->gone()) file = self->open_file();
    if (file) return self->send(stripe, arriving, std::move(*file));
    self->after_landing(stripe, arriving, arriving->refuse(file.error()));
  });
}

void BlobFile::send(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving, std::shared_ptr<OpenFile> file) {
  const auto flight = arriving->depart();
  if (!flight) return;
  ++room_.flights;
  ++active_;
  const int fd = file->fd();
  room_.engine->write(fd, flight->parts, flight->offset,
                      [self = shared_from_this(), stripe, arriving, file = std::move(file)](std::int64_t result) {
                        self->landed(stripe, arriving, result);
                        --self->active_;
                        --self->room_.flights;
                      });
}

void BlobFile::landed(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving, std::int64_t result) {
  const auto landing = arriving->landed(result);
  if (landing.error) room_.health.write_failed(*landing.error);
  after_landing(stripe, arriving, landing);
  if (!landing.complete) fly(stripe, arriving);
}

void BlobFile::after_landing(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving,
                             const Arriving::Landing& landing) {
  if (landing.complete) {
    commit(stripe, *arriving);
  } else {
    settle_if_idle(stripe);
  }
  wake();
  if (landing.wake_arena) room_.arena.waiters().wake_all();
}

void BlobFile::commit(std::uint32_t stripe, const Arriving& arriving) {
  Slot slot;
  {
    const std::lock_guard lock(mutex_);
    const auto found = slots_.find(stripe);
    OXBOW_INVARIANT(found != slots_.end() && found->second.arriving.get() == &arriving);
    slot = std::move(found->second);
    slots_.erase(found);
    checksums_[stripe] = arriving.checksum();
    checked_.set(stripe);
    resident_ms_[stripe].store(room_.now_ms(), std::memory_order_relaxed);
    present_.set(stripe);
    ++present_count_;
  }
  room_.host->settle(*this, slot.admitted_bytes, stripe_range(stripe).size());
  mark_span(Geometry::span_of(stripe));
}

// Nobody writes and nothing is queued: the store's accounts get what is not used, the unfinished part stays.
void BlobFile::settle_if_idle(std::uint32_t stripe) {
  std::uint64_t admitted = 0;
  std::uint64_t kept = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = slots_.find(stripe);
    if (found == slots_.end() || found->second.has_writer || !found->second.arriving->idle()) return;
    Slot& slot = found->second;
    if (slot.arriving->watermark() == slot.arriving->stripe().end) return;  // its commit is on the way
    const auto begin = slot.arriving->stripe().begin;
    if (slot.admitted_bytes > 0) {
      admitted = std::exchange(slot.admitted_bytes, 0);
      kept = slot.readable_end() - begin;
      slot.kept_bytes = kept;
    }
    if (slot.readable_end() == begin) slots_.erase(found);
  }
  if (admitted > 0) room_.host->settle(*this, admitted, kept);
}

}  // namespace oxbow::storage
