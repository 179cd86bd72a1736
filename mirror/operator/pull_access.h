// What a pull shows the mirror when it is refused: answers a challenge with the caller's credential, or anonymously,
// the way containerd does (it contacts the token service itself). Credentials go to the local mirror and to the token
// service that its challenge names, never in clear over a network. Secrets are in no Error. Thread rule: one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mirror/operator/http_runner.h"
#include "mirror/operator/mirror_address.h"
#include "mirror/upstream/credentials.h"
#include "registry-api/challenge.h"

namespace oxbow::mirror {

class PullAccess {
 public:
  struct Options {
    MirrorAddress mirror;
    std::string repository;
    std::optional<upstream::Credential> credential;
    bool registry_is_https = true;  ///< then a token service in clear gets no secret and no question
  };
  PullAccess(Options options, HttpRunner& http) : options_(std::move(options)), http_(http) {}

  /// The `Authorization` to send; empty: none.
  const std::string& authorization() const noexcept { return authorization_; }
  /// After a 401 to `refused` (what was sent; empty: nothing): true when it is worth asking again with the new
  /// `authorization`. A token is renewed after it has been good, and not because it never was. Errors: kDenied (a
  /// credential would have to go in clear over a network; a realm that is none), kUnavailable, kCancelled.
  Result<bool> answer(const std::vector<registry_api::Challenge>& challenges, const std::string& refused);
  /// `accepted` was sent, and served.
  void worked(const std::string& accepted) {
    if (accepted == authorization_) worked_ = true;
  }

 private:
  Result<bool> basic();
  Result<bool> bearer(const registry_api::Challenge& challenge);
  /// By GET, with Basic where there is a password; `by_form`: an identity token, which only a form takes.
  Result<HttpRunner::Whole> ask(const std::string& realm, const std::string& service, bool by_form);
  bool has_credential() const { return options_.credential.has_value(); }

  const Options options_;
  HttpRunner& http_;
  std::string authorization_;
  bool worked_ = false;
};

/// The caller's own credential for a registry: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. No file:
/// none. Errors: as upstream::from_docker_config.
Result<std::optional<upstream::Credential>> callers_credential(const std::string& registry,
                                                               const std::string& repository);

}  // namespace oxbow::mirror
