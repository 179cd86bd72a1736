// Answers a registry's challenges with the anonymous or the node's own rights: Basic, or Bearer by the token flow.
// Keeps tokens by (realm, service, scope, kind of identity), fetches each once for all that want it, and renews it
// before it ends. A client's own Authorization never comes here. Thread rule: all methods from any thread; the work
// runs on the caller's loop.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "mirror/upstream/credentials.h"
#include "mirror/upstream/endpoint.h"
#include "mirror/upstream/exchange.h"
#include "mirror/upstream/small_fetch.h"
#include "mirror/upstream/token.h"
#include "mirror/upstream/upstream.h"
#include "registry-api/challenge.h"

namespace oxbow::mirror::upstream {

class Authenticator : public std::enable_shared_from_this<Authenticator> {
 public:
  /// `tokens` counts what token services answered, label `code`.
  Authenticator(std::shared_ptr<Credentials> credentials, Transport transport, Clock& clock, std::string registry,
                prometheus::Family<Counter>& tokens);

  struct Ask {
    std::shared_ptr<CurlLoop::Core> core;
    std::shared_ptr<Endpoint> endpoint;
    std::string repository;
    IdentityKind kind = IdentityKind::kAnonymous;
    SteadyTime until;
  };
  /// An `Authorization` value, or nothing to send.
  using Authorization = std::optional<std::string>;

  /// What this endpoint has wanted before, so that it need not ask again.
  Task<Result<Authorization>> known(Ask ask);
  /// The answer to a 401. `rejected` is what was sent and refused. Nothing: the 401 is final.
  /// Errors: kUnavailable, kTimeout, kThrottled (the endpoint is throttled then), kDenied (realm).
  Task<Result<Authorization>> answer(Ask ask, std::vector<registry_api::Challenge> challenges, Authorization rejected);

 private:
  struct Way {
    bool bearer = false;
    std::string realm;
    std::string service;
  };
  struct Held {
    std::string token;
    Clock::Steady refresh_at;
    Clock::Steady usable_until;
  };
  using TokenFlight = Flight<Result<Authorization>>;

  static std::string way_key(const Ask& ask);
  static std::string token_key(const Ask& ask, const Way& way);
  Task<Result<Authorization>> take(Ask ask, Way way);
  Task<Result<Authorization>> credential_header(Ask ask);
  Task<Result<Authorization>> token(Ask ask, Way way);
  std::shared_ptr<TokenFlight> launch(const Ask& ask, const Way& way, const std::string& key);
  Task<> fetch_into(Ask ask, Way way, std::string key, std::shared_ptr<TokenFlight> flight);
  Task<Result<Authorization>> fetch(Ask ask, Way way, std::string key);
  Task<Result<SmallAnswer>> request(const Ask& ask, Outgoing outgoing);
  Task<Result<SmallAnswer>> request_token(Ask ask, Way way, std::optional<Credential> credential);
  void drop(const std::string& key, const std::string& authorization);

  const std::shared_ptr<Credentials> credentials_;
  const Transport transport_;
  Clock& clock_;
  const std::string registry_;
  prometheus::Family<Counter>& tokens_requested_;
  std::mutex mutex_;
  LruMap<Way> ways_{256};
  LruMap<Held> tokens_{4096};
  std::unordered_map<std::string, std::shared_ptr<TokenFlight>> flights_;
};

}  // namespace oxbow::mirror::upstream
