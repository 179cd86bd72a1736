#include "p2p/prober.h"

#include <boost/asio/as_tuple.hpp>
#include <random>

#include "core/log.h"

namespace oxbow::p2p {
namespace {

constexpr std::chrono::milliseconds kUnnamedInterval{1'000};
constexpr std::chrono::milliseconds kFirstSpread{500};  ///< of the first round: a node wants to know its cluster soon
constexpr std::size_t kTellAtOnce = 32;
constexpr std::chrono::milliseconds kTellTimeout{1'000};
constexpr std::int64_t kSpreadMin = 8;  ///< fewer hellos than these need not wait for each other so long

}  // namespace

struct Prober::Impl : std::enable_shared_from_this<Impl> {
  Impl(ProberOptions the_options, PeerTable& the_table, PeerClient& the_client, std::function<Hello()> the_own,
       Loop& the_loop, MetricsRegistry& metrics, std::uint64_t seed)
      : options(the_options),
        table(the_table),
        client(the_client),
        own(std::move(the_own)),
        loop(the_loop),
        answered(outcome(metrics, "answered")),
        failed(outcome(metrics, "failed")),
        limit(limit_counter(metrics, "probes_per_round")),
        timer(the_loop),
        random(seed) {}

  static Counter& outcome(MetricsRegistry& metrics, const char* name) {
    return counter_family(metrics, "oxbow_peer_probes_total", "Hellos said to members").Add({{"outcome", name}});
  }

  double draw() { return std::uniform_real_distribution<>(0, 1)(random); }
  std::chrono::milliseconds jittered(std::chrono::milliseconds time) {
    return std::chrono::milliseconds(std::llround(static_cast<double>(time.count()) * (0.75 + 0.5 * draw())));
  }
  /// Sleeps; `stop` and `wake` end it early.
  Task<> pause(std::chrono::milliseconds time) {
    if (stopped) co_return;
    timer.expires_after(time);
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  }

  static Task<> run(std::shared_ptr<Impl> self);
  static Task<> round(std::shared_ptr<Impl> self, std::chrono::milliseconds spread);
  static Task<> probe(std::shared_ptr<Impl> self, ProbeTarget target);
  struct Telling;
  static Task<> tell_next(std::shared_ptr<Impl> self, std::shared_ptr<Telling> telling);
  void take_answer(const ProbeTarget& target, const Result<Hello>& answer);

  const ProberOptions options;
  PeerTable& table;
  PeerClient& client;
  const std::function<Hello()> own;
  Loop& loop;
  Counter& answered;
  Counter& failed;
  Counter& limit;
  asio::steady_timer timer;
  std::mt19937_64 random;
  std::function<void(PeerId, const Hello&)> on_hello;
  std::atomic<bool> stopped = false;
};

Task<> Prober::Impl::run(std::shared_ptr<Impl> self) {
  auto spread = kFirstSpread;
  while (!self->stopped) {
    const auto began = std::chrono::steady_clock::now();
    const auto interval = self->jittered(self->options.interval);
    co_await round(self, std::min(spread, interval));
    spread = interval / 2;
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
    const auto rest = std::max(interval - took, std::chrono::milliseconds(1));
    co_await self->pause(self->table.unnamed() > 0 ? std::min(rest, kUnnamedInterval) : rest);
  }
}

Task<> Prober::Impl::round(std::shared_ptr<Impl> self, std::chrono::milliseconds spread) {
  const auto targets = self->table.take_probe_targets(self->options.probes_per_round, self->options.unnamed_per_round);
  const auto named = static_cast<std::size_t>(std::ranges::count(targets, false, &ProbeTarget::unnamed));
  if (named == self->options.probes_per_round) self->limit.Increment();
  // Spread, so that nodes which were started together do not all ask at once.
  const auto gap = spread / std::max(static_cast<std::int64_t>(targets.size()), kSpreadMin);
  for (const auto& target : targets) {
    if (gap.count() > 0) co_await self->pause(self->jittered(gap));
    if (self->stopped) co_return;
    asio::co_spawn(self->loop, probe(self, target), asio::detached);
  }
}

Task<> Prober::Impl::probe(std::shared_ptr<Impl> self, ProbeTarget target) {
  if (target.by_address) {
    const auto answer = co_await self->client.hello_at(target.address, self->own(), self->options.timeout);
    self->take_answer(target, answer);
  } else {
    const auto answer = co_await self->client.hello(target.peer, self->own(), self->options.timeout);
    self->take_answer(target, answer);
  }
}

/// Shared by the tasks that tell side by side.
struct Prober::Impl::Telling {
  std::vector<PeerId> peers;
  std::size_t next = 0;
};

Task<> Prober::Impl::tell_next(std::shared_ptr<Impl> self, std::shared_ptr<Telling> telling) {
  while (!self->stopped && telling->next < telling->peers.size()) {
    ProbeTarget target;
    target.peer = telling->peers[telling->next++];
    const auto answer = co_await self->client.hello(target.peer, self->own(), kTellTimeout);
    self->take_answer(target, answer);
  }
}

void Prober::Impl::take_answer(const ProbeTarget& target, const Result<Hello>& answer) {
  if (stopped) return;
  if (!answer) {
    failed.Increment();
    log::debug("a hello was not answered", {{"address", target.address}, log::Field(answer.error())});
    table.note_failure(target.peer, answer.error());
    return;
  }
  answered.Increment();
  PeerId peer = target.peer;
  if (target.by_address) {
    peer = table.note_hello_at(target.address, answer->facts);
  } else {
    table.note_hello(target.peer, answer->facts);
  }
  if (peer != kNoPeer && on_hello) on_hello(peer, *answer);
}

Prober::Prober(ProberOptions options, PeerTable& table, PeerClient& client, std::function<Hello()> own, Loop& loop,
               MetricsRegistry& metrics, std::uint64_t seed)
    : impl_(std::make_shared<Impl>(options, table, client, std::move(own), loop, metrics, seed)) {}

Prober::~Prober() { stop(); }

void Prober::on_new_incarnation(std::function<void(PeerId)> listener) { impl_->table.on_restart(std::move(listener)); }

void Prober::on_hello(std::function<void(PeerId, const Hello&)> listener) { impl_->on_hello = std::move(listener); }

void Prober::start() { asio::co_spawn(impl_->loop, Impl::run(impl_), asio::detached); }

void Prober::stop() {
  if (impl_->stopped.exchange(true)) return;
  wake();
}

void Prober::wake() {
  asio::post(impl_->loop, [impl = impl_] { impl->timer.cancel(); });
}

void Prober::tell() {
  asio::post(impl_->loop, [impl = impl_] {
    if (impl->stopped) return;
    const auto telling = std::make_shared<Impl::Telling>(impl->table.heard_of_last(kTellMax));
    for (std::size_t i = 0; i < std::min(kTellAtOnce, telling->peers.size()); ++i)
      asio::co_spawn(impl->loop, Impl::tell_next(impl, telling), asio::detached);
  });
}

Task<> Prober::round(std::chrono::milliseconds spread) { return Impl::round(impl_, spread); }

}  // namespace oxbow::p2p
