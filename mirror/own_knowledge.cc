#include "mirror/own_knowledge.h"

#include "mirror/own_asker.h"
#include "registry-api/reference.h"

namespace oxbow::mirror {

Task<Result<p2p::KnownFacts>> OwnKnowledge::known(std::string registry, std::string repository, std::string reference,
                                                  bool may_ask) {
  auto asker = own_asker(*parts_.registries(), registry, std::move(repository));
  if (!asker) co_return std::unexpected(std::move(asker.error()));
  auto parsed = registry_api::parse_reference(reference);
  if (!parsed) co_return std::unexpected(std::move(parsed.error()));
  if (parsed->digest) co_return co_await known_digest(std::move(*asker), *parsed->digest);
  co_return co_await known_tag(std::move(*asker), std::move(parsed->tag), may_ask);
}

p2p::KnownFacts OwnKnowledge::facts_of(const Asker& asker, const Digest& digest) const {
  p2p::KnownFacts facts;
  facts.digest = digest;
  facts.anonymous = parts_.access.granted({asker.registry, asker.repository, {}});
  facts.node = asker.identity.kind == upstream::IdentityKind::kNode && parts_.access.granted(asker);
  return facts;
}

Task<std::optional<std::uint64_t>> OwnKnowledge::size_of(Digest digest) {
  const auto blob = parts_.store.peek(digest);
  if (blob && blob->state() == storage::BlobState::kVerified) co_return blob->geometry().blob_bytes();
  if (const auto body = co_await small(digest)) co_return body->bytes.size();
  co_return std::nullopt;
}

Task<Result<p2p::KnownFacts>> OwnKnowledge::known_digest(Asker asker, Digest digest) {
  const auto membership = co_await parts_.access.memory().membership(digest, asker.repository);
  if (!membership.belongs) co_return fail(Errc::kNotFound, "the digest is not known in this repository");
  auto facts = facts_of(asker, digest);
  // What is here has the size that it has; a manifest may have claimed another.
  facts.size = co_await size_of(digest);
  if (!facts.size) facts.size = membership.size;
  co_return facts;
}

Task<Result<p2p::KnownFacts>> OwnKnowledge::known_tag(Asker asker, std::string tag, bool may_ask) {
  if (may_ask) {
    const auto resolved = co_await parts_.tags.resolve(asker, tag, Tags::Ask::kUpstream);
    if (!resolved && resolved.error().error.code() == Errc::kUnauthorized) {
      co_return fail(Errc::kDenied, "this node has no right of its own to the repository");
    }
    if (!resolved) co_return std::unexpected(resolved.error().error);
  }
  const auto seen = co_await parts_.tags.last_seen(asker.repository, tag);
  if (!seen) co_return fail(Errc::kNotFound, "the tag was not seen here");
  auto facts = facts_of(asker, seen->digest);
  facts.age = seen->age;
  co_return facts;
}

}  // namespace oxbow::mirror
