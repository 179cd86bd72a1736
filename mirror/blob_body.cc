#include "mirror/blob_body.h"

#include <unistd.h>

#include "core/log.h"

namespace oxbow::mirror {
namespace {

/// While verification is under way the held end is given in these drops, so that no client sees a silent body.
constexpr std::uint64_t kDropBytes = 1024;
constexpr std::chrono::milliseconds kDropEvery{2'000};

}  // namespace

BlobBody::BlobBody(Blobs& blobs, Loop& loop, BlobRead read)
    : blobs_(blobs),
      waker_(std::make_shared<Waker>(loop)),
      progress_(std::make_shared<Waker>(loop, kProgressEvery)),
      read_(std::move(read)),
      position_(read_.ranges.front().begin),
      settled_(!read_.open_ended),
      trickle_timer_(loop) {
  const auto ready = [this] {
    if (auto wake = std::exchange(on_ready_, nullptr)) wake();
  };
  waker_->set(ready);
  progress_->set(ready);
  if (read_.layout) text_ = read_.layout->part_header(0);
  blob_ = blobs_.store().lookup(read_.digest);
  // Somebody's manifest claims another size. Whose is right shows when the bytes come; they are not mixed.
  if (blob_ && blob_->geometry().blob_bytes() != read_.size) blob_ = nullptr;
  if (blob_ && blob_->complete()) {
    settled_ = settled_ || blob_->state() == storage::BlobState::kVerified;
    // It may be whole, and a part of it a peer's that nobody has checked: its fetch knows.
    if (blob_->state() == storage::BlobState::kVerified) note_storage();
    if (settled_ && !blobs_.running(read_.digest)) return;
  } else if (blob_) {
    present_at_start_.resize(blob_->geometry().stripes());
    for (std::uint32_t i = 0; i < present_at_start_.size(); ++i) present_at_start_[i] = blob_->has(i);
  } else {
    present_at_start_.resize(Geometry(read_.size).stripes());
  }
  attach();
}

BlobBody::~BlobBody() {
  subscription_.reset();
  waker_->clear();
  progress_->clear();
  if (window_log_) blobs_.journal().leave(window_log_);
}

void BlobBody::note_storage() {
  const auto place = read_.source ? read_.source->place() : SpanSource::Place{};
  const bool continues = read_.ranges.front().begin > 0;
  blobs_.journal().served(
      {read_.digest, read_.size, PullSource::kStorage, place.registry, place.repository, continues});
}

bool BlobBody::attach() {
  auto fetch = blobs_.fetch(read_.digest, read_.size, waker_->loop(), position_ > 0);
  if (!fetch) {
    log::debug("blob cannot be kept", {{"digest", read_.digest.to_string()}, log::Field(fetch.error())});
    use_window();
    return false;
  }
  subscription_.reset();
  blob_ = (*fetch)->shared_blob();
  subscription_ = blob_->on_progress([waker = progress_] { waker->wake(); });
  ReaderWants wants;
  wants.read_ahead = read_.open_ended;
  wants.ranges.assign(read_.ranges.begin() + static_cast<std::ptrdiff_t>(index_), read_.ranges.end());
  wants.ranges.front().begin = position_;
  reader_ = (*fetch)->attach(read_.source, std::move(wants), waker_);
  return true;
}

void BlobBody::on_ready(std::move_only_function<void()> wake) { on_ready_ = std::move(wake); }

Result<bool> BlobBody::first_byte_ready() {
  if (failure_) return std::unexpected(*failure_);
  if (window_ || catching_up_ || !blob_) return true;  // its first byte is awaited by the server
  if (auto refused = reader_ ? reader_->refusal() : std::nullopt) return std::unexpected(std::move(*refused));
  if (givable(1) > 0) return true;
  if (!reader_) return true;
  const auto status = reader_->fetch().status();
  if (status.failure) return std::unexpected(*status.failure);
  return static_cast<bool>(status.disk_failure);
}

http::Piece BlobBody::next(std::size_t max_bytes) {
  if (!text_.empty()) {
    auto text = std::make_shared<const std::string>(std::exchange(text_, {}));
    return http::MemoryPiece{*text, text};
  }
  while (position_ == range().end) {
    if (index_ + 1 < read_.ranges.size()) {
      ++index_;
      position_ = range().begin;
      window_.reset();
      if (read_.layout) text_ = read_.layout->part_header(index_);
      if (!text_.empty()) return next(max_bytes);
      continue;
    }
    if (read_.layout && !trailer_given_) {
      trailer_given_ = true;
      text_ = read_.layout->trailer();
      return next(max_bytes);
    }
    return http::End{};
  }
  return step(max_bytes);
}

http::Piece BlobBody::step(std::size_t max_bytes) {
  if (failure_) return http::Cut{*failure_};
  if (catching_up_) {
    if (!catching_up_->outcome()) return http::Wait{};
    if (!*caught_up_) {
      failure_ = Error(Errc::kIo, "what was given so far cannot be read any more, so the rest cannot be verified");
      return http::Cut{*failure_};
    }
    enter_window(std::move(*caught_up_));
  }
  catching_up_.reset();
  if (!window_ && !blob_) use_window();
  if (window_) return from_window(max_bytes);
  if (preparing_) {
    const auto outcome = preparing_->outcome();
    if (!outcome) return http::Wait{};
    preparing_.reset();
    // Corrupt or missing stripes have been dropped: they are fetched again below. A disk that cannot be read is left
    // alone.
    if (!*outcome && outcome->error().code() == Errc::kIo) {
      use_window();
      return next(max_bytes);
    }
  }
  if (reader_) failure_ = reader_->refusal();
  const auto end = limit();
  if (failure_) return http::Cut{*failure_};
  const auto ready = givable(std::min<std::uint64_t>(max_bytes, end - std::min(end, position_)));
  if (ready > 0) return give(ready);
  if (reader_) {
    const auto status = reader_->fetch().status();
    if (status.failure) return http::Cut{*status.failure};
    if (status.disk_failure && !blob_->gone()) {
      use_window();
      return next(max_bytes);
    }
    if (blob_->gone() && !settled_ && position_ > range().begin) {
      // What was given is in the old file alone: a new one would never be whole for this reader, nor vouch for that.
      use_window();
      return next(max_bytes);
    }
    if (blob_->gone()) {  // evicted or purged under us: what is missing is fetched into a new file
      reader_.reset();
      if (!attach()) return next(max_bytes);
    }
    return http::Wait{};
  }
  if (!attach()) return next(max_bytes);
  return http::Wait{};
}

/// What is readable from here on, without what a peer sent and nobody has checked.
std::uint64_t BlobBody::givable(std::uint64_t max_bytes) const {
  const auto readable = max_bytes > 0 ? blob_->readable(position_, max_bytes) : 0;
  if (readable == 0 || !reader_) return readable;
  return reader_->fetch().marks().free_end(blob_->geometry(), position_, position_ + readable) - position_;
}

std::uint64_t BlobBody::limit() {
  const auto end = range().end;
  if (settled_) return end;
  const auto free_end = std::max(range().begin, end - std::min(end - range().begin, kHeldBytes));
  if (position_ < free_end) return free_end;
  if (!reader_) attach();
  if (reader_) {
    const auto status = reader_->fetch().status();
    // In this order: what was found wrong before it settled is known by then.
    const bool settled = reader_->settled();
    if (has_given_wrong(*reader_)) return position_;
    // An open-ended range whose prefix is not here cannot be waited for: nobody may ever fetch it.
    if (settled || (read_.ranges.front().begin > 0 && !blob_->complete() &&
                    blob_->readable(position_, end - position_) == end - position_)) {
      settled_ = true;
      return end;
    }
    // A disk that failed will not verify anything; a window goes on from here and does.
    if (status.disk_failure) return position_;
  }
  trickle();
  return std::min(end - 1, std::max(position_, free_end + released_));
}

/// To be asked of a reader before it is left.
bool BlobBody::has_given_wrong(const FetchReader& reader) {
  for (const auto stripe : reader.replaced()) {
    const auto bytes = blob_->geometry().stripe(stripe);
    if (bytes.begin >= position_ || bytes.end <= range().begin) continue;
    failure_ = Error(Errc::kCorrupt, "a peer's wrong bytes had been given before they were found out");
    return true;
  }
  return false;
}

void BlobBody::trickle() {
  if (trickling_) return;
  trickling_ = true;
  trickle_timer_.expires_after(kDropEvery);
  // A timer that has expired already runs even when it is cancelled now, so the handler asks whether we still are.
  trickle_timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& cancelled) {
    if (cancelled || alive.expired()) return;
    trickling_ = false;
    released_ += kDropBytes;
    waker_->wake();
  });
}

