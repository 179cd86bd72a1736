#include "mirror/blob_fetch.h"

#include "core/large_blob.h"
#include "core/log.h"
#include "mirror/blob_fetch_parts.h"
#include "mirror/have_board.h"

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

std::shared_ptr<BlobFetch> BlobFetch::create(Context context, std::shared_ptr<storage::Blob> blob,
                                             std::unique_ptr<p2p::Strategy> strategy, const p2p::HaveMap& told) {
  Loop& home = context.home;
  // Its timers and requests belong to the home loop, so it ends there, whoever lets go last.
  std::shared_ptr<BlobFetch> fetch(
      new BlobFetch(context, std::move(blob), std::move(strategy), told),
      [&home](BlobFetch* done) { asio::post(home, [owned = std::unique_ptr<BlobFetch>(done)] {}); });
  fetch->begin();
  return fetch;
}

BlobFetch::BlobFetch(Context context, std::shared_ptr<storage::Blob> blob, std::unique_ptr<p2p::Strategy> strategy,
                     const p2p::HaveMap& told)
    : context_(context),
      blob_(std::move(blob)),
      log_(context.journal.begin(
          blob_->digest(), blob_->geometry(), [this](auto stripe) { return blob_->has(stripe); }, context.continues)),
      strategy_(std::move(strategy)),
      progress_(std::make_shared<Waker>(context.home, kProgressEvery)),
      room_(std::make_shared<Waker>(context.home)),
      gathered_(std::make_shared<Waker>(context.home, kGatherAtOnce.time)),
      timer_(context.home),
      retries_(blob_->geometry().stripes()),
      hedged_(blob_->geometry().stripes()),
      relinked_(blob_->geometry().stripes()),
      told_here_(blob_->geometry().stripes()),
      marks_(blob_->geometry().stripes()),
      origins_(blob_->geometry().stripes(), context.peers == nullptr ? p2p::kUpstream : kSeveral),
      sender_answers_(blob_->geometry().stripes()),
      accepted_(blob_->geometry().stripes()),
      checking_(blob_->geometry().stripes()),
      copies_(blob_->geometry().stripes()) {
  for (std::uint32_t stripe = 0; stripe < told_here_.size(); ++stripe) told_here_[stripe] = told.has(stripe);
  const auto& geometry = blob_->geometry();
  const auto budget = context.store.budget_bytes();
  if (leaves_by_span(geometry.blob_bytes(), budget))
    window_most_ =
        static_cast<std::uint32_t>(std::max<std::uint64_t>(kStripesPerSpan, budget / 8 / geometry.stripe_bytes()));
}

