// Which upstream registry a request means: `?ns=`; else a path component that names a configured
// registry; else, asked by the caller, digest memory; else the default. A name that means no configured registry gets
// nothing, never another registry's content.
// Thread rule: immutable after construction; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace oxbow::registry_api {

/// A configured registry as this look-up sees it; its index in the list given is what comes back.
struct RegistryName {
  std::string name;  ///< host, or host:port
  std::vector<std::string> aliases;
};

struct RegistryChoice {
  enum class How {
    kNamespace,    ///< `ns` said so
    kPath,         ///< a path component said so; it is no longer in `repository`
    kDefault,      ///< only from `default_choice`
    kUnspecified,  ///< the request names none: ask digest memory, then `default_choice`
    kUnknown,      ///< the request names one that we do not mirror: 404
  };
  How how = How::kUnknown;
  std::optional<std::size_t> registry;  ///< index of the configured registry
  std::string host;                     ///< instead, when any registry is allowed: a plausible host[:port], unresolved
  std::string repository;               ///< as upstream knows it: `library/alpine`
};

class RegistryNames {
 public:
  /// `default_registry` may be empty. A registry with one of Docker Hub's names answers to all of them. Of two
  /// registries with the same name the first holds it.
  RegistryNames(const std::vector<RegistryName>& registries, std::string_view default_registry, bool allow_any);

  /// `ns` decoded, `prefix` and `name` of the Route. The repository's grammar is not checked here.
  RegistryChoice choose(std::optional<std::string_view> ns, std::string_view prefix, std::string_view name) const;
  /// How kUnknown when there is no default.
  RegistryChoice default_choice(std::string_view name) const;

  /// Host names ignore case and `:443`.
  std::optional<std::size_t> find(std::string_view host) const;
  /// Prepends `library/` to Docker Hub's one-component names.
  std::string repository_at(std::size_t registry, std::string_view name) const;

 private:
  RegistryChoice by_namespace(std::string_view ns, std::string_view name) const;

  std::unordered_map<std::string, std::size_t> by_name_;
  std::optional<std::size_t> docker_hub_;
  std::optional<std::size_t> default_;
  bool allow_any_;
};

/// Could be the host of a registry: `host.tld`, `host:port`, `localhost`, `[v6]:port`. Says nothing about where it
/// resolves.
bool is_plausible_host(std::string_view text) noexcept;
/// `docker.io` and the other names that mean Docker Hub.
bool is_docker_hub(std::string_view host) noexcept;

}  // namespace oxbow::registry_api
