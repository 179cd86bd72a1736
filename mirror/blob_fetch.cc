#include "mirror/blob_fetch.h"

#include "core/log.h"
#include "mirror/peer_source.h"

namespace oxbow::mirror {
namespace {

/// In place of a source: several had a part in the stripe, it came along a path, or it is older than this fetch. Nobody
/// is named for it.
constexpr p2p::SourceId kSeveral = std::numeric_limits<p2p::SourceId>::max();

/// Checked at once for a reader that the hashed prefix does not lead to.
constexpr std::uint32_t kCheckedAhead = 4;

/// From here on a reader is held back, so it has to want everything: it will not come any further by itself.
std::uint64_t held_begin(ByteRange range) noexcept { return range.end - std::min(range.size(), kHeldBytes); }

bool is_final(Errc code) noexcept {
  switch (code) {
    case Errc::kUnauthorized:
    case Errc::kDenied:
    case Errc::kNotFound:
    case Errc::kCorrupt:
    case Errc::kUnsupported:
      return true;
    default:
      return false;
  }
}

}  // namespace

struct BlobFetch::Reader {
  std::shared_ptr<SpanSource> source;
  ReaderWants wants;
  std::uint64_t start = 0;
  std::uint64_t position = 0;
  std::shared_ptr<Waker> waker;
  std::optional<Error> refused;  ///< its source said no for good; another reader's may still say yes
};

/// One request under way: cuts the received bytes into stripes and gives them to their writers.
class BlobFetch::Running final : public SpanSink {
 public:
  Running(BlobFetch& owner, const p2p::Fetch& fetch, std::shared_ptr<SpanSource> source, std::uint64_t reader)
      : owner_(owner), fetch_(fetch), source_(std::move(source)), reader_(reader), geometry_(owner.blob_->geometry()) {}

  void begin(std::uint64_t hedge_begin) {
    position_ = geometry_.stripe(fetch_.stripes.begin).begin;
    end_ = geometry_.stripe(fetch_.stripes.end - 1).end;
    started_ = last_byte_ = owner_.now();
    if (fetch_.hedge_of) {
      held_begin_ = position_ = std::max(position_, hedge_begin);
      request_ = source_->request(owner_.context_.home, {position_, end_}, *this);
      return;
    }
    auto writer = owner_.blob_->begin_stripe(fetch_.stripes.begin);
    if (!writer && writer.error().code() == Errc::kBusy) {
      // An earlier request's last bytes are still on their way into the file: asking now would ask for them twice.
      return finish(std::unexpected(std::move(writer.error())));
    }
    if (!take_writer(std::move(writer))) return;
    if (writer_) position_ = writer_->position();  // where an earlier writer stopped
    request_ = source_->request(owner_.context_.home, {position_, end_}, *this);
  }

  void on_head(const SpanHead& head) override {
    if (head.blob_bytes && *head.blob_bytes != geometry_.blob_bytes()) {
      finish(oxbow::fail(Errc::kCorrupt, fmt::format("the source says the blob has {} bytes, its descriptor says {}",
                                                     *head.blob_bytes, geometry_.blob_bytes())));
      return;
    }
    first_byte_ = owner_.now();
    heard_ = true;
    vouched_ = head.vouched;
    owner_.head_came(fetch_.stripes.begin, {}, false);
    if (head.checksum_hex) claimed_ = Checksum::parse(*head.checksum_hex);
    if (head.load) owner_.note_load(fetch_.source, *head.load);
    if (!head.whole) {
      if (head.begin == position_) return;
      finish(oxbow::fail(Errc::kCorrupt, "the source sent another range than was asked for"));
      return;
    }
    // No range support: this one request streams the whole blob; what is here already is skipped.
    position_ = 0;
    end_ = geometry_.blob_bytes();
    writer_.reset();
    skipping_ = false;
    owner_.take_whole(fetch_.id);
  }

  std::size_t on_data(std::span<const std::byte> bytes) override {
    last_byte_ = owner_.now();
    if (fetch_.hedge_of) return hold(bytes);
    std::size_t taken = 0;
    while (taken < bytes.size() && !outcome_) {
      if (position_ >= end_)
        return bytes.size();  // more than was asked for: dropped, the length check follows in on_done
      if (!writer_ && !skipping_ && !open_writer()) return taken;
      const auto stripe = geometry_.stripe(geometry_.stripe_at(position_));
      const auto part = bytes.subspan(taken, std::min<std::uint64_t>(bytes.size() - taken, stripe.end - position_));
      const std::size_t used = take(part);
      taken += used;
      if (used == 0) return taken;
    }
    return taken;
  }

  void on_done(Result<> outcome) override {
    if (outcome && position_ < end_) outcome = oxbow::fail(Errc::kUnavailable, "the source ended before the range did");
    if (outcome && fetch_.hedge_of) {
      landing_ = true;  // the whole tail is here: it goes into the file in place of what is late
      owner_.progress_->wake();
      return;
    }
    finish(std::move(outcome));
  }

  /// After storage progress: reports stripes that have committed; resumes; ends. False when this object was ended.
  void progress() {
    while (!committing_.empty()) {
      auto& [stripe, writer] = committing_.front();
      if (const auto error = writer->error()) {
        owner_.fail_disk(*error);
        return;
      }
      if (!owner_.blob_->has(stripe)) break;
      const auto committed = stripe;
      committing_.pop_front();
      if (!owner_.accept(*this, committed)) {
        request_.reset();
        writer_.reset();
        outcome_ = oxbow::fail(Errc::kCorrupt, "the stripe does not match what is known of it");
        continue;
      }
      owner_.stripe_arrived(*this, committed);
    }
    if (landing_ && !outcome_) land();
    if (writer_ && writer_->error()) {
      owner_.fail_disk(*writer_->error());
      return;
    }
    if (paused_ && request_) {
      paused_ = false;
      request_->resume();
    }
    if (outcome_ && committing_.empty()) owner_.ended(fetch_.id, std::move(*outcome_));
  }

  void cancel() {
    request_.reset();
    finish(oxbow::fail(Errc::kCancelled, "no reader wants it any more"));
  }

  /// Where the next byte from the source goes: a hedge begins there.
  std::uint64_t position() const noexcept { return position_; }
  const p2p::Fetch& fetch() const noexcept { return fetch_; }
  p2p::SourceId source() const noexcept { return fetch_.source; }
  bool is_repair() const noexcept { return (fetch_.id & kRepairId) != 0; }
  bool is_forward() const noexcept { return (fetch_.id & kForwardId) != 0; }
  UnderWay under_way() const {
    return {.id = fetch_.id,
            .forward = is_forward(),
            .heard = heard_ && !outcome_,
            .begun = received_ > 0,
            .upstream = source() == p2p::kUpstream,
            .over = outcome_ && !*outcome_,
            .since_last = owner_.now() - last_byte_};
  }
  bool leased() const { return source_->leased(); }
  /// Who only passed the bytes on is not to blame for them.
  bool relayed() const noexcept { return fetch_.along && !vouched_; }
  const std::optional<Checksum>& claimed() const noexcept { return claimed_; }
  std::vector<std::string> alternatives() const { return source_->alternatives(); }
  p2p::FetchProgress report() const { return {fetch_.id, received_, owner_.now() - last_byte_}; }
  std::chrono::milliseconds to_first_byte() const { return first_byte_ - started_; }
  p2p::Time started() const noexcept { return started_; }
  std::uint64_t reader() const noexcept { return reader_; }
  bool committing() const noexcept { return !committing_.empty(); }

