// The fetching of one blob that is not complete on this node. At most one a blob; any number of readers attach
// anywhere. It fetches the union of the readers' windows, stops soon after the last reader has left, and keeps what
// arrived. The strategy decides which stripes come from where; this class carries its decisions out: it asks whenever a
// slot is free (late binding), writes what arrives straight into the blob's file, and has the prefix hashed. With a
// ring (`FetchPeers`) stripes come from peers too; what a peer sent is given to readers only when all that is known of
// it agrees (stripe_trust.h).
//
// Thread rule: lives on its home loop; `attach` and FetchReader from any thread. Lifetime: shared by its readers; the
// last release posts its end to the home loop.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/task.h"
#include "core/waker.h"
#include "mirror/fetch_peers.h"
#include "mirror/hedge_memory.h"
#include "mirror/peer_links.h"
#include "mirror/prefix_hasher.h"
#include "mirror/pull_journal.h"
#include "mirror/span_source.h"
#include "mirror/stripe_marks.h"
#include "mirror/stripe_trust.h"
#include "p2p/strategy.h"
#include "storage/store.h"
#include "storage/wake_list.h"

namespace oxbow::mirror {

/// One event a stripe, for metrics and log; the journal of pulls (pull_journal.h) is told by itself.
struct StripeEvent {
  Digest digest;
  std::uint32_t stripe = 0;
  std::uint64_t bytes = 0;
  p2p::SourceId source = p2p::kUpstream;
  std::chrono::milliseconds took{0};
  std::uint32_t retries = 0;
};

/// Thread rule: called on home loops, many at once. Lifetime: outlives every fetch.
class FetchObserver {
 public:
  virtual ~FetchObserver() = default;
  virtual void on_stripe(const StripeEvent& event) = 0;
  /// One stripe did not fit what is known of it; it has been dropped and is fetched again.
  virtual void on_stripe_corrupt(const Digest& digest, std::uint32_t stripe, p2p::SourceId source) = 0;
  /// The whole did not hash to its digest: the blob must be purged, so that the next pull starts clean.
  virtual void on_blob_corrupt(const Digest& digest, const Error& error) = 0;
};

struct FetchLimits {
  std::uint32_t upstream_slots = 6;  ///< parallel spans from upstream, a blob
  /// A reader's window is one stripe until it has taken this much, or has stayed for so long: in a rollout all nodes
  /// wait for the same first stripe, and one that waits long would ask for nothing else meanwhile. Not while a peer
  /// says that it has everything and nothing vouches for it: much of its would be asked for in vain.
  std::uint64_t cautious_bytes = 1024ULL * 1024;
  std::chrono::milliseconds cautious_for{50};
  std::uint32_t window_stripes = 32;  ///< missing ones
  std::uint32_t window_stripes_max = 64;
  std::uint64_t wide_after_bytes = 64ULL * 1024 * 1024;  ///< the largest window after this much
  /// Without any byte for this long the readers are cut; not before upstream's requests have ended by themselves (their
  /// own limit is the registry's `no_progress_timeout`), and another one had its chance.
  std::chrono::milliseconds no_progress{8'000};
  std::chrono::milliseconds after_source{2'000};
  std::chrono::milliseconds no_room{30'000};  ///< the same while received bytes find no room to be written
  std::chrono::milliseconds refused{2'000};   ///< the same when upstream has refused every reader
  std::chrono::milliseconds backoff_min{100};
  std::chrono::milliseconds backoff_max{2'000};
  std::chrono::milliseconds probe{2'000};  ///< for upstream to begin to answer with a stripe that a peer is compared by
  std::uint64_t held_whole_bytes = 8ULL * 1024 * 1024;  ///< blobs up to this wait for their hash rather than a voucher
  std::uint64_t window_memory = 256ULL * 1024 * 1024;   ///< of all readers whose bytes cannot be kept (`limits.memory`)
  std::uint64_t hedge_memory = 64ULL * 1024 * 1024;     ///< of the tails of all hedges of the node
  /// When the last reader leaves nothing new is asked for, but what is on its way has this long to come: clients hang
  /// up on open ranges and come back for the next, and what was sent to nobody would be sent again.
  std::chrono::milliseconds lingers{250};
  std::uint32_t corrupt_stripes_max = 3;  ///< refetches of stripes that failed their link before the blob is given up
};

/// For how long a reader of this source waits for a byte.
inline std::chrono::milliseconds reader_patience(const FetchLimits& limits, const SpanSource& source) {
  const auto own = source.patience();
  return own > std::chrono::milliseconds(0) ? std::max(limits.no_progress, own + limits.after_source)
                                            : limits.no_progress;
}

/// Bytes arrive in many small pieces; fetches and readers look at them in portions of so much time.
inline constexpr std::chrono::milliseconds kProgressEvery{4};

/// A write into the file and the wake-ups that it causes cost the same for 4 KiB as for 128: pieces of a slow source
/// are gathered, but no more and for no longer than this. What comes from upstream, or along a path, is given out as it
/// arrives; what comes from a peer only as a whole stripe, so it may wait for longer.
struct WriteGathering {
  std::size_t bytes;
  std::chrono::milliseconds time;
  bool first_at_once;  ///< the first piece does not wait
};
inline constexpr WriteGathering kGatherAtOnce{128UL * 1024, std::chrono::milliseconds(40), true};
inline constexpr WriteGathering kGatherStripe{512UL * 1024, std::chrono::milliseconds(200), false};

/// The end of an open-ended response that is only trickled while verification is under way.
inline constexpr std::uint64_t kHeldBytes = 64ULL * 1024;

/// What a reader wants: from a position to an end with read-ahead, or exactly some closed ranges.
struct ReaderWants {
  std::vector<ByteRange> ranges;  ///< one, if `read_ahead`
  bool read_ahead = false;
};

struct FetchStatus {
  bool settled = false;  ///< all of the blob is here and matched its digest (FetchReader::settled: for this reader)
  std::optional<Error> failure;       ///< the bytes cannot be had
  std::optional<Error> disk_failure;  ///< the bytes cannot be kept: readers go on through windows of their own
};

class FetchReader;

class BlobFetch : public std::enable_shared_from_this<BlobFetch> {
 public:
  struct Context {
    Loop& home;
    WorkPool& pool;
    const Clock& clock;
    FetchObserver& observer;
    FetchLimits limits;
    storage::Store& store;
    PullJournal& journal;
    HedgeMemory& hedge_memory;
    FetchPeers* peers = nullptr;  ///< null: no ring
    bool continues = false;       ///< for a reader that begins within the blob; for the journal
  };

  /// `told`: what the strategy knows to be here.
  static std::shared_ptr<BlobFetch> create(Context context, std::shared_ptr<storage::Blob> blob,
                                           std::unique_ptr<p2p::Strategy> strategy, const p2p::HaveMap& told);
  BlobFetch(const BlobFetch&) = delete;
  BlobFetch& operator=(const BlobFetch&) = delete;
  ~BlobFetch();

  /// A reader with the source that it is authorised for. `waker` is woken when the status changes.
  std::unique_ptr<FetchReader> attach(std::shared_ptr<SpanSource> source, ReaderWants wants,
                                      std::shared_ptr<Waker> waker);

  FetchStatus status() const;
  /// The bytes cannot be had, or not be kept. Any thread.
  bool has_failed() const;
  storage::Blob& blob() noexcept { return *blob_; }
  const std::shared_ptr<storage::Blob>& shared_blob() const noexcept { return blob_; }
  Hasher prefix_snapshot() const { return hasher_->snapshot(); }
  /// What readers may give out, and what peers may be told. Any thread.
  const StripeMarks& marks() const noexcept { return marks_; }
  /// Stripes that are coming from upstream now. Any thread.
  std::vector<std::uint32_t> arriving() const;
  bool is_arriving(std::uint32_t stripe) const;
  /// `changed` (the home loop) when a stripe may be given out now, or has stopped arriving.
  std::unique_ptr<storage::Subscription> on_change(std::function<void()> changed) {
    return changed_.add(std::move(changed));
  }
  /// Some peers that have said that they have the stripe, the latest first: named by busy answers. Any thread.
  std::vector<p2p::PeerId> holders(std::uint32_t stripe) const;

  // For other nodes (blob_forward.cc):
  /// A stripe that is to come from a peer on behalf of another node, without a reader and outside the strategy.
  struct ForwardAsk {
    std::uint32_t stripe = 0;
    p2p::SourceId source = p2p::kNoPeer;  ///< this node: only what its readers fetch anyway
    std::optional<p2p::Along> along = {};
    /// The asker may wait for a fetch of this node's own readers that has no answer yet.
    bool may_wait = false;
    std::chrono::milliseconds deadline{0};
  };
  struct Forwarded {
    Result<> outcome;  ///< good: it is here or coming. Errors: as FetchEnded, and kTimeout (it comes no further)
    bool lease = false;
    bool late = false;  ///< no answer has begun in time
  };
  /// Waits for the answer's head. Joins what runs already. Any thread.
  Task<Forwarded> forward(ForwardAsk ask);
  /// It is part of a request to upstream that goes on, and comes after others. Any thread.
  bool is_expected(std::uint32_t stripe) const;
  /// It is coming from a peer, for whomever. Any thread.
  bool is_coming(std::uint32_t stripe) const;

 private:
  friend class FetchReader;
  class Running;
  struct Reader;

  /// Fetches that this class starts by itself, to replace a doubtful stripe; a strategy counts from 1.
  static constexpr p2p::FetchId kRepairId = 1ULL << 63;
  /// And those for other nodes.
  static constexpr p2p::FetchId kForwardId = 1ULL << 62;
  /// In place of a source: several had a part in the stripe, it came along a path, or it is older than this fetch.
  /// Nobody is named for it.
  static constexpr p2p::SourceId kSeveral = std::numeric_limits<p2p::SourceId>::max();

  BlobFetch(Context context, std::shared_ptr<storage::Blob> blob, std::unique_ptr<p2p::Strategy> strategy,
            const p2p::HaveMap& told);
  void begin();

  // On the home loop:
  void add_reader(std::uint64_t id, Reader reader);
  void reader_left(std::uint64_t id);
  void linger(std::uint64_t id, std::chrono::milliseconds time);
  void remove_reader(std::uint64_t id);
  void forget_reader(std::uint64_t id);
  void forget_left();
  void pump();
  void apply(const std::vector<p2p::Action>& actions);
  void tell(const p2p::Event& event) {
    if (const auto* arrived = std::get_if<p2p::StripeArrived>(&event)) told_here_[arrived->stripe] = true;
    if (const auto* lost = std::get_if<p2p::StripeLost>(&event)) told_here_[lost->stripe] = false;
    if (!stopped_) apply(strategy_->on_event(now(), event));
  }
  void tell_evicted(const std::vector<p2p::StripeRange>& missing);
  void keep_what_is_needed();
  std::uint64_t end_for(const Reader& reader) const;
  /// After a failure nothing more is begun, whatever comes.
  void stop();
  void start(p2p::Fetch fetch);
  void on_progress();
  bool worth_hashing() const;
  void ended(p2p::FetchId id, Result<> outcome);
  void take_whole(p2p::FetchId id);
  bool leaves_whole_to_others(p2p::Time started);
  /// False: it does not agree with what is known; it has been dropped.
  bool accept(Running& running, std::uint32_t stripe);
  void stripe_arrived(Running& running, std::uint32_t stripe);
  void note_retry(std::uint32_t stripe);
  void on_writing(std::uint32_t stripe, p2p::SourceId source, bool from_begin);
  p2p::PeerId sender_of(std::uint32_t stripe) const;
  StripeTrust::Sender answering(std::uint32_t stripe) const;
  bool is_doubtful(std::uint32_t stripe) const;
  void clear(std::uint32_t stripe, bool awaited);
  /// Which midstates a stripe is checked alone by, and what it means if it does not fit.
  enum class LinkBy : std::uint8_t {
    kOwn,        ///< the prefix has been there: the bytes are wrong
    kHint,       ///< somebody waits for it: the bytes or the list are wrong
    kHintAhead,  ///< the same, and that is left to the prefix
  };
  void check_stripe(std::uint32_t stripe, LinkBy by);
  void check_awaited();
  struct LinkCheck {
    std::uint32_t stripe;
    std::uint32_t copy;  ///< of its bytes, as copies_ counts them
    LinkBy by;
    std::optional<Checksum> sum;
    std::optional<StripeLink> link;  ///< nothing: the midstates are not known
    std::optional<bool> good;
  };
  void on_link(LinkCheck check);
  bool on_boundary(std::uint32_t stripe, std::string_view midstate);
  void on_cleared(std::uint32_t stripe, const std::optional<Checksum>& sum);
  void on_hint_mismatch(std::uint32_t stripe);
  void note_first_hand(p2p::PeerId publisher, std::uint32_t stripe, const Checksum& sum);
  /// Drops stripes that may be wrong and fetches them again: from upstream, where a reader may, else from whom the
  /// strategy picks.
  void replace(const std::vector<std::uint32_t>& stripes, bool doubted = true);
  void start_repairs();
  bool finish_by_upstream(std::uint32_t stripe);
  void clear_marks();
  void on_heard(const p2p::Event& event);
  void wait_for_room();
  void flush_late();
  void note_arriving(std::uint32_t stripe);
  void note_moved(p2p::FetchId id, std::uint32_t stripe);
  void note_news(p2p::PeerId peer, const p2p::AnswerNews& news);
  void note_holder(p2p::PeerId peer, const p2p::HaveUpdate& update);
  bool repair();
  Task<> ask_for_hints(std::shared_ptr<BlobFetch> self, bool to_repair);
  Task<> ask_who_published(std::shared_ptr<BlobFetch> self, std::vector<std::string> names);
  void locate_wrong();
  /// What a peer sends that says that it has everything, and of whom nothing is known, is given to nobody before one
  /// stripe of it was compared with upstream (or another's midstates agree): else the first to pull after a liar would
  /// give its bytes to a client, and find out at the end.
  bool unvouched(p2p::PeerId sender) const;
  bool is_said_complete(std::string_view name) const;
  bool any_unvouched() const;
  /// The stripe is given to nobody before its sender is vouched for.
  void await_voucher(std::uint32_t stripe);
  bool is_refused(p2p::PeerId sender) const;
  void drop_of_refused(std::uint32_t stripe);
  void seek_vouchers();
  bool waits_for_the_whole() const;
  bool refuse_unvouched();
  void end_late_probes();
  std::optional<p2p::Time> next_probe_end() const;
  void settle_probe(std::uint32_t stripe, bool compared);
  std::vector<std::uint32_t> drop_unvouched();
  void drop(std::uint32_t stripe, bool doubted);
  bool any_committing() const;
  void release(const std::vector<std::uint32_t>& stripes);
  void reckon();
  void on_hashed(Result<> outcome);
  std::shared_ptr<SpanSource> source_of(const p2p::Fetch& fetch);
  std::uint32_t upstream_running() const;
  std::shared_ptr<SpanSource> peer_source(const p2p::Fetch& fetch);
  struct HeadWaiter;
  static Task<Forwarded> forward_here(std::shared_ptr<BlobFetch> self, ForwardAsk ask);
  struct UnderWay {
    p2p::FetchId id = 0;
    bool forward = false;
    bool heard = false;  ///< its answer has begun, and it has not ended
    bool begun = false;  ///< bytes have come
    bool upstream = false;
    bool over = false;  ///< cancelled or failed; its end is on its way
    std::chrono::milliseconds since_last{0};
  };
  static bool is_stalled(const UnderWay& one) noexcept;
  std::vector<UnderWay> under_way() const;
  std::optional<UnderWay> under_way(std::uint32_t stripe) const;
  void cancel(p2p::FetchId id);
  void forward_ended(std::uint32_t stripe, const Result<>& outcome, bool lease);
  void head_came(std::uint32_t stripe, const Result<>& outcome, bool lease);
  Result<> take_own_turn(p2p::Fetch& fetch);
  bool own_turn_ended(p2p::FetchId id, Result<>& outcome);
  void drop_stalled_forwards();
  void end_twins(const Running& winner, std::uint32_t stripe);
  void turn_away(std::uint64_t id, const Error& error);
  void fail(Error error);
  void fail_disk(Error error);
  std::chrono::milliseconds patience();
  void arm_timer();
  void on_timer();
  std::vector<p2p::StripeRange> wanted() const;
  std::optional<p2p::Time> next_widening() const;
  std::uint64_t window_end(std::uint64_t begin, std::uint32_t missing) const;
  void add_missing(std::vector<p2p::StripeRange>& out, ByteRange range) const;
  /// The first reader whose source has not said no for good; with whose right upstream may be asked: one that is there.
  std::map<std::uint64_t, Reader>::const_iterator pick_reader() const;
  std::map<std::uint64_t, Reader>::const_iterator pick_attached() const;
  void wake_readers();
  void settle();
  void settle_readers();
  void spoil(std::uint32_t stripe);
  p2p::Time now() const;

  Context context_;
  std::shared_ptr<storage::Blob> blob_;
  std::shared_ptr<PullLog> log_;
  std::unique_ptr<p2p::Strategy> strategy_;
  std::shared_ptr<PrefixHasher> hasher_;
  std::shared_ptr<Waker> progress_;
  std::shared_ptr<Waker> room_;      ///< the write arena has room again
  std::shared_ptr<Waker> gathered_;  ///< pieces wait to be written
  std::unique_ptr<storage::Subscription> subscription_;
  std::unique_ptr<storage::Subscription> arena_space_;
  asio::steady_timer timer_;

  std::map<std::uint64_t, Reader> readers_;
  std::map<p2p::FetchId, std::unique_ptr<Running>> running_;
  std::optional<p2p::FetchId> whole_;    ///< a fetch that streams all of the blob: the source knows no ranges
  std::optional<p2p::Time> whole_left_;  ///< since then it is known that the source knows no ranges
  std::vector<std::uint32_t> retries_;   ///< by stripe
  std::vector<bool> hedged_;             ///< by stripe
  std::vector<bool> relinked_;           ///< by stripe: fetched after its midstates were known
  std::uint32_t window_most_ = 0;        ///< stripes, of a blob that leaves by span
  std::vector<bool> told_here_;          ///< by stripe: what the strategy believes
  p2p::Time last_progress_{0};
  std::optional<p2p::Time> waits_for_room_since_;
  p2p::Time backoff_until_{0};
  std::chrono::milliseconds backoff_{0};
  std::uint32_t corrupt_stripes_ = 0;
  std::uint32_t links_pending_ = 0;
  bool verified_ = false;
  bool reckoned_ = false;
  bool stopped_ = false;
  std::optional<p2p::Time> strategy_timer_;
  std::optional<p2p::Time> armed_;  ///< when timer_ fires
  bool in_pump_ = false;
  std::optional<Error> last_error_;

  StripeMarks marks_;
  StripeTrust trust_;
  std::unique_ptr<PeerLinks> links_;
  std::vector<p2p::SourceId> origins_;           ///< by stripe: whose bytes are in the file
  std::vector<bool> sender_answers_;             ///< by stripe: who sent it answers for it (StripeTrust::Sender)
  std::vector<bool> accepted_;                   ///< by stripe: compared with what was known when it came
  std::vector<bool> checking_;                   ///< by stripe: being checked alone
  std::vector<std::uint32_t> copies_;            ///< by stripe: how often writing it has begun
  std::vector<std::uint32_t> repairing_;         ///< stripes that are fetched again outside the strategy
  std::deque<std::string> complete_neighbours_;  ///< as the coordinator said, the latest first
  std::set<std::string> wanters_;                ///< neighbours that did not have all of it
  bool asked_for_hints_ = false;
  bool hints_answered_ = false;
  /// Of a peer that says that it has all of the blob.
  struct Voucher {
    bool given = false;
    bool refused = false;
    std::optional<std::uint32_t> probe;  ///< the stripe that upstream is asked for too
    p2p::Time probe_ends{0};             ///< upstream has to have begun to answer by then
    Checksum sum;                        ///< of that stripe, as the peer sent it,
    bool answers = false;                ///< and whether it answers for it
    std::vector<std::uint32_t> waiting;  ///< stripes that came from it meanwhile
    /// And what that comes to is not known yet.
    bool is_probed() const noexcept { return probe && !given && !refused; }
  };
  std::map<p2p::PeerId, Voucher> vouchers_;
  struct Finishing {
    p2p::Time probe_ends;  ///< upstream has to have begun to answer by then
    bool failed = false;   ///< it could not: peers may go on
  };
  std::map<std::uint32_t, Finishing> finishing_;  ///< stripes that others have begun and upstream is to finish
  struct Served {
    p2p::PeerId peer;
    double first_byte_ms;
    double bytes_per_second;
  };
  std::vector<Served> served_;  ///< by peers, told to the table when the blob has verified
  bool asked_to_repair_ = false;
  storage::WakeList changed_;
  std::vector<std::uint32_t> forwarding_;  ///< stripes that come for other nodes, outside the strategy
  std::multimap<std::uint32_t, std::shared_ptr<HeadWaiter>> head_waiters_;  ///< by stripe
  /// This node's turns as owner: of which stripe, and who has it; kNoPeer: this node has the lease.
  std::map<p2p::FetchId, std::pair<std::uint32_t, p2p::PeerId>> own_turns_;

  std::atomic<std::uint64_t> next_reader_ = 1;
  mutable std::mutex mutex_;  ///< status_, turned_away_, replaced_, settled_, arriving_, coming_, expected_, holders_
  FetchStatus status_;
  std::map<std::uint64_t, Error> turned_away_;                     ///< readers, and why
  std::vector<std::pair<std::uint32_t, std::uint64_t>> replaced_;  ///< stripes, each with the first reader after it
  std::set<std::uint64_t> settled_;                                ///< readers of a blob that was never here as a whole
  std::vector<std::uint32_t> arriving_;
  std::vector<std::uint32_t> coming_;  ///< from peers
  struct Expected {
    p2p::FetchId request;
    p2p::StripeRange stripes;  ///< what has not come of it
    p2p::Time moved;           ///< its last byte, or its begin
  };
  std::vector<Expected> expected_;                   ///< from upstream: the requests under way
  std::vector<std::array<p2p::PeerId, 4>> holders_;  ///< by stripe
};

/// A reader's hold on a fetch. Thread rule: one thread at a time. Destroying it detaches.
class FetchReader {
 public:
  ~FetchReader();
  FetchReader(const FetchReader&) = delete;
  FetchReader& operator=(const FetchReader&) = delete;

  /// Upstream says that this reader may not have the blob: nothing more is to be given, whoever has the bytes.
  std::optional<Error> refusal() const;
  /// Stripes that this reader could be given and that were wrong, or that nothing vouches for any more: where it has
  /// given them out it must cut its response.
  std::vector<std::uint32_t> replaced() const;
  /// All that it has been given, and what is left for it, is here or was, and matched the digest.
  bool settled() const;
  /// The reader has taken everything before `position`.
  void advance(std::uint64_t position);
  BlobFetch& fetch() noexcept { return *fetch_; }

 private:
  friend class BlobFetch;
  FetchReader(std::shared_ptr<BlobFetch> fetch, std::uint64_t id, ByteRange range)
      : fetch_(std::move(fetch)), id_(id), range_(range), told_(range.begin) {}

  std::shared_ptr<BlobFetch> fetch_;
  std::uint64_t id_;
  ByteRange range_;
  std::uint64_t told_;
};

}  // namespace oxbow::mirror
