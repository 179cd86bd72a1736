// The node's own credentials for a registry host, from wherever the operator keeps them.
// Thread rule: all methods from any thread. Files and programs are read on the WorkPool; answers are kept for a while,
// and one look-up a host runs at a time. Secrets are never logged and never part of an Error.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>

#include "core/clock.h"
#include "core/error.h"
#include "core/signal.h"
#include "core/task.h"
#include "mirror/upstream/config.h"
#include "mirror/upstream/lru_map.h"

namespace oxbow::mirror::upstream {

struct Credential {
  std::string username;
  std::string password;
  std::string identity_token;  ///< a refresh token for the token service
  std::string registry_token;  ///< goes to the registry as it is: `Bearer <registry_token>`
  bool operator==(const Credential&) const = default;
};

/// What the credential is for: the registry's URL, and the repository for providers that match by image.
struct CredentialQuery {
  std::string url;
  std::string repository;
};

/// What a look-up found, and for how long it holds. No credential is an answer too.
struct CredentialAnswer {
  std::optional<Credential> credential;
  std::chrono::milliseconds valid_for{0};
  /// The part of the query that it depends on: other queries with the same one share the answer.
  enum class Scope { kHost, kRepository } scope = Scope::kHost;
};

class Credentials : public std::enable_shared_from_this<Credentials> {
 public:
  Credentials(CredentialSource source, Clock& clock, WorkPool& pool);

  bool any() const noexcept { return !std::holds_alternative<std::monostate>(source_); }
  /// Errors: kUnavailable (a program failed or was too slow), kInvalid (a file that is not what it should be),
  /// kNotFound.
  Task<Result<std::optional<Credential>>> find(CredentialQuery query, SteadyTime until);
  /// The registry refused it: ask the source again next time.
  void forget(const CredentialQuery& query);

 private:
  using Found = std::optional<Credential>;
  struct Entry {
    Found credential;
    Clock::Steady until;
  };
  std::optional<Found> cached(const CredentialQuery& query);
  Task<> look_up(CredentialQuery query, std::shared_ptr<Flight<Result<Found>>> flight);

  const CredentialSource source_;
  Clock& clock_;
  WorkPool& pool_;
  std::mutex mutex_;
  LruMap<Entry> answers_{1024};
  std::unordered_map<std::string, std::shared_ptr<Flight<Result<Found>>>> flights_;
};

/// The blocking look-up itself: files are read and programs run here.
Result<CredentialAnswer> read_credential(const CredentialSource& source, const CredentialQuery& query);

}  // namespace oxbow::mirror::upstream