 private:
  /// A writer for the stripe at position_, or skipping when the stripe is here already. False after a disk failure.
  bool open_writer() { return take_writer(owner_.blob_->begin_stripe(geometry_.stripe_at(position_))); }

  bool take_writer(Result<std::unique_ptr<storage::StripeWriter>> writer) {
    const auto stripe = geometry_.stripe_at(position_);
    skipping_ = false;
    if (writer) {
      writer_ = std::move(*writer);
      owner_.on_writing(stripe, fetch_.source, writer_->position() == writer_->stripe().begin);
      return true;
    }
    if (writer.error().code() == Errc::kCancelled || writer.error().code() == Errc::kBusy) {
      skipping_ = true;
      skip_to_ = geometry_.stripe(stripe).end;
      return true;
    }
    owner_.fail_disk(writer.error());
    return false;
  }

  std::size_t take(std::span<const std::byte> part) {
    if (skipping_) {
      const auto skipped = static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), skip_to_ - position_));
      position_ += skipped;
      if (position_ == skip_to_) skipping_ = false;
      return skipped;
    }
    if (position_ < writer_->position()) {
      const auto known =
          static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), writer_->position() - position_));
      position_ += known;
      return known;
    }
    if (!writer_->write(part)) {
      if (const auto error = writer_->error()) {
        owner_.fail_disk(*error);
      }
      paused_ = true;
      owner_.wait_for_room();
      return 0;
    }
    owner_.waits_for_room_since_.reset();
    owner_.last_progress_ = owner_.now();
    if (fetch_.source == p2p::kUpstream) owner_.backoff_ = {};
    position_ += part.size();
    received_ += part.size();
    if (position_ == writer_->stripe().end) {
      committing_.emplace_back(geometry_.stripe_at(writer_->stripe().begin), std::move(writer_));
    }
    return part.size();
  }

  /// A hedge's bytes wait in memory (a stripe at most) until all of the tail is here.
  std::size_t hold(std::span<const std::byte> bytes) {
    const auto part = bytes.first(std::min<std::uint64_t>(bytes.size(), end_ - position_));
    held_.insert(held_.end(), part.begin(), part.end());
    position_ += part.size();
    received_ += part.size();
    return bytes.size();
  }

  /// Writes what is still missing of a hedged stripe from the held tail.
  void land() {
    const auto stripe = fetch_.stripes.begin;
    if (!writer_) {
      if (const auto late = owner_.running_.find(*fetch_.hedge_of); late != owner_.running_.end())
        late->second->cancel();
      auto writer = owner_.blob_->begin_stripe(stripe);
      if (!writer) {
        if (writer.error().code() == Errc::kBusy) return;  // its last bytes are still on their way into the file
        if (writer.error().code() == Errc::kCancelled) return finish({});
        return owner_.fail_disk(writer.error());
      }
      writer_ = std::move(*writer);
      owner_.on_writing(stripe, fetch_.source, writer_->position() == writer_->stripe().begin);
    }
    const auto at = writer_->position();
    if (at < held_begin_) return finish(oxbow::fail(Errc::kCancelled, "the late stripe was begun anew"));
    std::span<const std::byte> rest(held_);
    rest = rest.subspan(std::min<std::size_t>(at - held_begin_, rest.size()));
    while (!rest.empty()) {
      // In parts, as the write arena has room.
      const auto part = rest.first(std::min<std::size_t>(rest.size(), 64UL * 1024));
      if (!writer_->write(part)) {
        if (const auto error = writer_->error()) owner_.fail_disk(*error);
        return;
      }
      rest = rest.subspan(part.size());
    }
    owner_.last_progress_ = owner_.now();
    landing_ = false;
    committing_.emplace_back(stripe, std::move(writer_));
    finish({});
  }

  void finish(Result<> outcome) {
    if (outcome_) return;
    outcome_ = std::move(outcome);
    writer_.reset();  // an unfinished stripe stays where it stopped
    owner_.progress_->wake();
  }

  BlobFetch& owner_;
  p2p::Fetch fetch_;
  std::shared_ptr<SpanSource> source_;
  std::uint64_t reader_;
  const Geometry geometry_;
  std::uint64_t position_ = 0;
  std::uint64_t end_ = 0;
  p2p::Time started_{0};
  std::unique_ptr<storage::StripeWriter> writer_;
  std::deque<std::pair<std::uint32_t, std::unique_ptr<storage::StripeWriter>>> committing_;
  bool skipping_ = false;
  std::uint64_t skip_to_ = 0;
  bool paused_ = false;
  bool heard_ = false;
  bool vouched_ = false;
  std::optional<Checksum> claimed_;
  std::vector<std::byte> held_;
  std::uint64_t held_begin_ = 0;
  bool landing_ = false;
  std::uint64_t received_ = 0;
  p2p::Time first_byte_{0};
  p2p::Time last_byte_{0};
  std::optional<Result<>> outcome_;
  std::unique_ptr<SpanRequest> request_;  // last: destroyed first, so that nothing is called any more
};

std::shared_ptr<BlobFetch> BlobFetch::create(Context context, std::shared_ptr<storage::Blob> blob,
                                             std::unique_ptr<p2p::Strategy> strategy) {
  Loop& home = context.home;
  // Its timers and requests belong to the home loop, so it ends there, whoever lets go last.
  std::shared_ptr<BlobFetch> fetch(
      new BlobFetch(context, std::move(blob), std::move(strategy)),
      [&home](BlobFetch* done) { asio::post(home, [owned = std::unique_ptr<BlobFetch>(done)] {}); });
  fetch->begin();
  return fetch;
}

BlobFetch::BlobFetch(Context context, std::shared_ptr<storage::Blob> blob, std::unique_ptr<p2p::Strategy> strategy)
    : context_(context),
      blob_(std::move(blob)),
      strategy_(std::move(strategy)),
      progress_(std::make_shared<Waker>(context.home, kProgressEvery)),
      room_(std::make_shared<Waker>(context.home)),
      timer_(context.home),
      retries_(blob_->geometry().stripes()),
      relinked_(blob_->geometry().stripes()),
      marks_(blob_->geometry().stripes()),
      origins_(blob_->geometry().stripes(), context.peers == nullptr ? p2p::kUpstream : kSeveral),
      accepted_(blob_->geometry().stripes()),
      checking_(blob_->geometry().stripes()) {}