BlobFetch::~BlobFetch() {
  subscription_.reset();
  arena_space_.reset();
  links_.reset();
  progress_->clear();
  room_->clear();
  gathered_->clear();
  running_.clear();
  if (verified_) context_.journal.end(log_, PullState::kVerified);
  context_.journal.leave(log_);
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

/// News that ride on an answer go the way of those of a have stream.
void BlobFetch::note_news(p2p::PeerId peer, const p2p::AnswerNews& news) {
  p2p::HaveUpdate update;
  update.load = news.load;
  for (std::uint32_t i = 0; news.have && i < news.have->have.size(); ++i) {
    if (news.have->have.has(i)) update.have.push_back(news.have->first + i);
  }
  asio::post(context_.home, [weak = weak_from_this(), peer, update = std::move(update)] {
    if (const auto self = weak.lock()) self->tell(p2p::HaveChanged{peer, update});
  });
}

/// It is this node that is busy, not the source: that is no reason to cut a reader, unless it lasts.
void BlobFetch::wait_for_room() {
  if (!waits_for_room_since_) waits_for_room_since_ = now();
  if (now() < *waits_for_room_since_ + context_.limits.no_room) last_progress_ = now();
}

/// Pieces that have been gathered for long enough.
void BlobFetch::flush_late() {
  bool more = false;
  for (auto& [id, running] : running_) more = running->flush_late() || more;
  if (more) gathered_->wake();
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
  last_progress_ = now();
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
  gathered_->set([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->flush_late();
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

bool BlobFetch::has_failed() const {
  const std::lock_guard lock(mutex_);
  return status_.failure || status_.disk_failure;
}

std::unique_ptr<FetchReader> BlobFetch::attach(std::shared_ptr<SpanSource> source, ReaderWants wants,
                                               std::shared_ptr<Waker> waker) {
  OXBOW_INVARIANT(!wants.ranges.empty());
  const auto id = next_reader_.fetch_add(1);
  const auto range = wants.ranges.front();
  asio::post(context_.home, [self = shared_from_this(), id, start = range.begin, source = std::move(source),
                             wants = std::move(wants), waker = std::move(waker)]() mutable {
    self->add_reader(id, Reader{std::move(source), std::move(wants), start, start, std::move(waker), {}, {}});
  });
  return std::unique_ptr<FetchReader>(new FetchReader(shared_from_this(), id, range));
}

FetchReader::~FetchReader() {
  asio::post(fetch_->context_.home, [fetch = fetch_, id = id_] { fetch->reader_left(id); });
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
    fetch->settle();
    fetch->pump();
  });
}

void BlobFetch::add_reader(std::uint64_t id, Reader reader) {
  // A pause without readers is not a stall.
  if (readers_.empty()) last_progress_ = now();
  const auto place = reader.source->place();
  log_->reader(place.registry, place.repository);
  reader.wide_at = now() + context_.limits.cautious_for;
  readers_.emplace(id, std::move(reader));
  hasher_->poke();
  seek_vouchers();
  pump();
  // What it waits for may have come to its end before it was known here.
  const auto now_is = status();
  const auto added = readers_.find(id);
  if (added != readers_.end() && (now_is.failure || now_is.disk_failure || now_is.settled)) added->second.waker->wake();
}

/// The last one to leave is kept for a moment, as somebody who wants nothing.
void BlobFetch::reader_left(std::uint64_t id) {
  const auto reader = readers_.find(id);
  if (reader == readers_.end()) return;
  const bool alone =
      std::ranges::all_of(readers_, [id](const auto& one) { return one.first == id || one.second.left; });
  if (!alone || running_.empty()) return remove_reader(id);
  linger(id, stopped_ ? std::chrono::milliseconds(0) : context_.limits.lingers);
  pump();
}

/// Not while a stripe's last bytes are on their way into the file: it would be kept, and nobody would know any more
/// whether it was compared with anything.
void BlobFetch::linger(std::uint64_t id, std::chrono::milliseconds time) {
  const auto timer = std::make_shared<asio::steady_timer>(context_.home, time);
  timer->async_wait([self = shared_from_this(), id](const boost::system::error_code& cancelled) {
    if (cancelled || !self->readers_.contains(id)) return;
    if (!self->any_committing()) return self->remove_reader(id);
    for (auto& [request, running] : self->running_) {
      if (!running->is_forward()) running->cancel();
    }
    self->linger(id, kProgressEvery);
  });
  readers_.at(id).left = timer;
}

void BlobFetch::remove_reader(std::uint64_t id) {
  forget_reader(id);
  for (auto& [running_id, running] : running_) {
    if (readers_.empty() && running->is_repair()) running->cancel();  // the strategy does not know of them
  }
  pump();
}

void BlobFetch::forget_reader(std::uint64_t id) {
  if (readers_.erase(id) == 0) return;
  {
    const std::lock_guard lock(mutex_);
    turned_away_.erase(id);
    settled_.erase(id);
  }
  if (!readers_.empty()) return;
  for (const auto stripe : drop_unvouched()) tell(p2p::StripeLost{stripe});
}

/// Nothing is on its way any more that could be waited for.
void BlobFetch::forget_left() {
  std::vector<std::uint64_t> gone;
  for (const auto& [id, reader] : readers_) {
    if (reader.left) gone.push_back(id);
  }
  for (const auto id : gone) forget_reader(id);
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

/// So many missing stripes from `begin` on: what is here already leaves room for what is not, or a swarm in which all
/// have nearly the same would wait for its slowest stripes (docs/simulation.md). To the end of a span: else the window
/// would move on by a stripe and ask for a stripe, again and again.
std::uint64_t BlobFetch::window_end(std::uint64_t begin, std::uint32_t missing) const {
  constexpr std::uint64_t kFarthest = 4;  // windows: what is read ahead lies on the disk for a while
  const auto stripes = std::uint64_t{blob_->geometry().stripes()};
  const auto last = std::min(stripes, begin + kFarthest * missing);
  auto end = begin;
  for (std::uint32_t found = 0; end < last && found < missing; ++end) {
    if (!blob_->has(static_cast<std::uint32_t>(end))) ++found;
  }
  return (end + kStripesPerSpan - 1) / kStripesPerSpan * kStripesPerSpan;
}

/// The end of the reader's window.
std::uint64_t BlobFetch::end_for(const Reader& reader) const {
  const auto& geometry = blob_->geometry();
  const auto& limits = context_.limits;
  const auto taken = reader.position - reader.start;
  std::uint64_t end = geometry.stripe_at(reader.position) + 1;
  if (taken >= limits.cautious_bytes || (now() >= reader.wide_at && !any_unvouched())) {
    auto stripes = taken < limits.wide_after_bytes ? limits.window_stripes : limits.window_stripes_max;
    if (window_most_ > 0) stripes = std::min(stripes, window_most_);
    end = window_end(end, stripes);
  }
  return end * geometry.stripe_bytes();
}

std::vector<p2p::StripeRange> BlobFetch::wanted() const {
  std::vector<p2p::StripeRange> out;
  // Closed ranges first: whoever asks for exactly some bytes waits for exactly these.
  for (const auto& [id, reader] : readers_) {
    if (!reader.wants_more() || reader.wants.read_ahead) continue;
    const auto& ranges = reader.wants.ranges;
    if (window_most_ > 0 && ranges.size() == 1) {
      // Not what it has passed: that goes first, and would be fetched again for ever.
      add_missing(out, {reader.position, std::min(ranges.front().end, end_for(reader))});
      continue;
    }
    for (const auto& range : ranges) add_missing(out, range);
  }
  const bool whole = waits_for_the_whole();
  for (const auto& [id, reader] : readers_) {
    if (!reader.wants_more() || !reader.wants.read_ahead) continue;
    const auto range = reader.wants.ranges.front();
    const auto end = reader.position >= held_begin(range) || whole ? range.end : std::min(range.end, end_for(reader));
    // A stripe that was dropped behind the reader is wanted too: the whole has to hash before it gets its end.
    const auto hashed = hasher_->position();
    add_missing(out, {reader.start <= hashed ? std::min(hashed, reader.position) : reader.position, end});
  }
  return out;
}

/// When the window of a reader opens by time alone.
std::optional<p2p::Time> BlobFetch::next_widening() const {
  std::optional<p2p::Time> next;
  for (const auto& [id, reader] : readers_) {
    if (!reader.wants_more() || !reader.wants.read_ahead || reader.wide_at <= now()) continue;
    next = std::min(next.value_or(reader.wide_at), reader.wide_at);
  }
  return next;
}

std::map<std::uint64_t, BlobFetch::Reader>::const_iterator BlobFetch::pick_attached() const {
  return std::ranges::find_if(readers_, [](const auto& entry) { return !entry.second.refused && !entry.second.left; });
}

std::map<std::uint64_t, BlobFetch::Reader>::const_iterator BlobFetch::pick_reader() const {
  return std::ranges::find_if(readers_, [](const auto& entry) { return !entry.second.refused; });
}

/// Of a blob that leaves by span, stripes may go before a reader has come to them: they are to be fetched again.
void BlobFetch::tell_evicted(const std::vector<p2p::StripeRange>& missing) {
  for (const auto& range : missing) {
    for (auto stripe = range.begin; stripe < range.end; ++stripe) {
      if (!told_here_[stripe]) continue;
      const auto bytes = blob_->geometry().stripe(stripe);
      const auto given = [&](const auto& one) { return one.second.position + 2 * bytes.size() > bytes.begin; };
      if (bytes.end > hasher_->position() && std::ranges::any_of(readers_, given)) spoil(stripe);  // and not hashed
      tell(p2p::StripeLost{stripe});
    }
  }
}

/// What readers need next, and the hash. The rest of a blob that leaves by span may go meanwhile.
void BlobFetch::keep_what_is_needed() {
  std::vector<ByteRange> ranges;
  const auto hashed = hasher_->position();
  for (const auto& [id, reader] : readers_) {
    if (!reader.wants_more()) continue;
    const bool hashes = reader.wants.read_ahead && reader.start <= hashed;
    const auto begin = hashes ? std::min(hashed, reader.position) : reader.position;
    ranges.push_back({begin, std::max(begin, end_for(reader))});
  }
  for (std::uint32_t stripe = 0; links_pending_ > 0 && stripe < checking_.size(); ++stripe) {
    if (checking_[stripe]) ranges.push_back(blob_->geometry().stripe(stripe));
  }
  blob_->keep(std::move(ranges));
}

void BlobFetch::pump() {
  if (in_pump_) return;
  if (stopped_ || has_failed()) return;
  in_pump_ = true;
  const auto self = shared_from_this();
  if (running_.empty()) forget_left();
  drop_stalled_forwards();
  // Who has left gives no right to ask for more, and takes none from what is on its way.
  const bool may_fetch = pick_reader() != readers_.end();
  const bool may_ask = pick_attached() != readers_.end();
  check_awaited();  // may find what has to be repaired
  if (may_ask)
    start_repairs();
  else if (!may_fetch)
    // Whose right they were to be fetched with has gone: the strategy may know others.
    for (const auto stripe : std::exchange(repairing_, {})) {
      if (blob_->has(stripe)) continue;
      settle_probe(stripe, false);
      tell(p2p::StripeLost{stripe});
    }
  auto missing = wanted();
  tell_evicted(missing);
  if (window_most_ > 0) keep_what_is_needed();
  const bool idle = missing.empty() && repairing_.empty() && (forwarding_.empty() || readers_.empty());
  tell(p2p::WindowChanged{std::move(missing), !readers_.empty(), may_fetch});
  if (idle) {
    last_progress_ = now();
  } else if (!whole_ && may_ask && now() >= backoff_until_) {
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
      // Of a blob that leaves by span the strategy knows what its readers need, not what has gone behind them.
      if (window_most_ > 0) message.announce.have = have_map(*blob_, this);
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
    const auto reader = pick_attached();
    return reader == readers_.end() ? nullptr : reader->second.source;
  }
  // What it sent before did not fit; the same again would not either.
  if (context_.peers == nullptr || trust_.doubted(fetch.stripes.begin, fetch.source)) return nullptr;
  if (const auto voucher = vouchers_.find(fetch.source); voucher != vouchers_.end() && voucher->second.refused)
    return nullptr;
  return peer_source(fetch);
}

void BlobFetch::start(p2p::Fetch fetch) {
  const auto end_soon = [this, id = fetch.id](Result<> outcome) {
    asio::post(context_.home,
               [self = shared_from_this(), id, outcome = std::move(outcome)] { self->ended(id, outcome); });
  };
  if (auto turn = take_own_turn(fetch); !turn) return end_soon(std::move(turn));
  if (whole_ && fetch.source == p2p::kUpstream)
    return end_soon(oxbow::fail(Errc::kOutOfRange, "the whole blob is coming"));
  const auto late = fetch.hedge_of ? running_.find(*fetch.hedge_of) : running_.end();
  const bool needed = !readers_.empty() || (fetch.id & kForwardId) != 0;
  const bool may_hedge = fetch.hedge_of && late != running_.end() && !unvouched(fetch.source);
  const bool possible = !status().disk_failure && needed && (!fetch.hedge_of || may_hedge);
  auto source = possible ? source_of(fetch) : nullptr;
  if (!source) {
    const auto why = fetch.source == p2p::kUpstream || !possible ? Errc::kCancelled : Errc::kCorrupt;
    return end_soon(oxbow::fail(why, "this fetch is not possible now"));
  }
  std::optional<Running::Tail> tail;
  if (fetch.hedge_of) {
    const auto stripe = blob_->geometry().stripe(fetch.stripes.begin);
    // Of what nothing vouches for, no part is gone on with.
    const bool goes_on = !unvouched(late->second->source());
    const auto begin = goes_on ? std::max(stripe.begin, late->second->position()) : stripe.begin;
    auto memory = context_.hedge_memory.take(stripe.end - begin);
    if (!memory) return end_soon(oxbow::fail(Errc::kCancelled, "no memory for the tail of a hedge"));
    tail.emplace(begin, std::move(*memory));
    hedged_[fetch.stripes.begin] = true;
    log_->hedged();
  }
  const auto reader = fetch.source == p2p::kUpstream ? pick_attached()->first : 0;
  if (fetch.source == p2p::kUpstream) {
    const std::lock_guard lock(mutex_);
    expected_.push_back({fetch.id, fetch.stripes, now()});
  }
  for (auto stripe = fetch.stripes.begin; stripe < fetch.stripes.end; ++stripe) {
    if (blob_->has(stripe) || fetch.source == p2p::kUpstream) continue;
    const std::lock_guard lock(mutex_);
    coming_.push_back(stripe);
  }
  if (unvouched(fetch.source)) vouchers_[fetch.source];  // who leaves the cluster meanwhile stays one
  auto running = std::make_unique<Running>(*this, fetch, std::move(source), reader);
  auto& entry = *running_.emplace(fetch.id, std::move(running)).first->second;
  entry.begin(std::move(tail));
}

/// Hashing a few kilobytes wakes a thread as dearly as hashing many; the end of a stripe never waits.
bool BlobFetch::worth_hashing() const {
  constexpr std::uint64_t kPortionBytes = 256UL * 1024;
  const auto& geometry = blob_->geometry();
  const auto at = hasher_->position();
  if (at >= geometry.blob_bytes()) return true;
  const auto portion = std::min(geometry.stripe(geometry.stripe_at(at)).end - at, kPortionBytes);
  return blob_->readable(at, portion) == portion;
}

void BlobFetch::on_progress() {
  if (worth_hashing()) hasher_->poke();
  // A request's end removes it from the map, so the walk goes over ids.
  std::vector<p2p::FetchId> ids;
  ids.reserve(running_.size());
  for (const auto& [id, running] : running_) ids.push_back(id);
  for (const auto id : ids) {
    if (const auto running = running_.find(id); running != running_.end()) running->second->progress();
  }
  if (blob_->gone()) fail_disk(Error(Errc::kNotFound, "the blob was evicted or purged while it was fetched"));
  settle();
  pump();
}

void BlobFetch::stripe_arrived(Running& running, std::uint32_t stripe) {
  // Of a forward the strategy does not know: to it the stripe comes from nowhere.
  if (!running.is_repair()) tell(p2p::StripeArrived{running.is_forward() ? 0 : running.fetch().id, stripe});
  const auto took = now() - running.started();
  const auto bytes = blob_->geometry().stripe(stripe).size();
  context_.observer.on_stripe({blob_->digest(), stripe, bytes, running.source(), took, retries_[stripe]});
  PullLog::Arrival arrival{.stripe = stripe,
                           .now = context_.clock.steady(),
                           .took = took,
                           .upstream = running.source() == p2p::kUpstream,
                           .retries = retries_[stripe],
                           .hedged = hedged_[stripe],
                           .check = running.claimed() ? StripeCheck::kChecksum : StripeCheck::kNone};
  const auto peers = arrival.upstream ? nullptr : context_.peers->snapshot();
  if (const auto* peer = peers ? peers->find(running.source()) : nullptr) arrival.peer = peer->member.name;
  log_->arrived(arrival);
  if (running.source() != p2p::kUpstream) {
    served_.push_back(
        {running.source(), static_cast<double>(running.to_first_byte().count()),
         static_cast<double>(bytes) * 1000 / static_cast<double>(std::max<std::int64_t>(1, took.count()))});
  }
  end_twins(running, stripe);
  if (relinked_[stripe] && !is_doubtful(stripe)) check_stripe(stripe, LinkBy::kOwn);
}

void BlobFetch::note_retry(std::uint32_t stripe) {
  ++retries_[stripe];
  log_->retried();
}

/// The other side of a hedge has lost.
void BlobFetch::end_twins(const Running& winner, std::uint32_t stripe) {
  for (auto& [id, running] : running_) {
    if (running.get() != &winner && running->fetch().hedge_of && running->fetch().stripes.begin == stripe)
      running->cancel();
  }
}

void BlobFetch::on_hashed(Result<> outcome) {
  if (!outcome && outcome.error().code() != Errc::kCorrupt) {
    if (!verified_) fail_disk(std::move(outcome).error());
    return;
  }
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
  if (context_.peers != nullptr) context_.peers->holds(blob_->digest());
  wake_readers();
  settle();
}

bool BlobFetch::any_committing() const {
  return std::ranges::any_of(running_, [](const auto& entry) { return entry.second->committing(); });
}

void BlobFetch::settle() {
  if (!verified_) return;
  if (any_committing()) return;
  if (!std::exchange(reckoned_, true)) reckon();
  if (links_pending_ > 0) return;
  if (!blob_->complete()) return settle_readers();
  // First, so that who has all of it finds the record.
  context_.journal.end(log_, PullState::kVerified);
  {
    const std::lock_guard lock(mutex_);
    if (status_.settled) return;
    status_.settled = true;
  }
  wake_readers();
}

/// The blob may be larger than what can be kept, and never be here as a whole: who has come to its end has all of it.
void BlobFetch::settle_readers() {
  const auto& geometry = blob_->geometry();
  if (hasher_->position() < geometry.blob_bytes() || !repairing_.empty()) return;
  for (const auto& [id, reader] : readers_) {
    const auto range = reader.wants.ranges.front();
    if (!reader.wants_more() || !reader.wants.read_ahead || reader.position < held_begin(range)) continue;
    bool here = true;
    for (auto stripe = geometry.stripe_at(std::min(reader.position, range.end - 1));
         here && stripe < geometry.stripes(); ++stripe)
      here = blob_->has(stripe);
    if (!here) continue;
    {
      const std::lock_guard lock(mutex_);
      if (!settled_.insert(id).second) continue;
    }
    reader.waker->wake();
  }
}

std::vector<std::uint32_t> FetchReader::replaced() const {
  std::vector<std::uint32_t> stripes;
  const std::lock_guard lock(fetch_->mutex_);
  for (const auto& [stripe, before] : fetch_->replaced_) {
    if (id_ < before) stripes.push_back(stripe);
  }
  return stripes;
}

bool FetchReader::settled() const {
  const std::lock_guard lock(fetch_->mutex_);
  return fetch_->status_.settled || fetch_->settled_.contains(id_);
}

void BlobFetch::ended(p2p::FetchId id, Result<> outcome) {
  const bool whole = whole_ == id;
  if (whole) whole_.reset();
  std::uint64_t reader_id = 0;
  bool upstream = false;
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
    log_->stopped(whole ? 0 : stripes.begin, whole ? blob_->geometry().stripes() : stripes.end);
    if (whole) {
      const std::lock_guard lock(mutex_);
      arriving_.clear();  // of whatever it had come to; nothing else of upstream ran beside it
    }
    if (upstream) {
      const std::lock_guard lock(mutex_);
      std::erase_if(expected_, [id](const Expected& one) { return one.request == id; });
    }
    const bool given_up = !outcome && outcome.error().code() == Errc::kCancelled && (readers_.empty() || stopped_);
    for (auto stripe = stripes.begin; stripe < stripes.end; ++stripe) {
      if (!outcome && !given_up && outcome.error().code() != Errc::kBusy && !blob_->has(stripe)) note_retry(stripe);
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
      if (const auto reader = readers_.find(reader_id); reader != readers_.end()) {
        reader->second.refused = outcome.error();
        if (reader->second.source->refusal_counts(outcome.error().code())) turn_away(reader_id, outcome.error());
      }
      // Peers may still have what upstream does not; how long that is waited for, the timer says.
      const bool alone = context_.peers == nullptr || context_.peers->snapshot()->eligible_others() == 0;
      if (alone && !readers_.empty() && pick_reader() == readers_.end()) {
        fail(outcome.error());
        return;
      }
    } else if (outcome.error().code() == Errc::kBusy) {
      backoff_until_ = std::max(backoff_until_, now() + context_.limits.backoff_min);  // upstream is well
    } else if (outcome.error().code() != Errc::kOutOfRange) {
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
      if (const auto one = finishing_.find(stripe); one != finishing_.end()) one->second.failed = true;
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

/// Whoever else has the bytes: this reader has no right to them.
void BlobFetch::turn_away(std::uint64_t id, const Error& error) {
  auto& reader = readers_.at(id);
  reader.turned_away = true;
  {
    const std::lock_guard lock(mutex_);
    turned_away_.emplace(id, error);
  }
  reader.waker->wake();
}

std::optional<Error> FetchReader::refusal() const {
  const std::lock_guard lock(fetch_->mutex_);
  const auto found = fetch_->turned_away_.find(id_);
  return found == fetch_->turned_away_.end() ? std::nullopt : std::optional(found->second);
}

/// A source without ranges sends the blob from its begin, whatever was asked for: in a swarm one node takes that, who
/// fetches the begin, and the others take it from there. They are told once; what the strategy asks for after that, it
/// means.
bool BlobFetch::leaves_whole_to_others(p2p::Time started) {
  if (context_.peers == nullptr || context_.peers->snapshot()->eligible_others() == 0) return false;
  if (!whole_left_) whole_left_ = now();
  return started <= *whole_left_;
}

void BlobFetch::take_whole(p2p::FetchId id) {
  whole_ = id;
  for (auto& [other, running] : running_) {
    if (other != id) running->yield();
  }
}

void BlobFetch::fail(Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (status_.failure) return;
  }
  drop_unvouched();  // before another fetch of the blob may begin
  context_.journal.end(log_, PullState::kFailed, error.what());
  {
    const std::lock_guard lock(mutex_);
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
  }
  drop_unvouched();
  context_.journal.end(log_, PullState::kFailed, fmt::format("it cannot be kept on this disk: {}", error.what()));
  {
    const std::lock_guard lock(mutex_);
    status_.disk_failure = std::move(error);
  }
  // Posted: a request must not be ended from within its own call.
  asio::post(context_.home, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->stop();
    // Each ends as itself: peers wait for stripes that were arriving here, and for answers. What is on its way into the
    // file may get there all the same: then it is looked at first.
    std::vector<p2p::FetchId> ids;
    for (const auto& [id, running] : self->running_) {
      if (!running->committing()) ids.push_back(id);
    }
    for (const auto id : ids) {
      if (self->running_.contains(id)) self->ended(id, oxbow::fail(Errc::kCancelled, "stopped"));
    }
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
  if (refused) return context_.limits.refused;
  auto longest = context_.limits.no_progress;
  for (const auto& [id, reader] : readers_)
    longest = std::max(longest, reader_patience(context_.limits, *reader.source));
  return longest;
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
  if (const auto probe = next_probe_end()) at = std::min(at, *probe);
  if (const auto widening = next_widening()) at = std::min(at, *widening);
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
  end_late_probes();
  if (strategy_timer_ && now() >= *strategy_timer_) {
    strategy_timer_.reset();
    p2p::TimerFired fired;
    for (const auto& [id, running] : running_) {
      if (running->is_of_strategy()) fired.progress.push_back(running->report());
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
