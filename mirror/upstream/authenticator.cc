#include "mirror/upstream/authenticator.h"

#include "core/encoding.h"
#include "core/log.h"
#include "mirror/upstream/curl_core.h"
#include "mirror/upstream/http_values.h"

namespace oxbow::mirror::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMaxTokenAnswerBytes = 64 * 1024;
// A token fetch serves everybody who waits for it, so its time is its own and not its first asker's.
constexpr seconds kTokenTimeout{15};

constexpr std::string_view kBearer = "Bearer ";

std::string basic(const Credential& credential) {
  return "Basic " + base64_encode(credential.username + ":" + credential.password);
}

std::string scope_of(const std::string& repository) {
  return repository.empty() ? std::string() : "repository:" + repository + ":pull";
}

std::string fields(std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
  std::string text;
  for (const auto& [name, value] : pairs) {
    if (value.empty()) continue;
    if (!text.empty()) text += '&';
    text.append(name).append("=").append(percent_encode(value));
  }
  return text;
}

Outgoing token_get(const std::string& realm, const std::string& service, const std::string& scope,
                   const std::optional<Credential>& credential) {
  Outgoing outgoing;
  const auto query = fields({{"service", service}, {"scope", scope}});
  outgoing.url = realm.substr(0, realm.find('#'));
  if (!query.empty()) outgoing.url += (realm.contains('?') ? "&" : "?") + query;
  outgoing.allow_http2 = true;
  if (credential && !credential->username.empty()) outgoing.headers.add("Authorization", basic(*credential));
  return outgoing;
}

/// Secrets in a form are not sent after a redirect.
Outgoing token_post(const std::string& realm, std::string form) {
  Outgoing outgoing;
  outgoing.url = realm.substr(0, realm.find('#'));
  outgoing.method = http::Method::kPost;
  outgoing.form = std::move(form);
  outgoing.follow_redirects = false;
  outgoing.allow_http2 = true;
  return outgoing;
}

/// Statuses with which token services refuse a way of asking rather than the asker (containerd falls back on the same).
bool try_another_way(int status) noexcept { return status == 400 || status == 401 || status == 404 || status == 405; }

}  // namespace

Authenticator::Authenticator(std::shared_ptr<Credentials> credentials, Transport transport, Clock& clock,
                             std::string registry, prometheus::Family<Counter>& tokens)
    : credentials_(std::move(credentials)),
      transport_(std::move(transport)),
      clock_(clock),
      registry_(std::move(registry)),
      tokens_requested_(tokens) {}

std::string Authenticator::way_key(const Ask& ask) {
  return (ask.kind == IdentityKind::kNode ? "node " : "anonymous ") + ask.endpoint->url();
}

std::string Authenticator::token_key(const Ask& ask, const Way& way) {
  return (ask.kind == IdentityKind::kNode ? "node " + ask.endpoint->origin() : std::string("anonymous")) + '\n' +
         way.realm + '\n' + way.service + '\n' + ask.repository;
}

Task<Result<Authenticator::Authorization>> Authenticator::known(Ask ask) {
  std::optional<Way> way;
  {
    std::lock_guard lock(mutex_);
    if (const auto* found = ways_.find(way_key(ask))) way = *found;
  }
  if (!way) co_return std::nullopt;
  co_return co_await take(std::move(ask), std::move(*way));
}

Task<Result<Authenticator::Authorization>> Authenticator::answer(Ask ask,
                                                                 std::vector<registry_api::Challenge> challenges,
                                                                 Authorization rejected) {
  std::optional<Way> way;
  for (const auto& challenge : challenges) {
    if (challenge.scheme == "bearer" && challenge.find("realm")) {
      way = Way{.bearer = true,
                .realm = std::string(*challenge.find("realm")),
                .service = std::string(challenge.find("service").value_or(""))};
      break;
    }
    if (challenge.scheme == "basic" && ask.kind == IdentityKind::kNode && credentials_->any()) way = Way{};
  }
  if (!way) co_return std::nullopt;
  if (way->bearer) {
    if (auto plausible = check_realm(way->realm, ask.endpoint->secure()); !plausible) {
      co_return std::unexpected(std::move(plausible).error());
    }
  }
  if (rejected) {
    drop(token_key(ask, *way), *rejected);
    if (!way->bearer) credentials_->forget({.url = ask.endpoint->url(), .repository = ask.repository});
  }
  {
    std::lock_guard lock(mutex_);
    ways_.put(way_key(ask), *way);
  }
  auto found = co_await take(std::move(ask), std::move(*way));
  if (found && rejected && *found == rejected) co_return std::nullopt;
  co_return found;
}

Task<Result<Authenticator::Authorization>> Authenticator::take(Ask ask, Way way) {
  if (way.bearer) co_return co_await token(std::move(ask), std::move(way));
  co_return co_await credential_header(std::move(ask));
}

Task<Result<Authenticator::Authorization>> Authenticator::credential_header(Ask ask) {
  auto found = co_await credentials_->find({.url = ask.endpoint->url(), .repository = ask.repository}, ask.until);
  if (!found) co_return std::unexpected(std::move(found).error());
  const auto& credential = *found;
  if (!credential) co_return std::nullopt;
  if (!credential->registry_token.empty()) co_return std::string(kBearer) + credential->registry_token;
  if (credential->username.empty()) co_return std::nullopt;
  co_return basic(*credential);
}

void Authenticator::drop(const std::string& key, const std::string& authorization) {
  std::lock_guard lock(mutex_);
  const auto* held = tokens_.find(key);
  if (held != nullptr && std::string(kBearer) + held->token == authorization) tokens_.erase(key);
}