BlobFetch::~BlobFetch() {
  subscription_.reset();
  arena_space_.reset();
  links_.reset();
  progress_->clear();
  room_->clear();
  running_.clear();
  if (context_.peers != nullptr && blob_->stripes_present() > 0 && !blob_->gone())
    context_.peers->holds(blob_->digest());
}

bool BlobFetch::is_arriving(std::uint32_t stripe) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::find(arriving_, stripe) != arriving_.end();
}

std::vector<p2p::PeerId> BlobFetch::holders(std::uint32_t stripe) const {
  std::vector<p2p::PeerId> out;
  const std::lock_guard lock(mutex_);
  if (stripe >= holders_.size()) return out;
  std::ranges::copy_if(holders_[stripe], std::back_inserter(out), [](auto peer) { return peer != p2p::kNoPeer; });
  return out;
}

/// Peers may ask for a stripe whose bytes are coming from upstream right now.
void BlobFetch::note_arriving(std::uint32_t stripe) {
  const std::lock_guard lock(mutex_);
  if (std::ranges::find(arriving_, stripe) == arriving_.end()) arriving_.push_back(stripe);
}

void BlobFetch::note_load(p2p::PeerId peer, const p2p::Load& load) {
  asio::post(context_.home, [weak = weak_from_this(), peer, load] {
    const auto self = weak.lock();
    if (!self) return;
    p2p::HaveUpdate update;
    update.load = load;
    self->tell(p2p::HaveChanged{peer, std::move(update)});
  });
}

/// It is this node that is busy, not the source: that is no reason to cut a reader, unless it lasts.
void BlobFetch::wait_for_room() {
  if (!waits_for_room_since_) waits_for_room_since_ = now();
  if (now() < *waits_for_room_since_ + context_.limits.no_room) last_progress_ = now();
}

void BlobFetch::note_holder(p2p::PeerId peer, const p2p::HaveUpdate& update) {
  const std::lock_guard lock(mutex_);
  holders_.resize(blob_->geometry().stripes());
  const auto note = [&](std::uint32_t stripe) {
    if (stripe >= holders_.size()) return;
    auto& known = holders_[stripe];
    if (std::ranges::find(known, peer) != known.end()) return;
    std::ranges::rotate(known, known.end() - 1);
    known.front() = peer;
  };
  for (const auto stripe : update.have) note(stripe);
  for (std::uint32_t i = 0; update.map && i < update.map->size(); ++i) {
    if (update.map->has(i)) note(i);
  }
}

void BlobFetch::begin() {
  started_ = last_progress_ = now();
  PrefixHasher::OnBoundary on_boundary;
  if (context_.peers != nullptr) {
    on_boundary = [weak = weak_from_this()](std::uint32_t stripe, std::string_view midstate) {
      const auto self = weak.lock();
      return !self || self->on_boundary(stripe, midstate);
    };
  }
  hasher_ = std::make_shared<PrefixHasher>(blob_, context_.pool, std::move(on_boundary),
                                           [weak = weak_from_this(), &home = context_.home](Result<> outcome) {
                                             asio::post(home, [weak, outcome = std::move(outcome)]() mutable {
                                               if (const auto self = weak.lock()) self->on_hashed(std::move(outcome));
                                             });
                                           });
  // `set` from here is safe: nobody can wake before the subscription exists.
  progress_->set([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_progress();
  });
  subscription_ = blob_->on_progress([progress = progress_] { progress->wake(); });
  // A fetch that was refused room in the write arena may have nothing on its way that would wake it.
  // At once: room that is there for a moment goes to whoever comes first.
  room_->set([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_progress();
  });
  arena_space_ = context_.store.on_arena_space([room = room_] { room->wake(); });
  if (context_.peers == nullptr) return;
  links_ = std::make_unique<PeerLinks>(*context_.peers, context_.home, blob_->digest(), blob_->geometry().stripes(),
                                       [weak = weak_from_this()](const p2p::Event& event) {
                                         // Its end may be on its way already.
                                         const auto self = weak.lock();
                                         if (!self) return;
                                         self->on_heard(event);
                                         self->tell(event);
                                         self->pump();
                                       });
  asio::post(context_.home, [self = shared_from_this()] { self->links_->start(); });
}

std::vector<std::uint32_t> BlobFetch::arriving() const {
  const std::lock_guard lock(mutex_);
  return arriving_;
}

p2p::Time BlobFetch::now() const {
  return std::chrono::duration_cast<p2p::Time>(context_.clock.steady().time_since_epoch());
}

FetchStatus BlobFetch::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

std::unique_ptr<FetchReader> BlobFetch::attach(std::shared_ptr<SpanSource> source, ReaderWants wants,
                                               std::shared_ptr<Waker> waker) {
  OXBOW_INVARIANT(!wants.ranges.empty());
  const auto id = next_reader_.fetch_add(1);
  const auto range = wants.ranges.front();
  asio::post(context_.home, [self = shared_from_this(), id, start = range.begin, source = std::move(source),
                             wants = std::move(wants), waker = std::move(waker)]() mutable {
    self->add_reader(id, Reader{std::move(source), std::move(wants), start, start, std::move(waker), {}});
  });
  return std::unique_ptr<FetchReader>(new FetchReader(shared_from_this(), id, range));
}

FetchReader::~FetchReader() {
  asio::post(fetch_->context_.home, [fetch = fetch_, id = id_] { fetch->remove_reader(id); });
}

void FetchReader::advance(std::uint64_t position) {
  // The home loop is told at stripe boundaries and where the window opens, not at every piece.
  const auto& geometry = fetch_->blob_->geometry();
  const bool boundary = geometry.stripe_at(position) != geometry.stripe_at(told_);
  const auto passes = [&](std::uint64_t mark) { return told_ < mark && position >= mark; };
  if (!boundary && !passes(range_.begin + fetch_->context_.limits.cautious_bytes) && !passes(held_begin(range_)))
    return;
  told_ = position;
  asio::post(fetch_->context_.home, [fetch = fetch_, id = id_, position] {
    const auto reader = fetch->readers_.find(id);
    if (reader == fetch->readers_.end()) return;
    reader->second.position = position;
    fetch->pump();
  });
}

void BlobFetch::add_reader(std::uint64_t id, Reader reader) {
  // A pause without readers is not a stall.
  if (readers_.empty()) last_progress_ = now();
  readers_.emplace(id, std::move(reader));
  hasher_->poke();
  pump();
}

void BlobFetch::remove_reader(std::uint64_t id) {
  readers_.erase(id);
  for (auto& [running_id, running] : running_) {
    if (readers_.empty() && running->is_repair()) running->cancel();  // the strategy does not know of them
  }
  pump();
}

