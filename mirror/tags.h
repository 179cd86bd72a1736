// Tag → digest: kept for `tag_ttl`, then asked again by HEAD, which is free of charge at Docker Hub;
// one question under way at a time a tag; served stale while upstream fails, by what this node or its peers last saw.
// With `tags_via = "owner"` the tag's owner on the ring asks for all nodes. Thread rule: all methods on the loop of
// the request. Lifetime: outlives the requests.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "mirror/small_content.h"

namespace oxbow::mirror {

struct ResolvedTag {
  Digest digest;
  bool stale = false;
  std::vector<std::string> warnings = {};  ///< upstream's, when it was asked just now
  std::optional<Outage> outage = {};       ///< upstream failed, and this is what peers last saw
};

class Tags {
 public:
  static constexpr std::size_t kMaxCached = 16'384;

  Tags(storage::Store& store, Access& access, SmallContents& contents, const Clock& clock, MetricsRegistry& metrics);

  enum class Ask {
    kAnybody,   ///< its owner or upstream, then peers
    kUpstream,  ///< for a peer, which asks the others itself
  };
  Task<Outcome<ResolvedTag>> resolve(Asker asker, std::string tag, Ask ask = Ask::kAnybody);

  /// What upstream (or the tag's owner) last said to this node, and how long ago.
  struct Seen {
    Digest digest;
    std::chrono::milliseconds age{0};
  };
  Task<std::optional<Seen>> last_seen(RepositoryKey repository, std::string tag);

 private:
  struct Entry {
    Digest digest;
    std::chrono::milliseconds validated{0};  ///< wall clock, since 1970: it survives restarts
  };

  Task<std::optional<Entry>> recall(std::string key);
  void keep(const std::string& key, const Entry& entry);
  void forget(const std::string& key);
  Task<Outcome<ResolvedTag>> revalidate(Asker asker, std::string tag, std::string key, std::optional<Entry> known,
                                        bool via_owner);
  bool via_owner(const Asker& asker, const std::string& tag);
  Task<std::optional<ResolvedTag>> ask_owner(Asker asker, std::string tag, std::string key);
  Task<Outcome<ResolvedTag>> ask_peers(Asker asker, std::string tag, Failure failure);
  Task<Outcome<ResolvedTag>> ask_upstream(Asker asker, std::string tag);
  std::chrono::milliseconds wall_now() const;
  std::optional<std::chrono::milliseconds> age_of(const Entry& entry) const;

  storage::Store& store_;
  Access& access_;
  SmallContents& contents_;
  const Clock& clock_;
  Counter& stale_served_;
  Coalesce<Outcome<ResolvedTag>> questions_;
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> recent_;
};

}  // namespace oxbow::mirror
