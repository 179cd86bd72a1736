// The last pulls of this node, running and ended, stripe by stripe: a bounded memory for `oxbow trace`, the admin API
// and the web page. One line of the log each. Memory: an ended pull takes at most some 50 KiB (2,048 events, a map of
// 4,096 characters), so all of them 4 MiB; a running one besides a byte a stripe. Thread rule: any thread; locks are
// short, but of what copies records. Lifetime: outlives every fetch.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "mirror/pull_log.h"

namespace oxbow::mirror {

inline constexpr std::size_t kJournalRunning = 256;  ///< fetches beyond leave no record
inline constexpr std::size_t kJournalEnded = 64;
inline constexpr std::size_t kJournalServes = 192;  ///< without stripes: given from storage, or small
/// The same blob from storage again so soon is a reader more of that pull; and a part of it, of whichever pull was
/// last.
inline constexpr std::chrono::seconds kJournalJoin{60};

class PullJournal {
 public:
  explicit PullJournal(const Clock& clock) : clock_(clock) {}
  PullJournal(const PullJournal&) = delete;
  PullJournal& operator=(const PullJournal&) = delete;

  using Here = std::function<bool(std::uint32_t)>;

  /// A fetch has begun. `here`: whether a stripe is on the disk already; null in window mode. `continues`: for a reader
  /// that begins within the blob; clients that take it in parts leave the fetch between them, and it stays one pull.
  std::shared_ptr<PullLog> begin(const Digest& digest, const Geometry& geometry, const Here& here,
                                 bool continues = false);
  /// A fetch is over, and if the pull has not ended otherwise, its readers have left it.
  void leave(const std::shared_ptr<PullLog>& pull);
  /// Once: later ends of the same pull say nothing.
  void end(const std::shared_ptr<PullLog>& pull, PullState state, std::string_view error = {});

  struct Serve {
    Digest digest;
    std::uint64_t blob_bytes = 0;
    PullSource source = PullSource::kStorage;
    std::string_view registry = {};
    std::string_view repository = {};
    /// From somewhere within the blob on. Clients that take a blob in parts ask for later ones when it is here already:
    /// a reader more of the pull that brought it.
    bool continues = false;
  };
  /// A blob was given from one place: it was on the disk, or is small.
  void served(const Serve& serve);

  std::vector<PullSummary> running() const;  ///< newest first
  std::vector<PullSummary> recent(std::size_t limit) const;
  /// By id, or the latest of a digest.
  std::optional<PullRecord> find(const std::variant<std::uint64_t, Digest>& which) const;
  Clock::Wall since() const noexcept { return since_; }
  std::size_t memory_bytes() const;

 private:
  using Pulls = std::deque<std::shared_ptr<PullLog>>;  ///< oldest first
  Pulls all() const;
  std::shared_ptr<PullLog> latest(const Digest& digest) const;
  std::shared_ptr<PullLog> resume(const Digest& digest, const Geometry& geometry, const Here& here);

  const Clock& clock_;
  const Clock::Wall since_ = clock_.wall();
  mutable std::mutex mutex_;
  std::uint64_t next_id_ = 1;
  Pulls running_;
  Pulls ended_;
  Pulls serves_;
};

}  // namespace oxbow::mirror
