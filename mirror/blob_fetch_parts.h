// The inner parts of a BlobFetch: its readers, and its requests under way. For blob_fetch*.cc alone.
#pragma once

#include <deque>

#include "mirror/blob_fetch.h"
#include "mirror/peer_source.h"

namespace oxbow::mirror {

struct BlobFetch::Reader {
  bool wants_more() const noexcept { return !turned_away && left == nullptr; }

  std::shared_ptr<SpanSource> source;
  ReaderWants wants;
  std::uint64_t start = 0;
  std::uint64_t position = 0;
  std::shared_ptr<Waker> waker;
  p2p::Time wide_at{0};          ///< from then on it is taken for one who stays
  std::optional<Error> refused;  ///< its source said no for good; another reader's may still say yes
  bool turned_away = false;      ///< by that no it may have nothing more, whoever has it
  /// It wants nothing more; until then what is on its way may still come.
  std::shared_ptr<asio::steady_timer> left = nullptr;
};

/// One request under way: cuts the received bytes into stripes and gives them to their writers.
class BlobFetch::Running final : public SpanSink {
 public:
  Running(BlobFetch& owner, const p2p::Fetch& fetch, std::shared_ptr<SpanSource> source, std::uint64_t reader)
      : owner_(owner),
        fetch_(fetch),
        source_(std::move(source)),
        reader_(reader),
        geometry_(owner.blob_->geometry()),
        gathering_(fetch.source == p2p::kUpstream || is_forward() ? kGatherAtOnce : kGatherStripe),
        first_hand_(fetch.source != p2p::kUpstream && owner.trust_.is_first_hand(fetch.source, fetch.stripes.begin)) {}

  /// Where a hedge begins, and the room for its bytes.
  struct Tail {
    std::uint64_t begin;
    HedgeMemory::Hold memory;
  };

  void begin(std::optional<Tail> tail) {
    position_ = geometry_.stripe(fetch_.stripes.begin).begin;
    end_ = geometry_.stripe(fetch_.stripes.end - 1).end;
    started_ = last_byte_ = owner_.now();
    if (!gathering_.first_at_once) written_at_ = started_;
    if (tail) {
      tail_.emplace(std::move(*tail));
      position_ = tail_->begin;
      held_.reserve(end_ - position_);
      request_ = source_->request(owner_.context_.home, {position_, end_}, *this);
      return;
    }
    auto writer = claim(fetch_.stripes.begin);
    if (!writer && writer.error().code() == Errc::kBusy) {
      // An earlier request's last bytes are still on their way into the file: asking now would ask for them twice.
      return finish(std::unexpected(std::move(writer.error())));
    }
    if (!take_writer(std::move(writer))) return;
    if (writer_) position_ = writer_->position();  // where an earlier writer stopped
    request_ = source_->request(owner_.context_.home, {position_, end_}, *this);
  }

  void on_news(const p2p::AnswerNews& news) override { owner_.note_news(fetch_.source, news); }

  void on_head(const SpanHead& head) override {
    if (auto right = check_head(head, geometry_.blob_bytes(), position_); !right) return finish(std::move(right));
    if (head.whole && fetch_.stripes.begin > 0 && is_of_strategy() && owner_.leaves_whole_to_others(started_))
      return finish(oxbow::fail(Errc::kOutOfRange, "the source gives this blob only from its begin"));
    first_byte_ = owner_.now();
    heard_ = true;
    vouched_ = head.vouched;
    owner_.head_came(fetch_.stripes.begin, {}, false);
    if (head.checksum_hex) claimed_ = Checksum::parse(*head.checksum_hex);
    if (!head.whole) return;
    // No range support: this one request streams the whole blob; what is here already is skipped.
    position_ = 0;
    end_ = geometry_.blob_bytes();
    writer_.reset();
    skipping_ = false;
    owner_.take_whole(fetch_.id);
  }