void BlobFetch::add_missing(std::vector<p2p::StripeRange>& out, ByteRange range) const {
  if (range.empty()) return;
  const auto& geometry = blob_->geometry();
  const auto last = geometry.stripe_at(range.end - 1);
  for (auto stripe = geometry.stripe_at(range.begin); stripe <= last; ++stripe) {
    if (blob_->has(stripe) || std::ranges::find(repairing_, stripe) != repairing_.end()) continue;
    if (std::ranges::find(forwarding_, stripe) != forwarding_.end()) continue;
    if (!out.empty() && out.back().end == stripe)
      ++out.back().end;
    else
      out.push_back({stripe, stripe + 1});
  }
}

std::vector<p2p::StripeRange> BlobFetch::wanted() const {
  const auto& geometry = blob_->geometry();
  std::vector<p2p::StripeRange> out;
  // Closed ranges first: whoever asks for exactly some bytes waits for exactly these.
  for (const auto& [id, reader] : readers_) {
    if (reader.wants.read_ahead) continue;
    for (const auto& range : reader.wants.ranges) add_missing(out, range);
  }
  for (const auto& [id, reader] : readers_) {
    if (!reader.wants.read_ahead) continue;
    const auto& limits = context_.limits;
    const auto taken = reader.position - reader.start;
    std::uint64_t end_stripe = geometry.stripe_at(reader.position) + 1;
    if (taken >= limits.cautious_bytes) {
      end_stripe += taken < limits.wide_after_bytes ? limits.window_stripes : limits.window_stripes_max;
      // To the end of a span: else the window would move on by a stripe and ask for a stripe, again and again.
      end_stripe = (end_stripe + kStripesPerSpan - 1) / kStripesPerSpan * kStripesPerSpan;
    }
    const auto range = reader.wants.ranges.front();
    const auto end =
        reader.position >= held_begin(range) ? range.end : std::min(range.end, end_stripe * geometry.stripe_bytes());
    // A stripe that was dropped behind the reader is wanted too: the whole has to hash before it gets its end.
    const auto hashed = hasher_->position();
    add_missing(out, {reader.start <= hashed ? std::min(hashed, reader.position) : reader.position, end});
  }
  return out;
}

std::map<std::uint64_t, BlobFetch::Reader>::iterator BlobFetch::pick_reader() {
  return std::ranges::find_if(readers_, [](const auto& entry) { return !entry.second.refused; });
}

void BlobFetch::pump() {
  if (in_pump_) return;
  {
    const auto status = this->status();
    if (stopped_ || status.failure || status.disk_failure) return;
  }
  in_pump_ = true;
  const auto self = shared_from_this();
  drop_stalled_forwards();
  const bool may_fetch = pick_reader() != readers_.end();
  if (may_fetch)
    start_repairs();
  else
    // Whose right they were to be fetched with has gone: the strategy may know others.
    for (const auto stripe : std::exchange(repairing_, {})) {
      if (blob_->has(stripe)) continue;
      settle_probe(stripe, false);
      tell(p2p::StripeLost{stripe});
    }
  check_awaited();
  auto missing = wanted();
  const bool idle = missing.empty() && repairing_.empty() && (forwarding_.empty() || readers_.empty());
  tell(p2p::WindowChanged{std::move(missing), !readers_.empty(), may_fetch});
  if (idle) {
    last_progress_ = now();
  } else if (!whole_ && may_fetch && now() >= backoff_until_) {
    const auto running = upstream_running();
    if (running < context_.limits.upstream_slots) {
      tell(p2p::SlotsFree{p2p::kUpstream, context_.limits.upstream_slots - running});
    }
  }
  in_pump_ = false;
  arm_timer();
}

void BlobFetch::apply(const std::vector<p2p::Action>& actions) {
  for (const auto& action : actions) {
    if (const auto* fetch = std::get_if<p2p::Fetch>(&action)) {
      start(*fetch);
    } else if (const auto* cancel = std::get_if<p2p::CancelFetch>(&action)) {
      this->cancel(cancel->id);
    } else if (const auto* timer = std::get_if<p2p::SetTimer>(&action)) {
      strategy_timer_ = timer->at;
      arm_timer();
    } else if (const auto* send = std::get_if<p2p::Send>(&action)) {
      if (!links_) continue;
      auto message = *send;
      message.announce.know_midstates = trust_.has_hint();
      links_->send(std::move(message));
    } else if (const auto* watch = std::get_if<p2p::WatchHave>(&action)) {
      if (links_) links_->watch(watch->peer);
    } else if (const auto* unwatch = std::get_if<p2p::UnwatchHave>(&action)) {
      if (links_) links_->unwatch(unwatch->peer);
    }
  }
}

std::vector<BlobFetch::UnderWay> BlobFetch::under_way() const {
  std::vector<UnderWay> all;
  for (const auto& [id, running] : running_) all.push_back(running->under_way());
  return all;
}

std::optional<BlobFetch::UnderWay> BlobFetch::under_way(std::uint32_t stripe) const {
  for (const auto& [id, running] : running_) {
    const auto& fetch = running->fetch();
    if (stripe >= fetch.stripes.begin && stripe < fetch.stripes.end && !fetch.hedge_of) return running->under_way();
  }
  return std::nullopt;
}

void BlobFetch::cancel(p2p::FetchId id) {
  if (const auto running = running_.find(id); running != running_.end()) running->second->cancel();
}

std::uint32_t BlobFetch::upstream_running() const {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(running_, [](const auto& entry) { return entry.second->source() == p2p::kUpstream; }));
}

/// Null: nobody may fetch there now.
std::shared_ptr<SpanSource> BlobFetch::source_of(const p2p::Fetch& fetch) {
  if (fetch.source == p2p::kUpstream) {
    const auto reader = pick_reader();
    return reader == readers_.end() ? nullptr : reader->second.source;
  }
  // What it sent before did not fit; the same again would not either.
  if (context_.peers == nullptr || trust_.doubted(fetch.stripes.begin, fetch.source)) return nullptr;
  if (const auto voucher = vouchers_.find(fetch.source); voucher != vouchers_.end() && voucher->second.refused)
    return nullptr;
  return peer_source(fetch);
}

void BlobFetch::start(p2p::Fetch fetch) {
  if (auto turn = take_own_turn(fetch); !turn) {
    asio::post(context_.home, [self = shared_from_this(), id = fetch.id, turn] { self->ended(id, turn); });
    return;
  }
  const auto late = fetch.hedge_of ? running_.find(*fetch.hedge_of) : running_.end();
  const bool needed = !readers_.empty() || (fetch.id & kForwardId) != 0;
  const bool possible = !status().disk_failure && needed && (!fetch.hedge_of || late != running_.end());
  auto source = possible ? source_of(fetch) : nullptr;
  if (!source) {
    const auto why = fetch.source == p2p::kUpstream || !possible ? Errc::kCancelled : Errc::kCorrupt;
    asio::post(context_.home, [self = shared_from_this(), id = fetch.id, why] {
      self->ended(id, oxbow::fail(why, "this fetch is not possible now"));
    });
    return;
  }
  const std::uint64_t hedge_begin = fetch.hedge_of ? late->second->position() : 0;
  const auto reader = fetch.source == p2p::kUpstream ? pick_reader()->first : 0;
  for (auto stripe = fetch.stripes.begin; stripe < fetch.stripes.end; ++stripe) {
    if (blob_->has(stripe) || fetch.hedge_of || fetch.source == p2p::kUpstream) continue;
    const std::lock_guard lock(mutex_);
    coming_.push_back(stripe);
  }
  auto running = std::make_unique<Running>(*this, fetch, std::move(source), reader);
  auto& entry = *running_.emplace(fetch.id, std::move(running)).first->second;
  entry.begin(hedge_begin);
}

