#include "mirror/small_content.h"

#include "core/log.h"
#include "mirror/verify_failures.h"
#include "registry-api/manifest.h"

namespace oxbow::mirror {

namespace {

/// A manifest that was first seen as a blob has no media type: upstream says it.
bool usable(const std::shared_ptr<const storage::SmallBody>& body, Access::Kind kind) {
  return body != nullptr && (kind == Access::Kind::kBlob || !body->media_type.empty());
}

/// What upstream has given or refused: nobody else is asked.
bool decided(const Outcome<SmallContent>& outcome) { return outcome || !upstream_fails(outcome.error().error.code()); }

}  // namespace

std::vector<std::string> warnings_of(const http::Headers& headers) {
  // distribution-spec, "Warnings": 4,096 bytes in all.
  constexpr std::size_t kMaxBytes = 4096;
  std::vector<std::string> warnings;
  std::size_t bytes = 0;
  for (const auto warning : headers.all("Warning")) {
    bytes += warning.size();
    if (bytes > kMaxBytes) break;
    warnings.emplace_back(warning);
  }
  return warnings;
}

SmallContents::SmallContents(storage::Store& store, Access& access, MetricsRegistry& metrics)
    : store_(store),
      access_(access),
      corrupt_(verify_failures(metrics).Add({{"source", "upstream"}})),
      late_(limit_counter(metrics, "answer_time")) {}

Task<std::shared_ptr<const storage::SmallBody>> SmallContents::stored(Digest digest) {
  if (auto body = store_.small(digest)) co_return body;
  co_return co_await await_callback<std::shared_ptr<const storage::SmallBody>>(
      [this, digest](auto done) { store_.read_small(digest, std::move(done)); });
}

Task<Outcome<SmallContent>> SmallContents::give(Asker asker, Digest digest, Access::Kind kind,
                                                std::shared_ptr<const storage::SmallBody> body) {
  const auto admitted = co_await access_.admit(asker, digest, kind);
  if (!admitted) co_return std::unexpected(admitted.error());
  if (admitted->asked && kind == Access::Kind::kManifest) co_await remember_children(asker, body, admitted->media_type);
  co_return SmallContent{std::move(body), true};
}

Task<Outcome<SmallContent>> SmallContents::get(Asker asker, Digest digest, Access::Kind kind,
                                               std::optional<Outage> outage) {
  Patience patience;
  co_return co_await get(std::move(asker), digest, kind, std::move(outage), patience);
}

Task<Outcome<SmallContent>> SmallContents::get(Asker asker, Digest digest, Access::Kind kind,
                                               std::optional<Outage> outage, Patience& patience) {
  if (auto body = co_await stored(digest); usable(body, kind)) {
    if (outage) co_return SmallContent{std::move(body), true};
    co_return co_await give(std::move(asker), digest, kind, std::move(body));
  }
  const auto key = std::to_string(static_cast<int>(kind)) + ' ' + digest.to_string() + ' ' + asker.repository.text() +
                   ' ' + identity_key(asker.identity);
  if (outage) {
    co_return co_await fetches_.run(key + " outage",
                                    [this, digest, kind, outage] { return take_from_peers(digest, kind, *outage); });
  }
  const auto run = co_await fetches_.start(key, [this, asker, digest, kind] { return fetch(asker, digest, kind); });
  auto outcome = co_await run->wait(patience.until);
  if (outcome && decided(*outcome)) co_return std::move(*outcome);
  const auto failure = outcome ? outcome->error() : Failure{Error(Errc::kTimeout, "upstream takes its time")};
  auto from_peers = co_await fetches_.run(
      key + " peers", [this, asker, digest, kind, failure] { return fetch_from_peers(asker, digest, kind, failure); });
  // It may have come meanwhile, and upstream's own word counts for more.
  auto result = run->result();
  if (result && decided(*result)) co_return std::move(*result);
  if (from_peers) co_return from_peers;
  if (result) co_return std::move(*result);
  late_.Increment();
  patience.late = run;
  co_return from_peers;
}

Task<Outcome<SmallContent>> SmallContents::fetch(Asker asker, Digest digest, Access::Kind kind) {
  // Another fetch may have ended between the look and this turn.
  if (auto body = store_.small(digest); usable(body, kind)) {
    co_return co_await give(std::move(asker), digest, kind, std::move(body));
  }
  Access::Question question{.path = content_path(asker, digest, kind), .may_be_late = true};
  if (kind == Access::Kind::kManifest) question.accept = std::string(manifest_accept());
  auto answer = co_await access_.ask(asker, std::move(question));
  // Too large to be taken whole: a manifest claimed less than there is.
  if (!answer && answer.error().error.code() == Errc::kLimit)
    co_await access_.memory().forget_size(digest, asker.repository);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return co_await take(asker, digest, kind, std::move(*answer));
}

Task<Outcome<SmallContent>> SmallContents::fetch_from_peers(Asker asker, Digest digest, Access::Kind kind,
                                                            Failure failure) {
  if (access_.peers() == nullptr || !upstream_fails(failure.error.code()))
    co_return std::unexpected(std::move(failure));
  const auto known = co_await access_.memory().membership(digest, asker.repository);
  if (known.belongs && access_.granted(asker)) co_return co_await take_from_peers(digest, kind, {std::move(failure)});
  auto admitted = co_await access_.admit_by_peers(asker, digest, kind, std::move(failure));
  if (!admitted) co_return std::unexpected(std::move(admitted.error()));
  co_return co_await take_from_peers(digest, kind, std::move(*admitted->outage));
}

Task<Outcome<SmallContent>> SmallContents::take_from_peers(Digest digest, Access::Kind kind, Outage outage) {
  auto found = co_await access_.peers()->small(digest, std::move(outage.holders));
  if (!found) co_return std::unexpected(std::move(outage.failure));
  auto body = std::make_shared<storage::SmallBody>(std::move(*found));
  if (kind == Access::Kind::kBlob) {
    body->media_type.clear();
  } else if (const auto manifest = registry_api::parse_manifest(body->bytes, body->media_type)) {
    // What the document says of itself is covered by its digest; what the peer says is not.
    body->media_type = manifest->media_type;
  }
  if (!usable(body, kind)) co_return std::unexpected(std::move(outage.failure));
  if (const auto kept = store_.put_small(digest, *body); !kept) {
    log::debug("small content is not kept", {{"digest", digest.to_string()}, log::Field(kept.error())});
  }
  co_return SmallContent{std::move(body), false, {}, true};
}

Task<Outcome<SmallContent>> SmallContents::take(Asker asker, Digest digest, Access::Kind kind,
                                                upstream::WholeResponse answer) {
  const auto actual = Digest::of(digest.algorithm(), std::as_bytes(std::span(answer.body)));
  if (actual != digest) {
    corrupt_.Increment();
    log::error("upstream gave wrong bytes",
               {{"digest", digest.to_string()}, {"got", actual.to_string()}, {"repository", asker.repository.text()}});
    co_return failed(Errc::kCorrupt, "upstream's bytes hash to " + actual.to_string());
  }
  auto body = std::make_shared<storage::SmallBody>();
  body->bytes = std::move(answer.body);
  if (kind == Access::Kind::kManifest) {
    // Clients compare it with the descriptor's: without parameters.
    const auto type = answer.head.headers.find("Content-Type").value_or("application/octet-stream");
    body->media_type = std::string(type.substr(0, type.find_first_of("; ")));
  }
  if (const auto kept = store_.put_small(digest, *body); !kept) {
    log::debug("small content is not kept", {{"digest", digest.to_string()}, log::Field(kept.error())});
  }
  co_await access_.memory().remember(digest, asker.repository, body->bytes.size());
  if (kind == Access::Kind::kManifest) co_await remember_children(asker, body, body->media_type);
  co_return SmallContent{std::move(body), false, warnings_of(answer.head.headers)};
}

Task<> SmallContents::remember_children(Asker asker, std::shared_ptr<const storage::SmallBody> body,
                                        std::string media_type) {
  const auto manifest = registry_api::parse_manifest(body->bytes, media_type);
  if (!manifest) {
    log::debug("manifest names nothing that can be remembered", {log::Field(manifest.error())});
    co_return;
  }
  for (const auto* child : manifest->contained()) {
    co_await access_.memory().remember(child->digest, asker.repository, child->size);
  }
}

}  // namespace oxbow::mirror
