#include "mirror/prefix_hasher.h"

#include <unistd.h>

#include <cerrno>

namespace oxbow::mirror {
namespace {

constexpr std::size_t kReadBytes = 256UL * 1024;
/// After this much the job goes to the back of the pool's queue, so that one big blob does not keep others waiting.
constexpr std::uint64_t kTurnBytes = 16ULL * 1024 * 1024;
constexpr std::size_t kLinksMax = 4096;

/// Feeds a pinned range to `feed`. False when the file could not give it.
bool read_range(const storage::PinnedRange& pinned, const std::function<void(std::span<const std::byte>)>& feed) {
  thread_local std::vector<std::byte> buffer(kReadBytes);
  std::uint64_t offset = pinned.range.begin;
  while (offset < pinned.range.end) {
    const auto want = std::min<std::uint64_t>(buffer.size(), pinned.range.end - offset);
    const ssize_t got = ::pread(pinned.fd, buffer.data(), want, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    feed(std::span(buffer).first(static_cast<std::size_t>(got)));
    offset += static_cast<std::uint64_t>(got);
  }
  return true;
}

/// Where to begin: after the last known midstate, also when stripes before it are missing (they are checked alone).
Hasher first_state(const storage::Blob& blob, std::size_t at_most = ~std::size_t{0}) {
  auto midstates = blob.midstates();
  if (midstates.size() > at_most) midstates.resize(at_most);
  const auto algorithm = blob.digest().algorithm();
  if (!midstates.empty()) {
    const std::uint64_t position = midstates.size() * blob.geometry().stripe_bytes();
    if (auto hasher = Hasher::resume(algorithm, midstates.back(), position)) return *hasher;
  }
  return Hasher(algorithm);
}

}  // namespace

PrefixHasher::PrefixHasher(std::shared_ptr<storage::Blob> blob, WorkPool& pool, OnBoundary on_boundary,
                           std::function<void(Result<>)> done)
    : blob_(std::move(blob)),
      pool_(pool),
      on_boundary_(std::move(on_boundary)),
      done_(std::move(done)),
      hasher_(first_state(*blob_)),
      position_(hasher_.bytes()) {}

void PrefixHasher::poke() {
  if (pokes_.fetch_add(1) == 0) pool_.submit([self = shared_from_this()] { self->run(); });
}

void PrefixHasher::run() {
  const int seen = pokes_.load();
  if (turn()) {
    // Pokes that came meanwhile may mean bytes that this turn has not seen.
    if (pokes_.fetch_sub(seen) == seen) return;
  }
  pool_.submit([self = shared_from_this()] { self->run(); });
}

void PrefixHasher::go_on() {
  go_on_ = true;
  poke();
}

void PrefixHasher::rewind(std::uint32_t stripe) {
  // The lowest of what is ordered until it is done.
  auto ordered = rewind_to_.load();
  while ((ordered < 0 || ordered > stripe) && !rewind_to_.compare_exchange_weak(ordered, stripe)) {
  }
  poke();
}

void PrefixHasher::add_link(std::uint32_t stripe, StripeLink link) {
  if (position_ >= blob_->geometry().stripe(stripe).end) return;
  {
    const std::lock_guard lock(links_mutex_);
    if (links_.size() >= kLinksMax) return;
    links_.insert_or_assign(stripe, std::move(link));
  }
  poke();
}

void PrefixHasher::forget_link(std::uint32_t stripe) {
  const std::lock_guard lock(links_mutex_);
  links_.erase(stripe);
}

std::uint64_t PrefixHasher::position() const noexcept {
  const std::uint64_t position = position_.load();
  const auto to = rewind_to_.load();
  return to < 0 ? position : std::min(position, blob_->geometry().stripe(static_cast<std::uint32_t>(to)).begin);
}

void PrefixHasher::go_back(std::uint32_t stripe) {
  if (position_ <= blob_->geometry().stripe(stripe).begin) return;
  blob_->forget_midstates(stripe + 1);
  const std::lock_guard lock(mutex_);
  hasher_ = first_state(*blob_, stripe);
  position_ = hasher_.bytes();
  held_ = finished_ = false;
}

void PrefixHasher::take_orders() {
  // Taken down only when it is done, because `position` must not be seen to jump.
  for (auto to = rewind_to_.load(); to >= 0;) {
    go_back(static_cast<std::uint32_t>(to));
    if (rewind_to_.compare_exchange_strong(to, -1)) break;
  }
  if (go_on_.exchange(false) && std::exchange(held_, false)) {
    const auto stripe = blob_->geometry().stripe_at(position_ - 1);
    blob_->add_midstate(stripe + 1, hasher_.midstate());
  }
}

/// The prefix has reached the end of a stripe that is not the last one.
bool PrefixHasher::pass_boundary(std::uint32_t stripe) {
  auto midstate = hasher_.midstate();
  if (on_boundary_ && !on_boundary_(stripe, midstate)) {
    held_ = true;
    return false;
  }
  blob_->add_midstate(stripe + 1, std::move(midstate));
  return true;
}

/// The prefix is at the begin of a stripe that was hashed alone, from the very state that the prefix has come to.
bool PrefixHasher::step_over(std::uint32_t stripe) {
  // To the end: after `forget_link` the prefix is seen to have passed, or will not step over.
  const std::lock_guard links_lock(links_mutex_);
  const auto found = links_.find(stripe);
  if (found == links_.end()) return false;
  const auto link = std::move(found->second);
  links_.erase(found);
  const std::lock_guard lock(mutex_);
  const auto range = blob_->geometry().stripe(stripe);
  if (stripe > 0 && hasher_.midstate() != link.from) return false;
  if (!blob_->has(stripe)) return false;
  auto next = Hasher::resume(blob_->digest().algorithm(), link.to, range.end);
  if (!next) return false;
  hasher_ = *next;
  position_ = range.end;
  return true;
}

bool PrefixHasher::turn() {
  take_orders();
  if (finished_ || held_) return true;
  const auto& geometry = blob_->geometry();
  std::uint64_t turn_left = kTurnBytes;
  while (position_ < geometry.blob_bytes() && turn_left > 0) {
    const std::uint64_t position = position_;
    const auto stripe_index = geometry.stripe_at(position);
    const auto stripe = geometry.stripe(stripe_index);
    if (position == stripe.begin && step_over(stripe_index)) {
      if (this->position() < position_) return false;
      if (!pass_boundary(stripe_index)) return true;
      continue;
    }
    const std::uint64_t ready = blob_->readable(position, std::min(stripe.end - position, turn_left));
    if (ready == 0) return true;
    const auto pinned = blob_->acquire({position, position + ready});
    if (!pinned) {
      // Dropped meanwhile: hashed when it comes again.
      if (pinned.error().code() != Errc::kNotFound) done_(std::unexpected(pinned.error()));
      return true;
    }
    bool whole = false;
    {
      const std::lock_guard lock(mutex_);
      Hasher next = hasher_;
      whole = read_range(*pinned, [&](std::span<const std::byte> bytes) { next.update(bytes); });
      if (whole) hasher_ = next;
    }
    if (!whole) {
      done_(fail(Errc::kIo, "the blob's file cannot be read"));
      return true;
    }
    position_ = position + ready;
    turn_left -= ready;
    // What has just been hashed may be half of a stripe that went and half of the one that came for it.
    if (this->position() < position_) return false;
    if (position_ == stripe.end && stripe.end < geometry.blob_bytes()) {
      if (!pass_boundary(stripe_index)) return true;
    }
  }
  if (position_ < geometry.blob_bytes()) return false;
  finished_ = true;
  if (hasher_.digest() == blob_->digest()) {
    blob_->set_verified();
    done_({});
  } else {
    done_(fail(Errc::kCorrupt,
               "the bytes hash to " + hasher_.digest().to_string() + ", not to " + blob_->digest().to_string()));
  }
  return true;
}

Hasher PrefixHasher::snapshot() const {
  const std::lock_guard lock(mutex_);
  return hasher_;
}

std::optional<StripeLink> link_of(const Geometry& geometry, std::uint32_t stripe,
                                  std::span<const std::string> midstates) {
  const bool last = stripe + 1 == geometry.stripes();
  if (midstates.size() < stripe || (!last && midstates.size() < stripe + 1)) return std::nullopt;
  return StripeLink{.from = stripe == 0 ? std::string() : midstates[stripe - 1],
                    .to = last ? std::string() : midstates[stripe]};
}

std::optional<bool> check_link(storage::Blob& blob, std::uint32_t stripe, const StripeLink& link) {
  const auto algorithm = blob.digest().algorithm();
  const auto range = blob.geometry().stripe(stripe);
  auto hasher = stripe == 0 ? std::optional(Hasher(algorithm)) : Hasher::resume(algorithm, link.from, range.begin);
  if (!hasher) return std::nullopt;
  const auto pinned = blob.acquire(range);
  if (!pinned || !read_range(*pinned, [&](std::span<const std::byte> bytes) { hasher->update(bytes); }))
    return std::nullopt;
  const bool last = stripe + 1 == blob.geometry().stripes();
  return last ? hasher->digest() == blob.digest() : hasher->midstate() == link.to;
}

}  // namespace oxbow::mirror
