#include "mirror/access.h"

#include "core/log.h"
#include "mirror/upstream_source.h"

namespace oxbow::mirror {

std::string_view manifest_accept() noexcept {
  return "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
         "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
         "application/vnd.oci.artifact.manifest.v1+json, "
         "application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.3, */*;q=0.1";
}

std::string content_path(const Asker& asker, const Digest& digest, Access::Kind kind) {
  return "/v2/" + asker.repository.repository + (kind == Access::Kind::kBlob ? "/blobs/" : "/manifests/") +
         digest.to_string();
}

Task<Outcome<upstream::WholeResponse>> Access::ask(Asker asker, Question question) {
  upstream::FetchRequest request;
  request.method = question.method;
  request.repository = asker.repository.repository;
  request.path = question.path;
  request.query = question.query;
  if (!question.accept.empty()) request.headers.add("Accept", question.accept);
  request.identity = asker.identity;
  request.head_timeout = kAnswerTimeout;
  if (question.may_be_late) request.late_timeout = asker.registry->config.no_progress_timeout;
  request.max_body_bytes = question.max_body_bytes;
  Loop* loop = co_await this_loop();
  auto answer = co_await asker.registry->upstream->get(curls_.at(*loop), std::move(request));
  if (!answer) {
    Failure failure{std::move(answer.error())};
    if (const auto wait = asker.registry->upstream->retry_after()) {
      failure.retry_after = std::chrono::ceil<std::chrono::seconds>(*wait);
    }
    co_return std::unexpected(std::move(failure));
  }
  const int status = answer->head.status;
  if (status >= 200 && status < 300) {
    grants_.add(asker.repository, asker.identity, asker.registry->config.access_ttl);
    co_return std::move(*answer);
  }
  auto failure = refusal(asker, answer->head, "request");
  // A store's address may be signed for GET alone (S3): to it HEAD is another request, which it refuses.
  if (question.method == http::Method::kHead && is_refusal_elsewhere(answer->head))
    failure.error = {Errc::kUnsupported, failure.error.what()};
  co_return std::unexpected(std::move(failure));
}

Failure Access::refusal(const Asker& asker, const upstream::Head& head, std::string_view what) {
  Failure failure{answer_error(head, what)};
  if (!is_refusal(head)) return failure;
  refused(asker);
  for (const auto challenge : head.headers.all("WWW-Authenticate")) failure.challenges.emplace_back(challenge);
  return failure;
}

Task<Outcome<Access::Admitted>> Access::admit(Asker asker, Digest digest, Kind kind) {
  const auto known = co_await memory_.membership(digest, asker.repository);
  if (known.belongs && granted(asker)) co_return Admitted{known.size, false};
  co_return co_await admit_anew(std::move(asker), digest, kind);
}

bool Access::open_here(const Asker& asker) const {
  const bool node = asker.identity.kind == upstream::IdentityKind::kNode;
  return grants_.has(asker.repository, node ? asker.identity : upstream::Identity{});
}

Task<Outcome<Access::Admitted>> Access::admit_anew(Asker asker, Digest digest, Kind kind) {
  auto admitted = co_await admit_by_upstream(asker, digest, kind);
  if (admitted) co_return admitted;
  co_return co_await admit_by_peers(std::move(asker), digest, kind, std::move(admitted.error()));
}

Task<Outcome<Access::Admitted>> Access::admit_by_peers(Asker asker, Digest digest, Kind kind, Failure failure) {
  if (peers_ == nullptr || !upstream_fails(failure.error.code())) co_return std::unexpected(std::move(failure));
  const auto reports = co_await peers_->known(asker.repository, digest.to_string());
  Admitted admitted;
  Outage outage{std::move(failure)};
  for (const auto& [peer, facts] : reports) {
    if (!open_here(asker) && !opens(facts, asker.identity.kind)) continue;
    outage.holders.push_back(peer);
    if (!admitted.size) admitted.size = facts.size;
  }
  if (outage.holders.empty() || (kind == Kind::kBlob && !admitted.size)) {
    co_return std::unexpected(std::move(outage.failure));
  }
  log::info("upstream does not answer; peers know the content", {{"repository", asker.repository.text()},
                                                                 {"digest", digest.to_string()},
                                                                 {"peers", outage.holders.size()},
                                                                 log::Field(outage.failure.error)});
  admitted.outage = std::move(outage);
  co_return admitted;
}

Task<Outcome<Access::Admitted>> Access::admit_by_upstream(Asker asker, Digest digest, Kind kind) {
  // Without Accept, registries say 404 for a manifest whose type their oldest clients would not know.
  const auto accept = kind == Kind::kManifest ? std::string(manifest_accept()) : std::string();
  const auto path = content_path(asker, digest, kind);
  auto head = co_await ask(asker, {http::Method::kHead, path, {}, accept});
  if (!head && head.error().error.code() == Errc::kUnsupported) {
    // HEAD is not offered here; GET decides.
    if (kind == Kind::kBlob) co_return co_await probe(asker, digest);
    head = co_await ask(asker, {http::Method::kGet, path, {}, accept});
  }
  if (!head) co_return std::unexpected(std::move(head.error()));
  const auto size = head->head.content_length;
  if (kind == Kind::kBlob && !size) co_return co_await probe(asker, digest);
  co_await memory_.remember(digest, asker.repository, size);
  co_return Admitted{size, true, std::string(head->head.headers.find("Content-Type").value_or(""))};
}

Task<Outcome<Access::Admitted>> Access::probe(Asker asker, Digest digest) {
  upstream::FetchRequest request;
  request.repository = asker.repository.repository;
  request.path = content_path(asker, digest, Kind::kBlob);
  request.range = upstream::ByteRange{0, 0};
  request.identity = asker.identity;
  request.head_timeout = kAnswerTimeout;

  // Only the head is of interest: a registry without ranges would send everything.
  struct HeadOnly final : upstream::Observer {
    std::move_only_function<void(Outcome<upstream::Head>)> done;
    void finish(Outcome<upstream::Head> outcome) {
      if (auto call = std::exchange(done, nullptr)) call(std::move(outcome));
    }
    void on_head(const upstream::Head& head) override { finish(head); }
    std::size_t on_data(std::span<const std::byte>) override { return 0; }
    void on_done(Result<> result) override {
      finish(std::unexpected(Failure{result ? Error(Errc::kUnavailable, "no answer") : result.error()}));
    }
  };
  HeadOnly observer;
  Loop* loop = co_await this_loop();
  std::unique_ptr<upstream::Transfer> transfer;
  auto head = co_await await_callback<Outcome<upstream::Head>>([&](auto done) {
    observer.done = std::move(done);
    transfer = asker.registry->upstream->start(curls_.at(*loop), std::move(request), observer);
  });
  transfer.reset();
  if (!head) co_return std::unexpected(std::move(head.error()));
  std::optional<std::uint64_t> size;
  if (head->status == 206 && head->content_range) size = head->content_range->total;
  if (head->status == 200) size = head->content_length;
  // Only an empty blob has no first byte.
  if (head->status == 416) size = 0;
  if (!size) co_return std::unexpected(refusal(asker, *head, "blob"));
  grants_.add(asker.repository, asker.identity, asker.registry->config.access_ttl);
  co_await memory_.remember(digest, asker.repository, size);
  co_return Admitted{size, true};
}

}  // namespace oxbow::mirror