  std::size_t on_data(std::span<const std::byte> bytes) override {
    last_byte_ = owner_.now();
    if (fetch_.source == p2p::kUpstream)
      owner_.note_moved(fetch_.id, geometry_.stripe_at(std::min(position_, end_ - 1)));
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
        committing_.clear();
        owner_.fail_disk(*error);
        break;
      }
      if (!writer->committed()) break;
      const auto committed = stripe;
      committing_.pop_front();
      if (!owner_.blob_->has(committed)) {  // it has gone since
        owner_.tell(p2p::StripeLost{committed});
        continue;
      }
      if (!owner_.accept(*this, committed)) {
        if (fetch_.source == p2p::kUpstream) {
          // It only finished what another had begun: that stripe is asked for again, and this goes on.
          owner_.tell(p2p::StripeLost{committed});
          continue;
        }
        request_.reset();
        discard();
        writer_.reset();
        // Whoever was cancelled is not to blame besides.
        if (!outcome_ || *outcome_)
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

  /// The whole blob is coming by another request. What the strategy asked of upstream it need not ask for again.
  void yield() {
    if (fetch_.source != p2p::kUpstream || !is_of_strategy()) return cancel();
    request_.reset();
    finish(oxbow::fail(Errc::kOutOfRange, "the whole blob is coming"));
  }

  /// Writes what has been gathered for long enough; says whether something is still held.
  bool flush_late() {
    if (gathered_bytes_ == 0 || !writer_) return false;
    if (owner_.now() < written_at_ + gathering_.time) return true;
    writer_->flush();
    note_written();
    return false;
  }

  /// Where the next byte from the source goes: a hedge begins there.
  std::uint64_t position() const noexcept { return position_; }
  const p2p::Fetch& fetch() const noexcept { return fetch_; }
  p2p::SourceId source() const noexcept { return fetch_.source; }
  bool is_repair() const noexcept { return (fetch_.id & kRepairId) != 0; }
  bool is_forward() const noexcept { return (fetch_.id & kForwardId) != 0; }
  bool is_of_strategy() const noexcept { return !is_repair() && !is_forward(); }
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
  bool answers() const noexcept { return vouched_ || first_hand_; }
  const std::optional<Checksum>& claimed() const noexcept { return claimed_; }
  std::vector<std::string> alternatives() const { return source_->alternatives(); }
  p2p::FetchProgress report() const { return {fetch_.id, received_, owner_.now() - last_byte_}; }
  std::chrono::milliseconds to_first_byte() const { return first_byte_ - started_; }
  p2p::Time started() const noexcept { return started_; }
  std::uint64_t reader() const noexcept { return reader_; }
  bool committing() const noexcept { return !committing_.empty(); }

 private:
  /// A writer for the stripe at position_, or skipping when the stripe is here already. False after a disk failure.
  bool open_writer() { return take_writer(claim(geometry_.stripe_at(position_))); }

  /// A stripe of a peer that nothing vouches for is that peer's alone, or nobody could tell later who has to be vouched
  /// for. What others have left is for upstream to finish, unless that fails.
  Result<std::unique_ptr<storage::StripeWriter>> claim(std::uint32_t stripe) {
    auto writer = owner_.blob_->begin_stripe(stripe);
    const bool goes_on = writer && (*writer)->position() > (*writer)->stripe().begin;
    if (goes_on && owner_.unvouched(fetch_.source) && owner_.finish_by_upstream(stripe))
      return oxbow::fail(Errc::kBusy, "others have begun the stripe, and nothing vouches for this peer");
    begun_here_ = writer && !goes_on;
    return writer;
  }

  /// What this request alone has begun, and nobody was given anything of.
  void discard() {
    if (!writer_ || !begun_here_) return;
    writer_->discard();
    owner_.hasher_->rewind(geometry_.stripe_at(writer_->stripe().begin));  // it may have hashed a part of it
  }

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

  /// Bytes that are here already are progress too: a whole blob streams past them to what is missing.
  void note_passed(std::size_t bytes) {
    owner_.last_progress_ = owner_.now();
    received_ += bytes;
  }

  void note_written() {
    gathered_bytes_ = 0;
    written_at_ = owner_.now();
  }

  std::size_t take(std::span<const std::byte> part) {
    if (skipping_) {
      const auto skipped = static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), skip_to_ - position_));
      position_ += skipped;
      if (position_ == skip_to_) skipping_ = false;
      note_passed(skipped);
      return skipped;
    }
    if (position_ < writer_->position()) {
      const auto known =
          static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), writer_->position() - position_));
      position_ += known;
      note_passed(known);
      return known;
    }
    const bool now = gathered_bytes_ + part.size() >= gathering_.bytes || owner_.now() >= written_at_ + gathering_.time;
    if (!writer_->write(part, now ? storage::WriteWhen::kNow : storage::WriteWhen::kLater)) {
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
    if (now) {
      note_written();
    } else {
      gathered_bytes_ += part.size();
      owner_.gathered_->wake();
    }
    if (position_ == writer_->stripe().end) {
      note_written();
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
      auto writer = claim(stripe);
      if (!writer) {
        if (writer.error().code() == Errc::kBusy) return;  // its last bytes are still on their way into the file
        if (writer.error().code() == Errc::kCancelled) return finish({});
        return owner_.fail_disk(writer.error());
      }
      writer_ = std::move(*writer);
      owner_.on_writing(stripe, fetch_.source, writer_->position() == writer_->stripe().begin);
    }
    const auto at = writer_->position();
    if (at < tail_->begin) return finish(oxbow::fail(Errc::kCancelled, "the late stripe was begun anew"));
    std::span<const std::byte> rest(held_);
    rest = rest.subspan(std::min<std::size_t>(at - tail_->begin, rest.size()));
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
    if (writer_ && owner_.unvouched(fetch_.source)) discard();
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
  const WriteGathering gathering_;
  std::size_t gathered_bytes_ = 0;  ///< taken by the writer, not on their way into the file
  p2p::Time written_at_{0};
  bool begun_here_ = false;  ///< the stripe of writer_: nothing of it is another's
  bool skipping_ = false;
  std::uint64_t skip_to_ = 0;
  bool paused_ = false;
  bool heard_ = false;
  bool vouched_ = false;
  const bool first_hand_;  ///< as it had said when it was asked
  std::optional<Checksum> claimed_;
  std::optional<Tail> tail_;  ///< of a hedge
  std::vector<std::byte> held_;
  bool landing_ = false;
  std::uint64_t received_ = 0;
  p2p::Time first_byte_{0};
  p2p::Time last_byte_{0};
  std::optional<Result<>> outcome_;
  std::unique_ptr<SpanRequest> request_;  // last: destroyed first, so that nothing is called any more
};

}  // namespace oxbow::mirror
