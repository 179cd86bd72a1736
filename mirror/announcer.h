// Tells the coordinators of blobs what this node holds: soon after a blob has verified or its readers have left; after
// a start, a change of the ring or the restart of a peer those who are coordinators now and have not been told; and
// everybody again now and then, because coordinators forget. What has been purged or evicted is taken back. In batches,
// one request for many blobs; each blob to its coordinator and that one's successor, so that either may go.
// Thread rule: any thread; works on one loop. Lifetime: outlived by its peers' client; `stop` before the loops end.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/task.h"
#include "mirror/blobs.h"
#include "p2p/peer_client.h"

namespace oxbow::mirror {

class Announcer : public std::enable_shared_from_this<Announcer> {
 public:
  struct Options {
    std::chrono::milliseconds gather{200};     ///< before news are sent
    std::chrono::milliseconds settle{2'000};   ///< after the first of some changes of the ring
    std::chrono::milliseconds again{300'000};  ///< everything, jittered by a quarter
    std::chrono::milliseconds look{5'000};     ///< between looks for what was told of and is gone
    std::size_t batch = 128;                   ///< blobs in one request
    std::size_t told = 2;                      ///< peers a blob is announced to
  };
  /// To a peer, which may be this node.
  using Send = std::function<Task<bool>(p2p::PeerId peer, std::vector<p2p::Announce> announces)>;

  Announcer(Options options, Blobs& blobs, p2p::PeerTable& table, Loop& loop, Send send, std::string name);

  void start();
  void stop();
  void holds(const Digest& digest);
  /// The ring has changed: what is whose may be another's now. Changes that come one after the other do not put it off.
  void ring_changed();
  /// Somebody may be selected now who could not, or the other way round: among thousands that happens all the time.
  void eligible_changed();
  /// That peer has been started anew, and knows nothing of what it was told.
  void restarted(const std::string& name);

 private:
  struct Batch;
  enum class To : std::uint8_t { kAll, kNotTold };
  struct Told {
    std::chrono::milliseconds at;
    std::uint32_t stripes;
  };

  Task<> run(std::shared_ptr<Announcer> self);
  /// False: somebody could not be told.
  Task<bool> say(std::vector<Digest> digests, bool with_midstates, To to);
  Task<bool> send(Batch batch);
  Task<> take_back();
  std::vector<Digest> shrunk() const;
  bool remembers(const Told& told) const;
  bool knows(p2p::Key name, const Digest& digest) const;
  bool is_gone(const Digest& digest) const;
  std::shared_ptr<storage::Blob> held(const Digest& digest) const;
  void take_restarted();
  void try_again_in(std::chrono::milliseconds wait);
  /// With midstates: they are long, and told once.
  std::optional<p2p::Announce> describe(const Digest& digest, bool with_midstates) const;
  std::vector<Digest> take_news();
  std::vector<Digest> everything();
  std::chrono::milliseconds now() const;

  const Options options_;
  Blobs& blobs_;
  p2p::PeerTable& table_;
  Loop& loop_;
  Send send_;
  std::string name_;
  asio::steady_timer timer_;
  std::chrono::milliseconds all_due_{0};   ///< everybody, again
  std::chrono::milliseconds look_due_{0};  ///< for what is gone
  /// Who has been told of a blob, by the keys of their names; when, and of how many stripes. Of the loop.
  std::unordered_map<Digest, std::map<p2p::Key, Told>, Digest::Hash> told_;
  std::unordered_set<Digest, Digest::Hash> owed_;  ///< somebody was not told of them: the next time with midstates too
  std::mutex mutex_;                               ///< what follows
  std::unordered_set<Digest, Digest::Hash> news_;
  std::vector<p2p::Key> restarted_;
  std::optional<std::chrono::milliseconds> check_due_;  ///< those who are coordinators now
  std::atomic<bool> stopped_ = false;
};

}  // namespace oxbow::mirror