void BlobFetch::on_progress() {
  hasher_->poke();
  // A request's end removes it from the map, so the walk goes over ids.
  std::vector<p2p::FetchId> ids;
  ids.reserve(running_.size());
  for (const auto& [id, running] : running_) ids.push_back(id);
  for (const auto id : ids) {
    if (const auto running = running_.find(id); running != running_.end()) running->second->progress();
  }
  if (blob_->gone() && !status().failure) fail(Error(Errc::kCorrupt, "the blob was purged while it was read"));
  settle();
  pump();
}

bool BlobFetch::accept(Running& running, std::uint32_t stripe) {
  {
    const std::lock_guard lock(mutex_);
    std::erase(arriving_, stripe);
  }
  accepted_[stripe] = true;
  if (!is_doubtful(stripe)) {
    settle_probe(stripe, true);
    return true;
  }
  const auto actual = blob_->stripe_checksum(stripe);
  if (running.relayed()) origins_[stripe] = kSeveral;
  // Upstream has only finished what another had begun: the request that brought it goes on.
  const bool upstream = running.source() == p2p::kUpstream;
  const bool agreed = !actual || upstream || trust_.agrees(stripe, sender_of(stripe), *actual, running.claimed());
  if (!agreed && !verified_) {  // once it has verified the digest knows better than any word
    ++retries_[stripe];
    context_.observer.on_stripe_corrupt(blob_->digest(), stripe, running.source());
    blob_->drop_stripe(stripe);
    hasher_->rewind(stripe);
    return false;
  }
  if (relinked_[stripe]) {
    check_stripe(stripe, false);
  } else if (!verified_ && unvouched(sender_of(stripe))) {
    await_voucher(sender_of(stripe), stripe);
  } else if (verified_ || !trust_.has_hint()) {
    marks_.set(stripe, StripeMark::kChecked);
    wake_readers();
  } else if (running.is_forward() || hasher_->position() >= blob_->geometry().stripe(stripe).end) {
    // The prefix was faster than the news of this stripe, or does not come this way.
    check_stripe(stripe, true);
  }
  return true;
}

/// A writer has begun: from here on the stripe's bytes are the source's.
void BlobFetch::on_writing(std::uint32_t stripe, p2p::SourceId source, bool from_begin) {
  auto& origin = origins_[stripe];
  if (from_begin)
    origin = source;
  else if (origin != source)
    origin = kSeveral;
  accepted_[stripe] = false;
  // Behind the hashed prefix nobody will hash it again: it is checked alone, between its midstates.
  relinked_[stripe] = hasher_->position() >= blob_->geometry().stripe(stripe).end;
  marks_.set(stripe, is_doubtful(stripe) ? StripeMark::kUnchecked : StripeMark::kFromUpstream);
  if (source == p2p::kUpstream) note_arriving(stripe);
}

bool BlobFetch::is_doubtful(std::uint32_t stripe) const { return origins_[stripe] != p2p::kUpstream; }

/// Nobody, where one cannot be told from another.
p2p::PeerId BlobFetch::sender_of(std::uint32_t stripe) const {
  return origins_[stripe] == kSeveral ? p2p::kNoPeer : origins_[stripe];
}

void BlobFetch::stripe_arrived(Running& running, std::uint32_t stripe) {
  // Of a forward the strategy does not know: to it the stripe comes from nowhere.
  if (!running.is_repair()) tell(p2p::StripeArrived{running.is_forward() ? 0 : running.fetch().id, stripe});
  const auto took = now() - running.started();
  const auto bytes = blob_->geometry().stripe(stripe).size();
  context_.observer.on_stripe({blob_->digest(), stripe, bytes, running.source(), took, retries_[stripe]});
  if (running.source() != p2p::kUpstream) {
    served_.push_back(
        {running.source(), static_cast<double>(running.to_first_byte().count()),
         static_cast<double>(bytes) * 1000 / static_cast<double>(std::max<std::int64_t>(1, took.count()))});
  }
  end_twins(running, stripe);
  if (relinked_[stripe] && !is_doubtful(stripe)) check_stripe(stripe, false);
}

/// The other side of a hedge has lost.
void BlobFetch::end_twins(const Running& winner, std::uint32_t stripe) {
  for (auto& [id, running] : running_) {
    if (running.get() != &winner && running->fetch().hedge_of && running->fetch().stripes.begin == stripe)
      running->cancel();
  }
}

void BlobFetch::check_stripe(std::uint32_t stripe, bool by_hint) {
  checking_[stripe] = true;
  ++links_pending_;
  context_.pool.submit([self = shared_from_this(), stripe, by_hint, sum = blob_->stripe_checksum(stripe)] {
    // Copied here: the list of a large blob is long, and the loop has other things to do.
    const auto midstates = by_hint ? self->trust_.hint() : self->blob_->midstates();
    const auto good = check_link(*self->blob_, stripe, midstates);
    asio::post(self->context_.home, [self, stripe, sum, good, by_hint] { self->on_link(stripe, sum, good, by_hint); });
  });
}

/// In order the prefix hash clears what peers sent. Whom it does not lead to would wait for ever: readers of closed
/// ranges, those who began in the middle or whose prefix has lost a stripe. And what nobody reads any more is not left
/// unchecked, because after this fetch nobody knows that it was.
void BlobFetch::check_awaited() {
  if (!trust_.has_hint()) return;
  const auto& geometry = blob_->geometry();
  const auto check = [this](std::uint32_t stripe) {
    if (marks_.at(stripe) == StripeMark::kUnchecked && accepted_[stripe] && !checking_[stripe] && blob_->has(stripe))
      check_stripe(stripe, true);
  };
  if (readers_.empty()) {
    for (std::uint32_t stripe = 0; stripe < geometry.stripes(); ++stripe) check(stripe);
    return;
  }
  const auto hashed = hasher_->position();
  for (const auto& [id, reader] : readers_) {
    if (!reader.wants.read_ahead) {
      for (const auto& range : reader.wants.ranges) {
        for (auto stripe = geometry.stripe_at(range.begin); stripe <= geometry.stripe_at(range.end - 1); ++stripe)
          check(stripe);
      }
    } else if (reader.position > hashed &&
               blob_->readable(hashed, reader.position - hashed) < reader.position - hashed) {
      const auto first = geometry.stripe_at(reader.position);
      for (auto stripe = first; stripe < std::min(first + kCheckedAhead, geometry.stripes()); ++stripe) check(stripe);
    }
  }
}

