#include "mirror/grants.h"

#include <nlohmann/json.hpp>

#include "core/digest.h"
#include "core/encoding.h"

namespace oxbow::mirror {
namespace {

constexpr std::size_t kMaxPassing = 65'536;

std::string lasting_key(const RepositoryKey& repository, upstream::IdentityKind kind) {
  return (kind == upstream::IdentityKind::kNode ? "n " : "a ") + repository.text();
}

std::string passing_key(const RepositoryKey& repository, const upstream::Identity& identity) {
  return identity_key(identity) + ' ' + repository.text();
}

}  // namespace

std::string identity_key(const upstream::Identity& identity) {
  auto key = std::to_string(static_cast<int>(identity.kind));
  if (!identity.authorization.empty()) key += Digest::sha256(identity.authorization).hex();
  return key;
}

Grants::Grants(storage::Store& store, const Clock& clock, MetricsRegistry& metrics)
    : store_(store), clock_(clock), full_(limit_counter(metrics, "access.grants")) {}

void Grants::load() {
  const std::lock_guard lock(mutex_);
  store_.table_scan(storage::Table::kGrants, "", [&](std::string_view key, std::string_view) {
    lasting_.emplace(key);
    return true;
  });
}

bool Grants::has(const RepositoryKey& repository, const upstream::Identity& identity) const {
  const std::lock_guard lock(mutex_);
  // What everybody may read, a caller with a credential may read too.
  if (lasting_.contains(lasting_key(repository, upstream::IdentityKind::kAnonymous))) return true;
  if (identity.kind != upstream::IdentityKind::kClient)
    return lasting_.contains(lasting_key(repository, identity.kind));
  const auto grant = passing_.find(passing_key(repository, identity));
  return grant != passing_.end() && clock_.steady() < grant->second;
}

void Grants::add(const RepositoryKey& repository, const upstream::Identity& identity, std::chrono::milliseconds ttl) {
  const std::lock_guard lock(mutex_);
  if (identity.kind != upstream::IdentityKind::kClient) {
    auto key = lasting_key(repository, identity.kind);
    if (lasting_.insert(key).second) store_.table_put(storage::Table::kGrants, std::move(key), "1");
    return;
  }
  const auto now = clock_.steady();
  if (const auto lifetime = bearer_lifetime(identity.authorization, clock_.wall())) ttl = std::min(ttl, *lifetime);
  expire_some(now);
  passing_[passing_key(repository, identity)] = now + ttl;
}

void Grants::revoke(const RepositoryKey& repository, const upstream::Identity& identity) {
  const std::lock_guard lock(mutex_);
  if (identity.kind == upstream::IdentityKind::kClient) {
    passing_.erase(passing_key(repository, identity));
    return;
  }
  auto key = lasting_key(repository, identity.kind);
  if (lasting_.erase(key) > 0) store_.table_erase(storage::Table::kGrants, std::move(key));
}

void Grants::expire_some(Clock::Steady now) {
  if (passing_.size() < kMaxPassing) return;
  std::erase_if(passing_, [&](const auto& grant) { return grant.second <= now; });
  if (passing_.size() < kMaxPassing) return;
  // Full of live grants: forgetting them costs each caller one question to upstream.
  full_.Increment();
  passing_.clear();
}

std::optional<std::chrono::milliseconds> bearer_lifetime(std::string_view authorization, Clock::Wall now) {
  if (authorization.size() < 7 || !iequals(authorization.substr(0, 7), "bearer ")) return std::nullopt;
  const auto token = authorization.substr(7);
  const auto first = token.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const auto second = token.find('.', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto payload = base64_decode(token.substr(first + 1, second - first - 1));
  if (!payload) return std::nullopt;
  const auto json = nlohmann::json::parse(*payload, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto exp = json.find("exp");
  if (exp == json.end() || !exp->is_number_integer()) return std::nullopt;
  // Anybody can write any number here: compared before it is subtracted from.
  constexpr std::int64_t kMost = 86'400;
  const auto since = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  return std::chrono::seconds(std::clamp(exp->get<std::int64_t>(), since, since + kMost) - since);
}

}  // namespace oxbow::mirror