Blobs::Served BlobBody::source_of(std::uint32_t stripe) const {
  if (present_at_start_.empty() || present_at_start_[stripe]) return Blobs::Served::kStorage;
  const auto mark = reader_ ? reader_->fetch().marks().at(stripe) : StripeMark::kPlain;
  return mark == StripeMark::kChecked ? Blobs::Served::kPeer : Blobs::Served::kUpstream;
}

http::Piece BlobBody::give(std::uint64_t ready) {
  const ByteRange piece{position_, position_ + ready};
  preparing_ = prepare_range(*blob_, piece, waker_);
  if (preparing_) return http::Wait{};
  auto pinned = blob_->acquire(piece);
  if (!pinned) {  // lost between the two calls
    const auto before = std::move(reader_);
    attach();
    if (before && has_given_wrong(*before))
      return http::Cut{*failure_};  // of what came before, the new one knows nothing
    return http::Wait{};
  }
  const auto stripe = blob_->geometry().stripe_at(position_);
  blobs_.count_served(source_of(stripe), ready);
  position_ = piece.end;
  if (reader_) reader_->advance(position_);
  return http::FilePiece{pinned->fd, piece.begin, static_cast<std::size_t>(ready), pinned->pin};
}

void BlobBody::use_window() {
  blobs_.count_window_reader();
  std::optional<Hasher> hasher;
  if (read_.open_ended && read_.ranges.front().begin == 0) {
    hasher = reader_ ? reader_->fetch().prefix_snapshot() : Hasher(read_.digest.algorithm());
  }
  reader_.reset();
  if (!hasher || hasher->bytes() >= position_) {
    enter_window(std::move(hasher));
    return;
  }
  // What this response has given already is hashed from the file first, on the pool.
  catching_up_ = std::make_shared<LateAnswer>();
  caught_up_ = std::make_shared<std::optional<Hasher>>(hasher);
  blobs_.pool().submit([state = catching_up_, caught_up = caught_up_, blob = blob_, end = position_, waker = waker_] {
    auto& prefix = *caught_up;
    std::vector<std::byte> buffer(256UL * 1024);
    while (prefix && prefix->bytes() < end) {
      const auto from = prefix->bytes();
      const auto want = std::min<std::uint64_t>(buffer.size(), end - from);
      const auto pinned = blob->acquire({from, from + want});
      const auto got = pinned ? ::pread(pinned->fd, buffer.data(), want, static_cast<off_t>(from)) : -1;
      if (got <= 0)
        prefix.reset();
      else
        prefix->update(std::span(buffer).first(static_cast<std::size_t>(got)));
    }
    state->give({});
    waker->wake();
  });
}

