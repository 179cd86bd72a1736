#include "mirror/announcer.h"

#include <boost/asio/redirect_error.hpp>
#include <map>
#include <random>

#include "mirror/peer_contents.h"

namespace oxbow::mirror {
namespace {

constexpr std::size_t kNewsMax = 65'536;

}  // namespace

Announcer::Announcer(Options options, Blobs& blobs, p2p::PeerTable& table, Loop& loop, Send send, std::string name)
    : options_(options),
      blobs_(blobs),
      table_(table),
      loop_(loop),
      send_(std::move(send)),
      name_(std::move(name)),
      timer_(loop) {}

void Announcer::start() {
  say_all_soon();
  asio::co_spawn(loop_, run(shared_from_this()), asio::detached);
}

void Announcer::stop() {
  stopped_ = true;
  asio::post(loop_, [self = shared_from_this()] { self->timer_.cancel(); });
}

void Announcer::holds(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  if (news_.size() < kNewsMax) news_.insert(digest);
}

void Announcer::say_all_soon() {
  const auto now = blobs_.clock().steady() + options_.settle;
  all_due_ms_ = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
}

std::vector<Digest> Announcer::take_news() {
  const std::lock_guard lock(mutex_);
  std::vector<Digest> out(news_.begin(), news_.end());
  news_.clear();
  return out;
}

std::vector<Digest> Announcer::everything() const {
  std::vector<Digest> out;
  for (const auto& listing : blobs_.store().list()) {
    if (listing.stored_bytes > 0) out.push_back(listing.digest);
  }
  return out;
}

Task<> Announcer::run(std::shared_ptr<Announcer> self) {
  std::uint32_t failures = 0;
  std::minstd_rand jitter(static_cast<unsigned>(std::hash<std::string>{}(name_)));
  while (!stopped_) {
    timer_.expires_after(options_.gather);
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (stopped_) co_return;
    if (table_.snapshot()->eligible_others() == 0) continue;
    auto digests = take_news();
    const auto now =
        std::chrono::duration_cast<std::chrono::milliseconds>(blobs_.clock().steady().time_since_epoch()).count();
    bool told = true;
    if (auto due = all_due_ms_.load(); now >= due) {
      const auto quarter = options_.again.count() / 4;
      const auto early = static_cast<std::int64_t>(jitter()) % std::max<std::int64_t>(1, quarter);
      // Another wish that comes meanwhile stands.
      all_due_ms_.compare_exchange_strong(due, now + options_.again.count() - early);
      told = co_await say(everything(), false);
    }
    if (!digests.empty()) told = co_await say(std::move(digests), true) && told;
    if (told) {
      failures = 0;
      continue;
    }
    const auto wait = std::min(options_.settle * (1U << std::min(failures++, 7U)), options_.again);
    auto due = all_due_ms_.load();
    while (due > now + wait.count() && !all_due_ms_.compare_exchange_weak(due, now + wait.count())) {
    }
  }
}

std::optional<p2p::Announce> Announcer::describe(const Digest& digest, bool with_midstates) const {
  const auto blob = blobs_.store().peek(digest);
  if (!blob || blob->gone() || blob->stripes_present() == 0) return std::nullopt;
  const auto fetch = blobs_.running(digest);
  p2p::Announce announce;
  announce.digest = digest;
  announce.size = blob->geometry().blob_bytes();
  announce.interest = p2p::Interest::kHolding;
  announce.have = have_map(*blob, fetch.get());
  announce.want_neighbours = false;
  announce.know_midstates = true;
  if (with_midstates && blob->state() == storage::BlobState::kVerified)
    announce.midstates = p2p::MidstateList{name_, blob->midstates()};
  return announce;
}

Task<bool> Announcer::say(std::vector<Digest> digests, bool with_midstates) {
  const auto snapshot = table_.snapshot();
  bool told = true;
  std::map<p2p::PeerId, std::vector<p2p::Announce>> by_peer;
  for (const auto& digest : digests) {
    auto announce = describe(digest, with_midstates);
    if (!announce) continue;
    for (const auto peer : snapshot->ranked(p2p::key_of(digest), options_.told)) {
      auto& batch = by_peer[peer];
      batch.push_back(*announce);
      if (batch.size() < options_.batch) continue;
      told = co_await send_(peer, std::exchange(batch, {})) && told;
      if (stopped_) co_return told;
    }
  }
  for (auto& [peer, batch] : by_peer) {
    if (!batch.empty()) told = co_await send_(peer, std::move(batch)) && told;
    if (stopped_) co_return told;
  }
  co_return told;
}

}  // namespace oxbow::mirror