void BlobFetch::on_link(std::uint32_t stripe, const std::optional<Checksum>& sum, std::optional<bool> good,
                        bool by_hint) {
  --links_pending_;
  checking_[stripe] = false;
  if (blob_->stripe_checksum(stripe) != sum) {  // another copy is there now, or none
    settle();
    pump();
    return;
  }
  if (good.value_or(true) || (by_hint && (verified_ || !trust_.has_hint()))) {
    on_cleared(stripe, sum);
    settle();
    return;
  }
  if (by_hint) {
    on_hint_mismatch(stripe);
    return;
  }
  ++retries_[stripe];
  const bool peers = is_doubtful(stripe);
  if (!peers && ++corrupt_stripes_ > context_.limits.corrupt_stripes_max) {
    const Error error(Errc::kCorrupt, fmt::format("stripe {} came wrong {} times", stripe, corrupt_stripes_));
    // In this order: a reader that sees the blob gone must see why.
    fail(error);
    context_.observer.on_blob_corrupt(blob_->digest(), error);
    return;
  }
  context_.observer.on_stripe_corrupt(blob_->digest(), stripe, origins_[stripe]);
  if (sum && peers) trust_.doubt(stripe, sender_of(stripe), *sum, marks_.at(stripe) != StripeMark::kUnchecked);
  blob_->drop_stripe(stripe);
  tell(p2p::StripeLost{stripe});
  pump();
}

/// On a pool thread.
bool BlobFetch::on_boundary(std::uint32_t stripe, std::string_view midstate) {
  if (!trust_.hint_says(stripe, midstate).value_or(true)) {
    asio::post(context_.home, [self = shared_from_this(), stripe] { self->on_hint_mismatch(stripe); });
    return false;
  }
  if (marks_.at(stripe) == StripeMark::kUnchecked) {
    asio::post(context_.home, [self = shared_from_this(), stripe, sum = blob_->stripe_checksum(stripe)] {
      self->on_cleared(stripe, sum);
    });
  }
  return true;
}

void BlobFetch::on_cleared(std::uint32_t stripe, const std::optional<Checksum>& sum) {
  if (!accepted_[stripe]) return;                          // the prefix was faster than the news of this stripe
  if (!verified_ && unvouched(sender_of(stripe))) return;  // its list and its bytes may be false together
  if (sum && marks_.at(stripe) == StripeMark::kUnchecked && blob_->stripe_checksum(stripe) == sum)
    marks_.set(stripe, StripeMark::kChecked);
  wake_readers();
}

void BlobFetch::on_hint_mismatch(std::uint32_t stripe) {
  if (verified_ || stopped_) return;
  if (!trust_.has_hint()) {
    hasher_->go_on();
    return;
  }
  on_progress();  // whatever has come is compared with what is known first
  if (stopped_) return;
  // The list may have come when the prefix was past the first stripe that it contradicts.
  stripe = std::min(stripe, trust_.hint_differs(blob_->midstates()).value_or(stripe));
  const auto sum = blob_->stripe_checksum(stripe);
  if (!sum) {  // lost meanwhile: hashed again when it comes
    hasher_->rewind(stripe);
    return;
  }
  if (!is_doubtful(stripe) || trust_.seconded(stripe, sender_of(stripe), *sum)) {
    // These bytes are upstream's own, or what two peers sent alike, so it is the list that is wrong.
    log::warn("midstates that were published contradict the bytes; going on without them",
              {{"digest", blob_->digest().to_string()}});
    trust_.drop_hint();
    clear_marks();
    hasher_->go_on();
    wake_readers();
    return;
  }
  ++retries_[stripe];
  context_.observer.on_stripe_corrupt(blob_->digest(), stripe, origins_[stripe]);
  replace({stripe});
}

/// What is here needs no further check.
void BlobFetch::clear_marks() {
  for (std::uint32_t i = 0; i < blob_->geometry().stripes(); ++i) {
    if (marks_.at(i) == StripeMark::kUnchecked && blob_->has(i)) marks_.set(i, StripeMark::kChecked);
  }
}

void BlobFetch::replace(const std::vector<std::uint32_t>& stripes) {
  last_progress_ = now();
  for (const auto stripe : stripes) {
    if (const auto sum = blob_->stripe_checksum(stripe))
      trust_.doubt(stripe, sender_of(stripe), *sum, marks_.at(stripe) != StripeMark::kUnchecked);
    blob_->drop_stripe(stripe);
    marks_.set(stripe, StripeMark::kUnchecked);
    if (std::ranges::find(repairing_, stripe) == repairing_.end()) repairing_.push_back(stripe);
  }
  // After they have gone and before others can come: the hash must not take in old and new bytes of one stripe.
  if (!stripes.empty()) hasher_->rewind(std::ranges::min(stripes));
  pump();
}

void BlobFetch::start_repairs() {
  std::erase_if(repairing_,
                [this](auto stripe) { return blob_->has(stripe) && !running_.contains(kRepairId | stripe); });
  if (whole_ || now() < backoff_until_) return;
  for (const auto stripe : std::vector(repairing_)) {
    if (upstream_running() >= context_.limits.upstream_slots) return;
    if (!running_.contains(kRepairId | stripe))
      start({kRepairId | stripe, p2p::kUpstream, {stripe, stripe + 1}, {}, {}});
  }
}

/// A first-hand checksum may come later than the bytes.
void BlobFetch::note_first_hand(p2p::PeerId publisher, std::uint32_t stripe, const Checksum& sum) {
  if (stripe >= blob_->geometry().stripes()) return;
  trust_.note_first_hand(publisher, stripe, sum);
  const auto actual = blob_->stripe_checksum(stripe);
  if (!actual || verified_ || !accepted_[stripe] || !is_doubtful(stripe)) return;
  if (trust_.agrees(stripe, sender_of(stripe), *actual, std::nullopt, marks_.at(stripe) != StripeMark::kUnchecked))
    return;
  ++retries_[stripe];
  context_.observer.on_stripe_corrupt(blob_->digest(), stripe, origins_[stripe]);
  replace({stripe});
}