http::Piece BlobBody::from_window(std::size_t max_bytes) {
  auto piece = window_->next(max_bytes);
  auto& journal = blobs_.journal();
  if (const auto* memory = std::get_if<http::MemoryPiece>(&piece)) {
    position_ += memory->bytes.size();
    window_bytes_ += memory->bytes.size();
    // What has come is counted when it is given: a few bytes later, but of the right source in the sum.
    const auto from_peers = std::min(window_peers_ ? window_peers_->peer_bytes() : 0, window_bytes_);
    const auto peers_now = std::min<std::uint64_t>(from_peers - window_peer_bytes_, memory->bytes.size());
    window_peer_bytes_ += peers_now;
    if (peers_now > 0) blobs_.count_served(Blobs::Served::kPeer, peers_now);
    if (peers_now < memory->bytes.size())
      blobs_.count_served(Blobs::Served::kUpstream, memory->bytes.size() - peers_now);
    window_log_->window(window_bytes_, window_peer_bytes_);
    if (position_ == read_.size && window_hashes_) journal.end(window_log_, PullState::kVerified);
  } else if (const auto* cut = std::get_if<http::Cut>(&piece)) {
    journal.end(window_log_, PullState::kFailed, cut->error.what());
    if (cut->error.code() == Errc::kCorrupt && window_peers_ && window_peers_->peer_bytes() > 0)
      blobs_.distrust(read_.digest);
  }
  return piece;
}

void BlobBody::enter_window(std::optional<Hasher> hasher) {
  auto source = read_.source;
  const auto patience = reader_patience(blobs_.limits(), *source);
  if (!window_log_) {
    window_log_ = blobs_.journal().begin(read_.digest, Geometry(read_.size), nullptr);
    window_log_->reader(source->place().registry, source->place().repository);
    window_log_->window(0, 0);
  }
  window_hashes_ = hasher.has_value();
  if (blobs_.peers() != nullptr && blobs_.peers()->snapshot()->eligible_others() > 0) {
    if (!window_peers_) {
      // Without a hash nothing shows that a peer's bytes are right, and after a mismatch it does not show whose were
      // wrong.
      using Order = PeerFirstSource::Order;
      const bool trusts = window_hashes_ && !blobs_.distrusted(read_.digest);
      window_peers_ = std::make_shared<PeerFirstSource>(*blobs_.peers(), std::move(source), read_.digest, read_.size,
                                                        trusts ? Order::kPeersFirst : Order::kUpstreamFirst);
    }
    source = window_peers_;
  }
  window_ = std::make_unique<WindowStream>(
      WindowStream::Options{read_.digest, read_.size, {position_, range().end}, std::move(hasher), patience},
      std::move(source), blobs_.clock(), blobs_.window_memory(), waker_);
}

}  // namespace oxbow::mirror
