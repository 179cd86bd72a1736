// The journal's entry of one pull while it runs and after: written by the fetch, an event a stripe, and copied out for
// who asks. A byte a stripe and 20 bytes an event.
// Thread rule: any thread; each call holds a lock for well below a microsecond, but `record` and `end`. Lifetime:
// shared by the fetch and the journal.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string_view>

#include "core/geometry.h"
#include "mirror/pull_record.h"

namespace oxbow::mirror {

inline constexpr std::size_t kPullEvents = 2'048;     ///< the newest are kept
inline constexpr std::size_t kPullPeers = 200;        ///< peers with a count of their own; the rest have one together
inline constexpr std::size_t kEndedMapCells = 4'096;  ///< of a larger blob several stripes share a character at the end
inline constexpr std::size_t kPullTextBytes = 512;    ///< of an error or a name

class PullLog {
 public:
  struct Arrival {
    std::uint32_t stripe = 0;
    Clock::Steady now;
    std::chrono::milliseconds took{0};
    bool upstream = true;
    std::string_view peer = {};  ///< by name, unless from upstream
    std::uint32_t retries = 0;
    bool hedged = false;
    StripeCheck check = StripeCheck::kNone;
  };

  /// `here`: whether a stripe was on the disk before. Null: no map is kept, as in window mode.
  PullLog(std::uint64_t id, const Digest& digest, const Geometry& geometry, Clock::Wall started, Clock::Steady now,
          const std::function<bool(std::uint32_t)>& here);

  /// Of a fetch that nobody will ask about, because too many run.
  static std::shared_ptr<PullLog> unrecorded(const Digest& digest);

  void reader(std::string_view registry, std::string_view repository);
  void writing(std::uint32_t stripe);
  /// What of these stripes has not come is missing again.
  void stopped(std::uint32_t begin, std::uint32_t end);
  void arrived(const Arrival& arrival);
  void checked(std::uint32_t stripe, StripeCheck check);
  /// It has been dropped and will be fetched again; `wrong`, or only to be compared.
  void replacing(std::uint32_t stripe, bool wrong);
  /// A stripe that was dropped before has turned out to have been wrong.
  void was_wrong();
  void retried();
  void hedged();
  /// Window mode: so much has come, of which so much from peers.
  void window(std::uint64_t bytes, std::uint64_t from_peers);
  /// All of it came from one place at once: it was on the disk, or is small. In place of `end`.
  void served(PullSource source, Clock::Wall now);
  /// Another fetch goes on with a pull whose fetch was left or is about to end, if what it had is still known; `here`
  /// as above. False: it is not.
  bool resume(const std::function<bool(std::uint32_t)>& here);
  /// One of its fetches has ended. True: none is left.
  bool release();
  /// False: it had ended already. Nothing changes after the end, but by `resume`.
  bool end(PullState state, std::string_view error, Clock::Wall now);
  bool ended() const;

  std::uint64_t id() const noexcept { return id_; }
  const Digest& digest() const noexcept { return digest_; }
  PullSummary summary() const;
  PullRecord record() const;
  std::size_t memory_bytes() const;

 private:
  /// By stripe. From kFirstPeer on: its bytes are of that peer; the last value stands for all that have no number.
  enum Cell : std::uint8_t { kMissing, kArriving, kReplacing, kDisk, kUpstream, kFirstPeer };
  static bool is_done(std::uint8_t cell) noexcept { return cell >= kDisk; }
  static char letter(std::uint8_t cell) noexcept;

  struct Event {
    std::uint32_t stripe;
    std::uint32_t at_ms;
    std::uint32_t took_ms;
    std::uint32_t bytes;
    std::uint8_t cell;
    std::uint8_t retries;
    bool hedged;
    StripeCheck check;
  };

  bool knows(std::uint32_t stripe) const noexcept { return !summary_.ended && stripe < cells_.size(); }
  std::uint8_t cell_of(std::string_view peer);
  std::uint64_t& bytes_of(std::uint8_t cell);
  void take_back(std::uint32_t stripe);
  void found_here(std::uint32_t stripe);
  void thin();

  const std::uint64_t id_;
  const Digest digest_;
  const Geometry geometry_;
  const Clock::Steady began_;
  mutable std::mutex mutex_;
  PullSummary summary_;
  std::uint32_t fetches_ = 1;
  std::vector<std::uint8_t> cells_;  ///< while it runs, and afterwards if there are not too many
  std::string map_;                  ///< afterwards, else; one character stands for all
  std::uint32_t map_stripes_ = 1;
  std::vector<std::pair<std::string, std::uint64_t>> peers_;
  std::vector<Event> events_;  ///< a ring once it is full
  std::size_t oldest_ = 0;
  std::uint64_t events_dropped_ = 0;
};

/// In tables and JSON.
std::string_view to_string(PullState state) noexcept;
std::string_view to_string(PullSource source) noexcept;
std::string_view to_string(StripeCheck check) noexcept;

}  // namespace oxbow::mirror
