#include "mirror/tags.h"

#include <charconv>

#include "core/log.h"

namespace oxbow::mirror {
namespace {

/// An owner's answer of this age was asked for us, whatever the TTL.
constexpr std::chrono::milliseconds kJustAsked{500};

std::string tag_key(const RepositoryKey& repository, const std::string& tag) { return repository.text() + ' ' + tag; }

}  // namespace

Tags::Tags(storage::Store& store, Access& access, SmallContents& contents, const Clock& clock, MetricsRegistry& metrics)
    : store_(store),
      access_(access),
      contents_(contents),
      clock_(clock),
      stale_served_(
          counter_family(metrics, "oxbow_tags_stale_served_total", "Tags answered from memory while upstream failed")
              .Add({})) {}

std::chrono::milliseconds Tags::wall_now() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall().time_since_epoch());
}

/// The clock may have been set back since: then nobody knows.
std::optional<std::chrono::milliseconds> Tags::age_of(const Entry& entry) const {
  const auto age = wall_now() - entry.validated;
  return age.count() < 0 ? std::nullopt : std::optional(age);
}

Task<Outcome<ResolvedTag>> Tags::resolve(Asker asker, std::string tag, Ask ask) {
  const auto key = tag_key(asker.repository, tag);
  const auto known = co_await recall(key);
  const auto age = known ? age_of(*known) : std::nullopt;
  if (age && access_.granted(asker) && *age < asker.registry->config.tag_ttl) {
    co_return ResolvedTag{known->digest, false};
  }
  // Apart from the others: what waits for an owner must not be what the owner, on another view of the ring, waits for.
  const bool owner = ask == Ask::kAnybody && via_owner(asker, tag);
  auto resolved = co_await questions_.run(
      key + ' ' + identity_key(asker.identity) + (owner ? " owner" : ""),
      [this, asker, tag, key, known, owner] { return revalidate(asker, tag, key, known, owner); });
  if (resolved || ask == Ask::kUpstream) co_return resolved;
  co_return co_await ask_peers(std::move(asker), std::move(tag), std::move(resolved.error()));
}

Task<std::optional<Tags::Seen>> Tags::last_seen(RepositoryKey repository, std::string tag) {
  const auto known = co_await recall(tag_key(repository, tag));
  const auto age = known ? age_of(*known) : std::nullopt;
  if (!age) co_return std::nullopt;
  co_return Seen{known->digest, *age};
}

/// A client with a credential of its own asks by itself, unless upstream serves the repository to everybody: the owner
/// has no use for what it must not be given.
bool Tags::via_owner(const Asker& asker, const std::string& tag) {
  return asker.registry->config.tags_via == config::TagsVia::kOwner && access_.peers() != nullptr &&
         (asker.identity.kind != upstream::IdentityKind::kClient || access_.open_here(asker)) &&
         !access_.peers()->owns(asker.repository, tag);
}

Task<std::optional<ResolvedTag>> Tags::ask_owner(Asker asker, std::string tag, std::string key) {
  const auto facts = co_await access_.peers()->ask_owner(asker.repository, tag);
  if (!facts || facts->age > std::max<std::chrono::milliseconds>(asker.registry->config.tag_ttl, kJustAsked)) {
    co_return std::nullopt;
  }
  keep(key, {facts->digest, wall_now() - facts->age});
  co_return ResolvedTag{facts->digest, false};
}

Task<Outcome<ResolvedTag>> Tags::ask_peers(Asker asker, std::string tag, Failure failure) {
  if (access_.peers() == nullptr || !upstream_fails(failure.error.code()))
    co_return std::unexpected(std::move(failure));
  auto reports = co_await access_.peers()->known(asker.repository, tag);
  std::erase_if(reports, [&](const PeerKnowledge::Report& report) {
    return report.facts.age >= asker.registry->config.stale_if_error ||
           !(access_.open_here(asker) || opens(report.facts, asker.identity.kind));
  });
  if (reports.empty()) co_return std::unexpected(std::move(failure));
  const auto newest = std::ranges::min(reports, {}, [](const auto& report) { return report.facts.age; }).facts;
  Outage outage{std::move(failure)};
  for (const auto& [peer, facts] : reports) {
    if (facts.digest == newest.digest) outage.holders.push_back(peer);
  }
  stale_served_.Increment();
  log::warn("upstream does not answer for a tag; serving what peers last saw", {{"repository", asker.repository.text()},
                                                                                {"tag", tag},
                                                                                {"digest", newest.digest.to_string()},
                                                                                {"age_ms", newest.age.count()},
                                                                                log::Field(outage.failure.error)});
  co_return ResolvedTag{newest.digest, true, {}, std::move(outage)};
}