/// News for the machinery itself, before the strategy has them.
void BlobFetch::on_heard(const p2p::Event& event) {
  if (const auto* replied = std::get_if<p2p::Replied>(&event); replied != nullptr && replied->reply) {
    complete_neighbours_.clear();
    for (const auto& other : replied->reply->neighbours) {
      if (other.complete)
        complete_neighbours_.push_back(other.name);
      else
        wanters_.insert(other.name);
    }
    if (replied->reply->midstates) trust_.add_hint(*replied->reply->midstates);
    if (!asked_for_hints_ && !complete_neighbours_.empty()) {
      asked_for_hints_ = true;
      asio::co_spawn(context_.home, ask_for_hints(shared_from_this(), false), asio::detached);
    }
  } else if (const auto* have = std::get_if<p2p::HaveChanged>(&event)) {
    note_holder(have->peer, have->update);
    for (const auto& [stripe, hex] : have->update.sums) {
      if (const auto sum = Checksum::parse(hex)) note_first_hand(have->peer, stripe, *sum);
    }
  }
}

/// The whole did not hash to its digest, and stripes of peers are in it. True: something is being done about it.
bool BlobFetch::repair() {
  if (context_.peers == nullptr || corrupt_stripes_ >= context_.limits.corrupt_stripes_max) return false;
  if (!std::ranges::any_of(origins_, [](auto origin) { return origin != p2p::kUpstream; })) return false;
  ++corrupt_stripes_;
  if (!std::exchange(asked_to_repair_, true)) {
    // Somebody may have hashed it already and can say where it goes wrong.
    asio::co_spawn(context_.home, ask_for_hints(shared_from_this(), true), asio::detached);
  } else {
    locate_wrong();
  }
  return true;
}

Task<> BlobFetch::ask_for_hints(std::shared_ptr<BlobFetch> self, bool to_repair) {
  constexpr std::size_t kAsked = 3;
  // Two that agree are enough: a list that only its own publisher's bytes are checked by says nothing.
  std::size_t lists = trust_.has_hint() ? 1 : 0;
  auto names = complete_neighbours_;
  if (names.size() > kAsked) names.resize(kAsked);
  for (const auto& name : names) {
    const auto* peer = context_.peers->snapshot()->find(name);
    if (peer == nullptr || peer->state != p2p::PeerState::kEligible) continue;
    const auto id = peer->id;
    const auto facts = co_await context_.peers->client().facts(id, blob_->digest(), true, std::chrono::seconds(1));
    if (!facts || !facts->midstates) continue;
    trust_.add_hint(*facts->midstates);
    if (++lists == 2 || to_repair) break;
  }
  if (to_repair) {
    self->locate_wrong();
    co_return;
  }
  hints_answered_ = true;
  seek_vouchers();
}

bool BlobFetch::unvouched(p2p::PeerId sender) {
  if (sender == p2p::kNoPeer || context_.peers == nullptr || pick_reader() == readers_.end()) return false;
  if (const auto voucher = vouchers_.find(sender); voucher != vouchers_.end() && voucher->second.given) return false;
  const auto snapshot = context_.peers->snapshot();
  const auto* peer = snapshot->find(sender);
  if (peer == nullptr || peer->vetted || trust_.hint_of_another(peer->member.name)) return false;
  // Who was seen to fetch the blob has it from the same places as this node.
  if (wanters_.contains(peer->member.name)) return false;
  return std::ranges::find(complete_neighbours_, peer->member.name) != complete_neighbours_.end();
}

void BlobFetch::await_voucher(p2p::PeerId sender, std::uint32_t stripe) {
  vouchers_[sender].waiting.push_back(stripe);
  seek_vouchers();
}

void BlobFetch::seek_vouchers() {
  if (!hints_answered_ || verified_) return;  // another's midstates may come yet
  for (auto& [peer, voucher] : vouchers_) {
    if (voucher.given || voucher.refused || voucher.probe || voucher.waiting.empty()) continue;
    if (!unvouched(peer)) {
      voucher.given = true;
      release(std::exchange(voucher.waiting, {}));
      continue;
    }
    const auto stripe = voucher.waiting.front();
    const auto sum = blob_->stripe_checksum(stripe);
    if (!sum) {
      voucher.waiting.erase(voucher.waiting.begin());
      continue;
    }
    voucher.probe = stripe;
    voucher.sum = *sum;
    replace({stripe});
  }
}

/// The stripe has come from upstream, or `compared` is false and it cannot be had there: then nothing better is known.
void BlobFetch::settle_probe(std::uint32_t stripe, bool compared) {
  for (auto& [peer, voucher] : vouchers_) {
    if (voucher.probe != stripe || voucher.given || voucher.refused) continue;
    auto waiting = std::exchange(voucher.waiting, {});
    std::erase(waiting, stripe);
    if (!compared || blob_->stripe_checksum(stripe) == voucher.sum) {
      voucher.given = true;
      release(waiting);
      continue;
    }
    voucher.refused = true;
    context_.observer.on_stripe_corrupt(blob_->digest(), stripe, peer);
    for (const auto other : waiting) {
      const auto sum = blob_->stripe_checksum(other);
      if (!sum || sender_of(other) != peer) continue;
      trust_.doubt(other, peer, *sum, false);
      blob_->drop_stripe(other);
      hasher_->rewind(other);
      tell(p2p::StripeLost{other});
    }
    pump();
  }
}

void BlobFetch::release(const std::vector<std::uint32_t>& stripes) {
  for (const auto stripe : stripes) {
    if (!blob_->has(stripe) || marks_.at(stripe) != StripeMark::kUnchecked) continue;
    if (!trust_.has_hint())
      marks_.set(stripe, StripeMark::kChecked);
    else if (hasher_->position() >= blob_->geometry().stripe(stripe).end)
      check_stripe(stripe, true);
  }
  wake_readers();
}

void BlobFetch::locate_wrong() {
  if (verified_ || stopped_) return;
  const auto last = blob_->geometry().stripes() - 1;
  // Where all agree to the end the last stripe is the one, or all of them are wrong together: then it is upstream's
  // by the next time.
  const auto at = trust_.any_differs(blob_->midstates()).value_or(trust_.has_hint() ? last : last + 1);
  trust_.drop_hint();  // the bytes were cleared by it, or it says what they are not: either way it has had its say
  std::vector<std::uint32_t> doubtful;
  if (at <= last && is_doubtful(at) && blob_->has(at)) {
    ++retries_[at];
    context_.observer.on_stripe_corrupt(blob_->digest(), at, origins_[at]);
    doubtful = {at};
  } else {
    for (std::uint32_t stripe = 0; stripe <= last; ++stripe) {
      if (is_doubtful(stripe)) doubtful.push_back(stripe);
    }
  }
  replace(doubtful);
  clear_marks();
  wake_readers();
}

/// The blob has verified: its bytes are the truth, and whoever said or sent otherwise is named.
void BlobFetch::reckon() {
  if (context_.peers == nullptr) return;
  auto verdict = trust_.verdict(*blob_);
  for (const auto& served : std::exchange(served_, {})) {
    if (std::ranges::find(verdict.senders, served.peer) == verdict.senders.end())
      context_.peers->served_well(served.peer, served.first_byte_ms, served.bytes_per_second);
  }
  for (const auto peer : verdict.senders) context_.peers->sent_bad(peer, "its bytes were not the blob's");
  for (const auto& name : verdict.publishers) context_.peers->published_bad(name, "its midstates were not the blob's");
  const std::lock_guard lock(mutex_);
  status_.replaced = std::move(verdict.replaced);
}

