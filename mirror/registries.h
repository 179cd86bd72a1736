// The registries that this mirror talks to: configuration, upstream client and filter of each, and the look-up that
// finds the one a request means. An immutable snapshot; a reload makes a new one. Thread rule: immutable but for
// dynamic registries, which have a lock. Lifetime: requests hold their registry.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/config.h"
#include "mirror/grants.h"
#include "mirror/upstream/curl_loop.h"
#include "mirror/upstream/upstream.h"
#include "registry-api/filters.h"
#include "registry-api/namespace_choice.h"

namespace oxbow::mirror {

struct MirroredRegistry {
  config::Registry config;
  registry_api::RepositoryFilter filter;
  std::unique_ptr<upstream::Registry> upstream;
};

/// The curl loops, one an event loop.
class CurlLoops {
 public:
  explicit CurlLoops(Loops& loops);
  upstream::CurlLoop& at(Loop& loop);
  void close();

 private:
  std::vector<std::pair<Loop*, std::unique_ptr<upstream::CurlLoop>>> curls_;
};

class Registries {
 public:
  /// Errors: kInvalid for a bad upstream URL, with the registry's name.
  static Result<std::shared_ptr<Registries>> create(const config::Config& config, upstream::Services services);

  /// The registry of a request, and the repository at it. Null: none, answer 404.
  struct Found {
    std::shared_ptr<MirroredRegistry> registry;
    std::string repository;
    bool unspecified = false;  ///< the request names no registry: digest memory may know, else `by_default`
  };
  Found find(std::optional<std::string_view> ns, std::string_view prefix, std::string_view name);
  Found by_default(std::string_view name);
  std::shared_ptr<MirroredRegistry> named(std::string_view registry) const;
  /// The configured ones in their order, then those that clients have named.
  std::vector<std::shared_ptr<MirroredRegistry>> all();
  std::string repository_at(const MirroredRegistry& registry, std::string_view name) const;

 private:
  Registries(const config::Config& config, upstream::Services services);
  Result<std::shared_ptr<MirroredRegistry>> make(const config::Registry& registry, bool configured) const;
  Found resolve(registry_api::RegistryChoice choice);

  static constexpr std::size_t kMaxDynamic = 64;

  upstream::Services services_;
  std::uint64_t upstream_bandwidth_;
  std::uint64_t preheat_bandwidth_;
  registry_api::RegistryNames names_;
  std::vector<std::shared_ptr<MirroredRegistry>> configured_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<MirroredRegistry>> dynamic_;  ///< with allow_any_registry
};

}  // namespace oxbow::mirror
