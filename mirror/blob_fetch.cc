#include "mirror/blob_fetch.h"

#include "core/log.h"

namespace oxbow::mirror {
namespace {

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

  void begin() {
    position_ = geometry_.stripe(fetch_.stripes.begin).begin;
    end_ = geometry_.stripe(fetch_.stripes.end - 1).end;
    started_ = owner_.now();
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
      owner_.stripe_arrived(*this, committed);
    }
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

  const p2p::Fetch& fetch() const noexcept { return fetch_; }
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
      // Behind the hashed prefix nobody will hash it again: it is checked alone, between its midstates.
      owner_.relinked_[stripe] = owner_.hasher_->position() >= geometry_.stripe(stripe).end;
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
      return 0;
    }
    owner_.last_progress_ = owner_.now();
    owner_.backoff_ = {};
    position_ += part.size();
    if (position_ == writer_->stripe().end) {
      committing_.emplace_back(geometry_.stripe_at(writer_->stripe().begin), std::move(writer_));
    }
    return part.size();
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
      progress_(std::make_shared<Waker>(context.home)),
      timer_(context.home),
      retries_(blob_->geometry().stripes()),
      relinked_(blob_->geometry().stripes()) {}

BlobFetch::~BlobFetch() {
  subscription_.reset();
  arena_space_.reset();
  progress_->clear();
  running_.clear();
}

void BlobFetch::begin() {
  started_ = last_progress_ = now();
  hasher_ = std::make_shared<PrefixHasher>(blob_, context_.pool,
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
  arena_space_ = context_.store.on_arena_space([progress = progress_] { progress->wake(); });
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
  pump();
}

void BlobFetch::add_missing(std::vector<p2p::StripeRange>& out, ByteRange range) const {
  if (range.empty()) return;
  const auto& geometry = blob_->geometry();
  const auto last = geometry.stripe_at(range.end - 1);
  for (auto stripe = geometry.stripe_at(range.begin); stripe <= last; ++stripe) {
    if (blob_->has(stripe)) continue;
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
    add_missing(out, {reader.position, end});
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
    if (status.failure || status.disk_failure) return;
  }
  in_pump_ = true;
  const auto self = shared_from_this();
  auto missing = wanted();
  const bool idle = missing.empty();
  tell(p2p::WindowChanged{std::move(missing), !readers_.empty()});
  if (idle) {
    last_progress_ = now();
  } else if (!whole_ && now() >= backoff_until_) {
    const auto running = static_cast<std::uint32_t>(running_.size());
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
      if (const auto running = running_.find(cancel->id); running != running_.end()) running->second->cancel();
    } else if (const auto* timer = std::get_if<p2p::SetTimer>(&action)) {
      strategy_timer_ = timer->at;
      arm_timer();
    }
  }
}

void BlobFetch::start(const p2p::Fetch& fetch) {
  const auto reader = pick_reader();
  if (reader == readers_.end() || status().disk_failure) {
    asio::post(context_.home, [self = shared_from_this(), id = fetch.id] {
      self->ended(id, oxbow::fail(Errc::kCancelled, "no reader may fetch"));
    });
    return;
  }
  auto running = std::make_unique<Running>(*this, fetch, reader->second.source, reader->first);
  auto& entry = *running_.emplace(fetch.id, std::move(running)).first->second;
  entry.begin();
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

void BlobFetch::stripe_arrived(Running& running, std::uint32_t stripe) {
  tell(p2p::StripeArrived{running.fetch().id, stripe});
  context_.observer.on_stripe({blob_->digest(), stripe, blob_->geometry().stripe(stripe).size(), running.fetch().source,
                               now() - running.started(), retries_[stripe]});
  if (relinked_[stripe]) check_stripe(stripe);
}

void BlobFetch::check_stripe(std::uint32_t stripe) {
  ++links_pending_;
  context_.pool.submit([self = shared_from_this(), stripe] {
    const auto good = check_link(*self->blob_, stripe);
    asio::post(self->context_.home, [self, stripe, good] { self->on_link(stripe, good); });
  });
}

void BlobFetch::on_link(std::uint32_t stripe, std::optional<bool> good) {
  --links_pending_;
  if (good.value_or(true)) {
    settle();
    return;
  }
  ++retries_[stripe];
  if (++corrupt_stripes_ > context_.limits.corrupt_stripes_max) {
    const Error error(Errc::kCorrupt, fmt::format("stripe {} came wrong {} times", stripe, corrupt_stripes_));
    context_.observer.on_blob_corrupt(blob_->digest(), error);
    fail(error);
    return;
  }
  context_.observer.on_stripe_corrupt(blob_->digest(), stripe);
  blob_->drop_stripe(stripe);
  tell(p2p::StripeLost{stripe});
  pump();
}

void BlobFetch::on_hashed(Result<> outcome) {
  if (!outcome) {
    context_.observer.on_blob_corrupt(blob_->digest(), outcome.error());
    fail(outcome.error());
    return;
  }
  verified_ = true;
  log::info("blob verified", {{"digest", blob_->digest().to_string()},
                              {"bytes", blob_->geometry().blob_bytes()},
                              {"ms", (now() - started_).count()}});
  settle();
}

void BlobFetch::settle() {
  if (!verified_ || links_pending_ > 0 || !blob_->complete()) return;
  for (const auto& [id, running] : running_) {
    if (running->committing()) return;
  }
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
  if (const auto running = running_.find(id); running != running_.end()) {
    reader_id = running->second->reader();
    for (auto stripe = running->second->fetch().stripes.begin; stripe < running->second->fetch().stripes.end;
         ++stripe) {
      if (!outcome && !blob_->has(stripe)) ++retries_[stripe];
    }
    running_.erase(running);
  }
  if (!outcome && outcome.error().code() != Errc::kCancelled) {
    log::debug("fetch ended early", {{"digest", blob_->digest().to_string()}, log::Field(outcome.error())});
    last_error_ = outcome.error();
    if (is_final(outcome.error().code())) {
      if (const auto reader = readers_.find(reader_id); reader != readers_.end())
        reader->second.refused = outcome.error();
      if (!readers_.empty() && pick_reader() == readers_.end()) {
        fail(outcome.error());
        return;
      }
    } else {
      backoff_ = std::clamp(backoff_ * 2, context_.limits.backoff_min, context_.limits.backoff_max);
      backoff_until_ = now() + backoff_;
    }
  }
  tell(p2p::FetchEnded{id, std::move(outcome)});
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
  for (auto& [id, running] : running_) running->cancel();
  wake_readers();
}

void BlobFetch::fail_disk(Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (status_.disk_failure) return;
    status_.disk_failure = std::move(error);
  }
  // Posted: a request must not be ended from within its own call.
  asio::post(context_.home, [self = shared_from_this()] {
    self->running_.clear();
    self->wake_readers();
  });
}

void BlobFetch::wake_readers() {
  for (auto& [id, reader] : readers_) reader.waker->wake();
}

void BlobFetch::arm_timer() {
  if (readers_.empty()) {
    timer_.cancel();
    return;
  }
  auto at = last_progress_ + context_.limits.no_progress;
  if (backoff_until_ > now()) at = std::min(at, backoff_until_);
  if (strategy_timer_) at = std::min(at, *strategy_timer_);
  if (timer_.expiry().time_since_epoch() == at && timer_.expiry() > context_.clock.steady()) return;
  timer_.expires_at(Clock::Steady(at));
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    if (const auto self = weak.lock()) self->on_timer();
  });
}

void BlobFetch::on_timer() {
  if (strategy_timer_ && now() >= *strategy_timer_) {
    strategy_timer_.reset();
    tell(p2p::TimerFired{});
  }
  if (!readers_.empty() && !wanted().empty() && now() >= last_progress_ + context_.limits.no_progress) {
    fail(last_error_ ? Error(*last_error_).in("no byte came for too long")
                     : Error(Errc::kTimeout, "no byte came from upstream for too long"));
    return;
  }
  pump();
}

}  // namespace oxbow::mirror
