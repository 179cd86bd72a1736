// Tag → digest (design section 9): kept for `tag_ttl`, then asked again by HEAD, which is free of charge at Docker Hub;
// one question under way at a time a tag; served stale while upstream fails. Thread rule: all methods on the loop of
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
};

class Tags {
 public:
  static constexpr std::size_t kMaxCached = 16'384;

  Tags(storage::Store& store, Access& access, SmallContents& contents, const Clock& clock, MetricsRegistry& metrics);

  Task<Outcome<ResolvedTag>> resolve(Asker asker, std::string tag);

 private:
  struct Entry {
    Digest digest;
    std::chrono::milliseconds validated{0};  ///< wall clock, since 1970: it survives restarts
  };

  Task<std::optional<Entry>> recall(std::string key);
  void keep(const std::string& key, const Entry& entry);
  void forget(const std::string& key);
  Task<Outcome<ResolvedTag>> revalidate(Asker asker, std::string tag, std::string key, std::optional<Entry> known);
  Task<Outcome<ResolvedTag>> ask_upstream(Asker asker, std::string tag);
  std::chrono::milliseconds wall_now() const;

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