Task<Result<Authenticator::Authorization>> Authenticator::token(Ask ask, Way way) {
  const auto key = token_key(ask, way);
  std::shared_ptr<TokenFlight> flight;
  Authorization held;
  {
    std::lock_guard lock(mutex_);
    const auto now = clock_.steady();
    if (const auto* found = tokens_.find(key); found != nullptr && now < found->usable_until) {
      held = std::string(kBearer) + found->token;
      if (now < found->refresh_at) co_return held;
    }
    const auto running = flights_.find(key);
    flight = running != flights_.end() ? running->second : launch(ask, way, key);
  }
  if (held) co_return held;  // still good; its successor is on the way
  auto landed = co_await flight->wait(ask.until);
  co_return landed ? std::move(*landed) : fail(Errc::kTimeout, "no answer in time");
}

std::shared_ptr<Authenticator::TokenFlight> Authenticator::launch(const Ask& ask, const Way& way,
                                                                  const std::string& key) {
  auto flight = std::make_shared<TokenFlight>();
  flights_.emplace(key, flight);
  asio::co_spawn(ask.core->loop(), fetch_into(ask, way, key, flight), asio::detached);
  return flight;
}

Task<> Authenticator::fetch_into(Ask ask, Way way, std::string key, std::shared_ptr<TokenFlight> flight) {
  // Also when the loop ends in the middle of it: whoever asks next starts a new one, whoever waits is told.
  struct Landing {
    std::shared_ptr<Authenticator> self;
    const std::string& key;
    std::shared_ptr<TokenFlight> flight;
    Result<Authorization> result = fail(Errc::kCancelled, "given up");
    ~Landing() {
      {
        std::lock_guard lock(self->mutex_);
        self->flights_.erase(key);
      }
      flight->finish(std::move(result));
    }
  };
  Landing landing{shared_from_this(), key, std::move(flight)};
  // co_spawn begins inside `launch`, under the lock that the landing takes.
  co_await asio::post(ask.core->loop(), asio::use_awaitable);
  ask.until = std::chrono::steady_clock::now() + kTokenTimeout;
  landing.result = co_await fetch(std::move(ask), std::move(way), key);
}

Task<Result<Authenticator::Authorization>> Authenticator::fetch(Ask ask, Way way, std::string key) {
  std::optional<Credential> credential;
  const CredentialQuery query{.url = ask.endpoint->url(), .repository = ask.repository};
  if (ask.kind == IdentityKind::kNode && credentials_->any()) {
    auto found = co_await credentials_->find(query, ask.until);
    if (!found) co_return std::unexpected(std::move(found).error());
    credential = std::move(*found);
  }
  if (credential && !credential->registry_token.empty()) co_return std::string(kBearer) + credential->registry_token;

  auto endpoint = ask.endpoint;
  const auto realm = way.realm;
  auto answer = co_await request_token(std::move(ask), std::move(way), credential);
  if (!answer) co_return std::unexpected(std::move(answer).error());
  if (answer->status == 429) {
    const auto after = answer->headers.find("Retry-After");
    endpoint->throttle(after ? parse_retry_after(*after, clock_.wall()) : std::nullopt);
    co_return fail(Errc::kThrottled, "the token service answers 429");
  }
  if (answer->status >= 400 && answer->status < 500) {
    log::debug("token refused", {{"registry", registry_}, {"realm", realm}, {"status", answer->status}});
    if (credential) credentials_->forget(query);
    co_return std::nullopt;
  }
  if (answer->status != 200) {
    co_return fail(Errc::kUnavailable, fmt::format("the token service answers {}", answer->status));
  }
  auto token = parse_token(answer->body);
  if (!token) co_return std::unexpected(std::move(token).error());
  // Leave a tenth for the way and for clocks that differ; renew in the background from four fifths on.
  const auto now = clock_.steady();
  const auto life = std::chrono::duration_cast<milliseconds>(token->lifetime);
  auto header = std::string(kBearer) + token->value;
  std::lock_guard lock(mutex_);
  tokens_.put(key, {std::move(token->value), now + life * 8 / 10, now + life * 9 / 10});
  co_return header;
}

Task<Result<SmallAnswer>> Authenticator::request(const Ask& ask, Outgoing outgoing) {
  auto answer = co_await fetch_small(ask.core, transport_, std::move(outgoing), kMaxTokenAnswerBytes, ask.until);
  tokens_requested_
      .Add({{"registry", registry_}, {"code", answer ? fmt::to_string(answer->status) : std::string("error")}})
      .Increment();
  co_return answer;
}

Task<Result<SmallAnswer>> Authenticator::request_token(Ask ask, Way way, std::optional<Credential> credential) {
  const auto scope = scope_of(ask.repository);
  if (credential && !credential->identity_token.empty()) {
    const auto form = fields({{"grant_type", "refresh_token"},
                              {"service", way.service},
                              {"scope", scope},
                              {"client_id", "oxbow"},
                              {"refresh_token", credential->identity_token}});
    auto answer = co_await request(ask, token_post(way.realm, form));
    if (!answer || !try_another_way(answer->status) || credential->username.empty()) co_return answer;
    if (credential->password.empty()) credential->password = credential->identity_token;
  }
  auto answer = co_await request(ask, token_get(way.realm, way.service, scope, credential));
  const bool has_password = credential && !credential->username.empty() && !credential->password.empty();
  if (!answer || (answer->status != 404 && answer->status != 405) || !has_password) co_return answer;
  const auto form = fields({{"grant_type", "password"},
                            {"service", way.service},
                            {"scope", scope},
                            {"client_id", "oxbow"},
                            {"username", credential->username},
                            {"password", credential->password}});
  co_return co_await request(ask, token_post(way.realm, form));
}

}  // namespace oxbow::mirror::upstream
