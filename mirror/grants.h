// Who may read which repository. A grant is made by a success at upstream and by nothing else.
// Anonymous grants and those of the node's own credential are lasting: they survive restarts and outages. A client's
// own credential is known by its hash alone and granted until it expires, at most `access_ttl`. Thread rule: all
// methods from any thread. Lifetime: the store outlives it.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "core/clock.h"
#include "core/metrics.h"
#include "mirror/upstream/upstream.h"
#include "storage/store.h"

namespace oxbow::mirror {

/// A repository at a registry. Both as upstream knows them.
struct RepositoryKey {
  std::string registry;
  std::string repository;
  /// `docker.io library/alpine`: neither half can hold a blank.
  std::string text() const { return registry + ' ' + repository; }
};

/// What tells identities apart in the key of a cache or a shared question. A credential is in it as its hash alone.
std::string identity_key(const upstream::Identity& identity);

class Grants {
 public:
  Grants(storage::Store& store, const Clock& clock, MetricsRegistry& metrics);

  /// Blocks: reads the lasting grants.
  void load();

  bool has(const RepositoryKey& repository, const upstream::Identity& identity) const;
  void add(const RepositoryKey& repository, const upstream::Identity& identity, std::chrono::milliseconds ttl);
  /// Upstream refused: the grant is over.
  void revoke(const RepositoryKey& repository, const upstream::Identity& identity);

 private:
  void expire_some(Clock::Steady now);

  storage::Store& store_;
  const Clock& clock_;
  Counter& full_;
  mutable std::mutex mutex_;
  std::unordered_set<std::string> lasting_;
  std::unordered_map<std::string, Clock::Steady> passing_;
};

/// The `exp` of a JWT in an `Authorization: Bearer` value, as time from now; nothing when there is none to read.
std::optional<std::chrono::milliseconds> bearer_lifetime(std::string_view authorization, Clock::Wall now);

}  // namespace oxbow::mirror