void BlobFetch::on_hashed(Result<> outcome) {
  // A stripe may have been dropped since: then it is hashed again from there on.
  const auto outdated = [this] { return hasher_->position() < blob_->geometry().blob_bytes(); };
  if (outdated() || verified_) return;
  verified_ = outcome.has_value();
  if (verified_) clear_marks();
  on_progress();  // the hash may be faster than the news of the last stripes
  if (!outcome) {
    if (outdated()) return;
    if (stopped_ || repair()) return;
    // In this order: a reader that sees the blob gone must see why.
    fail(outcome.error());
    context_.observer.on_blob_corrupt(blob_->digest(), outcome.error());
    return;
  }
  log::info("blob verified", {{"digest", blob_->digest().to_string()},
                              {"bytes", blob_->geometry().blob_bytes()},
                              {"ms", (now() - started_).count()}});
  if (context_.peers != nullptr) context_.peers->holds(blob_->digest());
  wake_readers();
  settle();
}

void BlobFetch::settle() {
  if (!verified_) return;
  for (const auto& [id, running] : running_) {
    if (running->committing()) return;
  }
  if (!std::exchange(reckoned_, true)) reckon();
  if (links_pending_ > 0 || !blob_->complete()) return;
  {
    const std::lock_guard lock(mutex_);
    if (status_.settled) return;
    status_.settled = true;
  }
  wake_readers();
}

void BlobFetch::ended(p2p::FetchId id, Result<> outcome) {
  if (whole_ == id) whole_.reset();
  std::uint64_t reader_id = 0;
  bool upstream = true;
  bool lease = own_turn_ended(id, outcome);
  std::vector<p2p::PeerId> alternatives;
  if (const auto running = running_.find(id); running != running_.end()) {
    reader_id = running->second->reader();
    upstream = running->second->source() == p2p::kUpstream;
    for (const auto& name : running->second->alternatives()) {
      if (const auto* peer = context_.peers->snapshot()->find(name)) alternatives.push_back(peer->id);
    }
    lease = lease || running->second->leased();
    const auto stripes = running->second->fetch().stripes;
    for (auto stripe = stripes.begin; stripe < stripes.end; ++stripe) {
      if (!outcome && !blob_->has(stripe)) ++retries_[stripe];
      const std::lock_guard lock(mutex_);
      std::erase(arriving_, stripe);
      if (const auto one = std::ranges::find(coming_, stripe); !upstream && one != coming_.end()) coming_.erase(one);
    }
    running_.erase(running);
    changed_.wake_all();
    head_came(stripes.begin, outcome, lease);
  }
  if (!outcome && upstream && outcome.error().code() != Errc::kCancelled) {
    log::debug("fetch ended early", {{"digest", blob_->digest().to_string()}, log::Field(outcome.error())});
    last_error_ = outcome.error();
    if (is_final(outcome.error().code())) {
      if (const auto reader = readers_.find(reader_id); reader != readers_.end())
        reader->second.refused = outcome.error();
      // Peers may still have it; how long that is waited for, the timer says.
      const bool alone = context_.peers == nullptr || context_.peers->snapshot()->eligible_others() == 0;
      if (alone && !readers_.empty() && pick_reader() == readers_.end()) {
        fail(outcome.error());
        return;
      }
    } else {
      backoff_ = std::clamp(backoff_ * 2, context_.limits.backoff_min, context_.limits.backoff_max);
      backoff_until_ = now() + backoff_;
    }
  }
  if ((id & kRepairId) != 0) {
    const auto stripe = static_cast<std::uint32_t>(id & ~kRepairId);
    // The last bytes of the copy that was dropped may still be on their way into the file: tried again soon.
    const bool busy = !outcome && outcome.error().code() == Errc::kBusy;
    if (!busy) std::erase(repairing_, stripe);
    if (!busy && !blob_->has(stripe)) {
      settle_probe(stripe, false);
      tell(p2p::StripeLost{stripe});
    }
  } else if ((id & kForwardId) != 0) {
    forward_ended(static_cast<std::uint32_t>(id & ~kForwardId), outcome, lease);
  } else {
    tell(p2p::FetchEnded{id, std::move(outcome), std::move(alternatives), lease});
  }
  pump();
}

void BlobFetch::take_whole(p2p::FetchId id) {
  whole_ = id;
  for (auto& [other, running] : running_) {
    if (other != id) running->cancel();
  }
}

void BlobFetch::fail(Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (status_.failure) return;
    status_.failure = std::move(error);
  }
  stop();
  wake_readers();
}

void BlobFetch::stop() {
  tell(p2p::WindowChanged{{}, false, false});
  stopped_ = true;
  for (auto& [id, running] : running_) running->cancel();
}

void BlobFetch::fail_disk(Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (status_.disk_failure) return;
    status_.disk_failure = std::move(error);
  }
  // Posted: a request must not be ended from within its own call.
  asio::post(context_.home, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->stop();
    self->running_.clear();
    self->wake_readers();
  });
}

void BlobFetch::wake_readers() {
  for (auto& [id, reader] : readers_) reader.waker->wake();
  changed_.wake_all();
}

/// Once upstream has refused everybody only peers can help, and they are quick to say.
std::chrono::milliseconds BlobFetch::patience() {
  const bool refused = !readers_.empty() && pick_reader() == readers_.end();
  return refused ? context_.limits.refused : context_.limits.no_progress;
}

void BlobFetch::arm_timer() {
  if (readers_.empty()) {
    timer_.cancel();
    armed_.reset();
    return;
  }
  auto at = last_progress_ + patience();
  if (backoff_until_ > now()) at = std::min(at, backoff_until_);
  if (strategy_timer_) at = std::min(at, *strategy_timer_);
  // A timer that fires early looks again; moving it with every byte would cost a system call each.
  if (armed_ && *armed_ <= at) return;
  armed_ = at;
  timer_.expires_at(Clock::Steady(at));
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    const auto self = weak.lock();
    if (!self) return;
    self->armed_.reset();
    self->on_timer();
  });
}

void BlobFetch::on_timer() {
  if (strategy_timer_ && now() >= *strategy_timer_) {
    strategy_timer_.reset();
    p2p::TimerFired fired;
    for (const auto& [id, running] : running_) {
      if (!running->is_repair() && !running->is_forward()) fired.progress.push_back(running->report());
    }
    tell(fired);
  }
  if (!readers_.empty() && !(wanted().empty() && repairing_.empty()) && now() >= last_progress_ + patience()) {
    fail(last_error_ ? Error(*last_error_).in("no byte came for too long")
                     : Error(Errc::kTimeout, "no byte came for too long"));
    return;
  }
  pump();
}

}  // namespace oxbow::mirror
