#include "mirror/peer_knowledge.h"

#include <boost/asio/redirect_error.hpp>
#include <random>

#include "core/log.h"

namespace oxbow::mirror {
namespace {

using std::chrono::milliseconds;

p2p::Key key_of_tag(const RepositoryKey& repository, std::string_view tag) {
  return p2p::key_of(repository.text() + ' ' + std::string(tag));
}

p2p::Key key_of_reference(const RepositoryKey& repository, const std::string& reference) {
  const auto digest = Digest::parse(reference);
  return digest ? p2p::key_of(*digest) : key_of_tag(repository, reference);
}

milliseconds left_until(std::chrono::steady_clock::time_point end) {
  return std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
}

}  // namespace

bool opens(const p2p::KnownFacts& facts, upstream::IdentityKind kind) noexcept {
  return facts.anonymous || (kind == upstream::IdentityKind::kNode && facts.node);
}

/// One question to many peers. On the loop of the asker alone; outlives it for as long as answers may come.
struct PeerKnowledge::Round {
  explicit Round(Loop& loop) : timer(loop) {}
  asio::steady_timer timer;
  std::size_t waiting = 0;
  std::vector<Report> reports;
  std::function<void()> on_answer;
};

PeerKnowledge::PeerKnowledge(Options options, FetchPeers& peers, MetricsRegistry& metrics)
    : options_(options),
      peers_(peers),
      questions_counter_(counter_family(metrics, "oxbow_peer_knowledge_total",
                                        "What peers were asked instead of upstream, by what came of it")),
      over_budget_(limit_counter(metrics, "peer_knowledge_budget")) {}

void PeerKnowledge::count(std::string_view what, bool found) {
  questions_counter_.Add({{"what", std::string(what)}, {"result", found ? "known" : "unknown"}}).Increment();
}

std::vector<p2p::PeerId> PeerKnowledge::targets(p2p::Key key) const {
  const auto snapshot = peers_.snapshot();
  auto chosen = snapshot->ranked(key, peers_.replicas());
  std::erase(chosen, snapshot->self());
  std::vector<p2p::PeerId> others;
  for (const auto& peer : snapshot->peers()) {
    if (peer.state == p2p::PeerState::kEligible && !peer.self && std::ranges::find(chosen, peer.id) == chosen.end())
      others.push_back(peer.id);
  }
  thread_local std::mt19937_64 generator(std::random_device{}());
  std::ranges::sample(others, std::back_inserter(chosen), static_cast<std::ptrdiff_t>(options_.others), generator);
  return chosen;
}

Task<> PeerKnowledge::ask_one(std::shared_ptr<Round> round, FetchPeers& peers, p2p::PeerId peer,
                              p2p::PeerClient::KnownAsk ask, milliseconds timeout) {
  const auto reference = ask.reference;
  auto facts = co_await peers.client().known(peer, std::move(ask), timeout);
  const auto digest = Digest::parse(reference);
  // Asked for a digest, a peer speaks of that one or of nothing.
  if (facts && (!digest || facts->digest == *digest)) round->reports.push_back({peer, std::move(*facts)});
  --round->waiting;
  if (round->on_answer) round->on_answer();
}

Task<std::vector<PeerKnowledge::Report>> PeerKnowledge::known(RepositoryKey repository, std::string reference) {
  auto key = repository.text() + ' ' + reference;
  co_return co_await questions_.run(std::move(key),
                                    [this, repository, reference] { return ask_all(repository, reference); });
}

Task<std::vector<PeerKnowledge::Report>> PeerKnowledge::ask_all(RepositoryKey repository, std::string reference) {
  auto& loop = *co_await this_loop();
  const auto peers = targets(key_of_reference(repository, reference));
  const auto end = std::chrono::steady_clock::now() + options_.budget;
  const auto round = std::make_shared<Round>(loop);
  round->waiting = peers.size();
  for (const auto peer : peers) {
    asio::co_spawn(
        loop, ask_one(round, peers_, peer, {repository.registry, repository.repository, reference}, options_.budget),
        asio::detached);
  }
  // Until all have answered, but not long for the others once somebody knows.
  auto until = end;
  while (round->waiting > 0 && std::chrono::steady_clock::now() < until) {
    const auto heard = round->reports.size();
    round->timer.expires_at(until);
    round->on_answer = [waits = round.get(), heard] {
      if (waits->waiting == 0 || (heard == 0 && !waits->reports.empty())) waits->timer.cancel();
    };
    boost::system::error_code ignored;
    co_await round->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    round->on_answer = nullptr;
    if (heard == 0 && !round->reports.empty())
      until = std::min(end, std::chrono::steady_clock::now() + options_.patience);
  }
  if (round->waiting > 0 && round->reports.empty()) over_budget_.Increment();
  count(Digest::parse(reference) ? "digest" : "tag", !round->reports.empty());
  co_return round->reports;
}

bool PeerKnowledge::owns(const RepositoryKey& repository, std::string_view tag) const {
  const auto snapshot = peers_.snapshot();
  const auto ranked = snapshot->ranked(key_of_tag(repository, tag), 1);
  return ranked.empty() || ranked.front() == snapshot->self();
}

Task<std::optional<p2p::KnownFacts>> PeerKnowledge::ask_owner(RepositoryKey repository, std::string tag) {
  const auto snapshot = peers_.snapshot();
  const auto ranked = snapshot->ranked(key_of_tag(repository, tag), 1);
  if (ranked.empty() || ranked.front() == snapshot->self()) co_return std::nullopt;
  auto facts = co_await peers_.client().known(ranked.front(), {repository.registry, repository.repository, tag, true},
                                              options_.budget);
  count("owner", facts.has_value());
  if (!facts && facts.error().code() == Errc::kTimeout) over_budget_.Increment();
  if (!facts) {
    log::debug("the owner of a tag does not tell",
               {{"repository", repository.text()}, {"tag", tag}, log::Field(facts.error())});
    co_return std::nullopt;
  }
  co_return std::move(*facts);
}

Task<std::optional<storage::SmallBody>> PeerKnowledge::small(Digest digest, std::vector<p2p::PeerId> holders) {
  for (const auto peer : targets(p2p::key_of(digest))) {
    if (std::ranges::find(holders, peer) == holders.end()) holders.push_back(peer);
  }
  const auto end = std::chrono::steady_clock::now() + options_.budget;
  for (std::size_t i = 0; i < holders.size(); ++i) {
    const auto left = left_until(end);
    if (left <= milliseconds(0)) {
      over_budget_.Increment();
      break;
    }
    // One that hangs leaves time for two more.
    const auto timeout = i + 1 == holders.size() ? left : std::max(left / 3, milliseconds(1));
    auto reply = co_await peers_.client().small(holders[i], digest, timeout);
    if (!reply) continue;
    if (Digest::of(digest.algorithm(), std::as_bytes(std::span(reply->bytes))) != digest) {
      peers_.sent_bad(holders[i], "small content does not match its digest");
      continue;
    }
    count("small", true);
    co_return storage::SmallBody{std::move(reply->bytes), std::move(reply->media_type)};
  }
  count("small", false);
  co_return std::nullopt;
}

}  // namespace oxbow::mirror