Task<Outcome<ResolvedTag>> Tags::revalidate(Asker asker, std::string tag, std::string key, std::optional<Entry> known,
                                            bool via_owner) {
  if (via_owner) {
    if (auto told = co_await ask_owner(asker, tag, key)) co_return std::move(*told);
  }
  auto resolved = co_await ask_upstream(asker, tag);
  if (resolved) {
    co_await access_.memory().remember(resolved->digest, asker.repository, std::nullopt);
    keep(key, {resolved->digest, wall_now()});
    co_return resolved;
  }
  const auto code = resolved.error().error.code();
  if (code == Errc::kNotFound) forget(key);
  // Of unknown age it is still better than nothing.
  const bool fresh_enough =
      known && age_of(*known).value_or(std::chrono::milliseconds(0)) < asker.registry->config.stale_if_error;
  if (fresh_enough && upstream_fails(code) && access_.granted(asker)) {
    stale_served_.Increment();
    log::warn("upstream does not answer for a tag; serving what it was", {{"repository", asker.repository.text()},
                                                                          {"tag", tag},
                                                                          {"digest", known->digest.to_string()},
                                                                          log::Field(resolved.error().error)});
    co_return ResolvedTag{known->digest, true};
  }
  co_return std::unexpected(std::move(resolved.error()));
}

Task<Outcome<ResolvedTag>> Tags::ask_upstream(Asker asker, std::string tag) {
  const auto path = "/v2/" + asker.repository.repository + "/manifests/" + tag;
  auto head = co_await access_.ask(asker, {http::Method::kHead, path, {}, std::string(manifest_accept())});
  if (head) {
    if (const auto header = head->head.headers.find("Docker-Content-Digest")) {
      if (const auto digest = Digest::parse(*header))
        co_return ResolvedTag{*digest, false, warnings_of(head->head.headers)};
    }
  } else if (head.error().error.code() != Errc::kUnsupported) {
    co_return std::unexpected(std::move(head.error()));
  }
  // No digest in the answer, or no HEAD: the manifest itself has to say it.
  auto whole = co_await access_.ask(asker, {http::Method::kGet, path, {}, std::string(manifest_accept())});
  if (!whole) co_return std::unexpected(std::move(whole.error()));
  const auto digest = Digest::sha256(whole->body);
  auto taken = co_await contents_.take(asker, digest, Access::Kind::kManifest, std::move(*whole));
  if (!taken) co_return std::unexpected(std::move(taken.error()));
  co_return ResolvedTag{digest, false, std::move(taken->warnings)};
}

// Value: `digest validated_ms`.
Task<std::optional<Tags::Entry>> Tags::recall(std::string key) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = recent_.find(key); known != recent_.end()) co_return known->second;
  }
  const auto stored = co_await await_callback<std::optional<std::string>>(
      [this, &key](auto done) { store_.table_get(storage::Table::kTags, key, std::move(done)); });
  if (!stored) co_return std::nullopt;
  const auto blank = stored->find(' ');
  if (blank == std::string::npos) co_return std::nullopt;
  const auto digest = Digest::parse(std::string_view(*stored).substr(0, blank));
  std::int64_t validated_ms = 0;
  std::from_chars(stored->data() + blank + 1, stored->data() + stored->size(), validated_ms);
  if (!digest) co_return std::nullopt;
  const Entry entry{*digest, std::chrono::milliseconds(validated_ms)};
  const std::lock_guard lock(mutex_);
  if (recent_.size() >= kMaxCached) recent_.clear();
  recent_.emplace(key, entry);
  co_return entry;
}

void Tags::keep(const std::string& key, const Entry& entry) {
  store_.table_put(storage::Table::kTags, key,
                   entry.digest.to_string() + ' ' + std::to_string(entry.validated.count()));
  const std::lock_guard lock(mutex_);
  if (recent_.size() >= kMaxCached) recent_.clear();
  recent_.insert_or_assign(key, entry);
}

void Tags::forget(const std::string& key) {
  store_.table_erase(storage::Table::kTags, key);
  const std::lock_guard lock(mutex_);
  recent_.erase(key);
}

}  // namespace oxbow::mirror
