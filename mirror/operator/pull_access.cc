#include "mirror/operator/pull_access.h"

#include <cstdlib>
#include <utility>

#include "core/encoding.h"
#include "mirror/upstream/credential_files.h"
#include "mirror/upstream/token.h"
#include "mirror/upstream/url.h"

namespace oxbow::mirror {
namespace {

constexpr std::string_view kBearer = "Bearer ";

std::string basic_of(const upstream::Credential& credential) {
  return "Basic " + base64_encode(credential.username + ':' + credential.password);
}

void add_field(std::string& text, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  if (!text.empty()) text += '&';
  text.append(name).append("=").append(percent_encode(value));
}

}  // namespace

Result<bool> PullAccess::answer(const std::vector<registry_api::Challenge>& challenges, const std::string& refused) {
  if (refused != authorization_) return true;  // there is a newer one
  if (!refused.empty() && !std::exchange(worked_, false)) return false;
  for (const auto& challenge : challenges) {
    if (challenge.scheme == "bearer" && challenge.find("realm")) return bearer(challenge);
    if (challenge.scheme == "basic" && has_credential()) return basic();
  }
  return false;
}

Result<bool> PullAccess::basic() {
  const auto& credential = *options_.credential;
  if (credential.username.empty()) return false;
  if (!options_.mirror.private_way) {
    return fail(Errc::kDenied, "a password would go to " + options_.mirror.url +
                                   " in clear: let client.listen name a loopback address, or set client.tls");
  }
  auto value = basic_of(credential);
  if (value == authorization_) return false;  // it has been refused
  authorization_ = std::move(value);
  return true;
}

Result<bool> PullAccess::bearer(const registry_api::Challenge& challenge) {
  const std::string realm(*challenge.find("realm"));
  const std::string service(challenge.find("service").value_or(""));
  if (auto good = upstream::check_realm(realm, options_.registry_is_https); !good)
    return std::unexpected(std::move(good.error()));
  if (has_credential() && !options_.mirror.private_way) {
    return fail(Errc::kDenied, "a token would go to " + options_.mirror.url +
                                   " in clear: let client.listen name a loopback address, or set client.tls");
  }
  if (has_credential() && !options_.credential->registry_token.empty()) {
    auto value = std::string(kBearer) + options_.credential->registry_token;
    if (value == authorization_) return false;
    authorization_ = std::move(value);
    return true;
  }
  const auto where = upstream::split_url(realm);
  if (has_credential() && where->scheme == "http" && !is_loopback_host(where->host)) {
    return fail(Errc::kDenied, "the token service is asked in clear over the network: " + where->origin());
  }
  const bool by_form = has_credential() && !options_.credential->identity_token.empty();
  auto reply = ask(realm, service, by_form);
  if (!reply) return std::unexpected(std::move(reply.error()).in("token service " + where->origin()));
  if (reply->head.status >= 400 && reply->head.status < 500) return false;
  if (reply->head.status != 200) {
    return fail(Errc::kUnavailable,
                "token service " + where->origin() + " answers " + std::to_string(reply->head.status));
  }
  const auto token = upstream::parse_token(reply->body);
  if (!token) return std::unexpected(token.error());
  auto value = std::string(kBearer) + token->value;
  if (value == authorization_) return false;
  authorization_ = std::move(value);
  return true;
}

Result<HttpRunner::Whole> PullAccess::ask(const std::string& realm, const std::string& service, bool by_form) {
  HttpAsk ask;
  ask.direct = false;
  ask.url = realm.substr(0, realm.find('#'));
  std::string fields;
  add_field(fields, "service", service);
  add_field(fields, "scope", "repository:" + options_.repository + ":pull");
  if (!by_form) {
    ask.url += (ask.url.contains('?') ? "&" : "?") + fields;
    if (has_credential() && !options_.credential->username.empty())
      ask.headers.add("Authorization", basic_of(*options_.credential));
    return http_.whole(std::move(ask));
  }
  add_field(fields, "client_id", "oxbow");
  add_field(fields, "grant_type", "refresh_token");
  add_field(fields, "refresh_token", options_.credential->identity_token);
  ask.form = std::move(fields);
  return http_.whole(std::move(ask));
}

Result<std::optional<upstream::Credential>> callers_credential(const std::string& registry,
                                                               const std::string& repository) {
  std::string path;
  if (const char* folder = std::getenv("DOCKER_CONFIG"); folder != nullptr && *folder != '\0') {
    path = std::string(folder) + "/config.json";
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    path = std::string(home) + "/.docker/config.json";
  }
  if (path.empty()) return std::nullopt;
  auto found = upstream::from_docker_config({path}, {"https://" + registry, repository});
  if (!found) return std::unexpected(std::move(found.error()));
  return std::move(found->credential);
}

}  // namespace oxbow::mirror
