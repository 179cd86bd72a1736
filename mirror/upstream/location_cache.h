// Where a registry's redirects led, until the signed URLs expire: later ranges of a blob go there at once.
// A location is a capability, so the key holds whose rights it was given for. Thread rule: all methods from any thread.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "core/clock.h"
#include "mirror/upstream/lru_map.h"

namespace oxbow::mirror::upstream {

class LocationCache {
 public:
  explicit LocationCache(Clock& clock) : clock_(clock) {}

  std::optional<std::string> find(const std::string& key);
  void remember(const std::string& key, std::string url);
  void forget(const std::string& key);

 private:
  struct Location {
    std::string url;
    Clock::Steady until;
  };
  static constexpr std::size_t kMaxLocations = 4096;

  Clock& clock_;
  std::mutex mutex_;
  LruMap<Location> locations_{kMaxLocations};
};

}  // namespace oxbow::mirror::upstream
