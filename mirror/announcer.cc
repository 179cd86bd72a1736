#include "mirror/announcer.h"

#include <boost/asio/redirect_error.hpp>
#include <random>
#include <ranges>

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
  ring_changed();
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

void Announcer::ring_changed() { try_again_in(options_.settle); }

void Announcer::eligible_changed() { try_again_in(5 * options_.settle); }

void Announcer::restarted(const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    restarted_.push_back(p2p::key_of(name));
  }
  ring_changed();
}

/// Not later than that.
void Announcer::try_again_in(std::chrono::milliseconds wait) {
  const auto due = now() + wait;
  const std::lock_guard lock(mutex_);
  check_due_ = std::min(check_due_.value_or(due), due);
}

void Announcer::take_restarted() {
  std::vector<p2p::Key> names;
  {
    const std::lock_guard lock(mutex_);
    names.swap(restarted_);
  }
  for (const auto name : names) {
    for (auto& [digest, told] : told_) told.erase(name);
  }
}

std::chrono::milliseconds Announcer::now() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(blobs_.clock().steady().time_since_epoch());
}

std::vector<Digest> Announcer::take_news() {
  const std::lock_guard lock(mutex_);
  std::vector<Digest> out(news_.begin(), news_.end());
  news_.clear();
  return out;
}

std::vector<Digest> Announcer::everything() {
  std::vector<Digest> out;
  decltype(told_) still_here;
  for (const auto& listing : blobs_.store().list()) {
    if (listing.stored_bytes == 0) continue;
    out.push_back(listing.digest);
    const auto known = told_.find(listing.digest);
    if (known == told_.end()) continue;
    std::erase_if(known->second, [this](const auto& one) { return !remembers(one.second); });
    still_here.emplace(listing.digest, std::move(known->second));
  }
  told_ = std::move(still_here);
  return out;
}

Task<> Announcer::run(std::shared_ptr<Announcer> self) {
  std::uint32_t failures = 0;
  std::minstd_rand jitter(static_cast<unsigned>(std::hash<std::string>{}(name_)));
  const auto next_round = [&] {
    const auto quarter = std::max<std::int64_t>(1, options_.again.count() / 4);
    return now() + options_.again - std::chrono::milliseconds(static_cast<std::int64_t>(jitter()) % quarter);
  };
  all_due_ = next_round();
  look_due_ = now() + options_.look;
  while (!stopped_) {
    timer_.expires_after(options_.gather);
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (stopped_) co_return;
    if (table_.snapshot()->eligible_others() == 0) continue;
    auto digests = take_news();
    bool check = false;
    {
      const std::lock_guard lock(mutex_);
      check = check_due_ && now() >= *check_due_;
      if (check) check_due_.reset();  // another wish that comes from here on stands
    }
    take_restarted();
    std::vector<Digest> lost;
    // Before the others: what is gone is not told again, and would be forgotten with that.
    if (check || now() >= std::min(all_due_, look_due_)) {
      look_due_ = now() + options_.look;
      co_await take_back();
      if (stopped_) co_return;
      lost = shrunk();
    }
    const bool all = now() >= all_due_;
    if (all) all_due_ = next_round();
    bool told = true;
    if (!all && !lost.empty()) told = co_await say(std::move(lost), false, To::kAll);
    if (all || check) told = co_await say(everything(), false, all ? To::kAll : To::kNotTold) && told;
    if (!digests.empty() && !co_await say(digests, true, To::kAll)) {
      told = false;
      if (owed_.size() < kNewsMax) owed_.insert(digests.begin(), digests.end());
    } else if (told && (all || check)) {
      owed_.clear();
    }
    if (told)
      failures = 0;
    else
      try_again_in(std::min(options_.settle * (1U << std::min(failures++, 7U)), options_.again));
  }
}

/// Null: nothing of it is here.
std::shared_ptr<storage::Blob> Announcer::held(const Digest& digest) const {
  auto blob = blobs_.store().peek(digest);
  return blob && !blob->gone() && blob->stripes_present() > 0 ? blob : nullptr;
}

std::optional<p2p::Announce> Announcer::describe(const Digest& digest, bool with_midstates) const {
  const auto blob = held(digest);
  if (!blob) return std::nullopt;
  const auto fetch = blobs_.running(*blob);
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

struct Announcer::Batch {
  p2p::PeerId peer = p2p::kNoPeer;
  p2p::Key name = 0;
  std::vector<p2p::Announce> announces = {};
};

Task<bool> Announcer::send(Batch batch) {
  std::vector<std::pair<Digest, std::uint32_t>> sent;
  for (const auto& one : batch.announces) sent.emplace_back(one.digest, one.have.count());
  const bool told = co_await send_(batch.peer, std::move(batch.announces));
  for (const auto& [digest, stripes] : sent) {
    if (told)
      told_[digest].insert_or_assign(batch.name, Told{now(), stripes});
    else
      told_[digest].erase(batch.name);
  }
  co_return told;
}

/// A coordinator that has not been told again since has forgotten it.
bool Announcer::remembers(const Told& told) const { return now() - told.at < 2 * options_.again; }

bool Announcer::knows(p2p::Key name, const Digest& digest) const {
  const auto told = told_.find(digest);
  if (told == told_.end()) return false;
  const auto peer = told->second.find(name);
  return peer != told->second.end() && remembers(peer->second);
}

/// Of which less is here than was told: what has gone is leased to nobody while it counts as held. Whoever fetches
/// announces by itself.
std::vector<Digest> Announcer::shrunk() const {
  std::vector<Digest> out;
  for (const auto& [digest, told] : told_) {
    const auto blob = held(digest);
    if (!blob || blobs_.running(digest)) continue;
    const auto more = [here = blob->stripes_present()](const Told& one) { return one.stripes > here; };
    if (std::ranges::any_of(std::views::values(told), more)) out.push_back(digest);
  }
  return out;
}

/// Nothing of it is here, and it is not being fetched: whoever fetches announces by itself, and would lose its leases.
bool Announcer::is_gone(const Digest& digest) const { return !blobs_.running(digest) && !held(digest); }

/// A coordinator counts a holder for minutes after its last word, and gives nobody a lease of what it is said to have.
/// Said once: who does not hear it hears of it from those that ask here in vain.
Task<> Announcer::take_back() {
  std::map<p2p::Key, std::vector<p2p::Announce>> by_name;
  std::erase_if(told_, [&](const auto& entry) {
    const auto& [digest, told] = entry;
    if (!is_gone(digest)) return false;
    p2p::Announce announce;
    announce.digest = digest;
    announce.interest = p2p::Interest::kLeft;
    announce.want_neighbours = false;
    announce.know_midstates = true;
    for (const auto& [name, peer] : told) by_name[name].push_back(announce);
    return true;
  });
  if (by_name.empty()) co_return;
  const auto snapshot = table_.snapshot();
  for (const auto& peer : snapshot->peers()) {
    const auto found = by_name.find(p2p::key_of(peer.member.name));
    if (found == by_name.end() || peer.state != p2p::PeerState::kEligible) continue;
    auto& announces = found->second;
    for (std::size_t first = 0; first < announces.size() && !stopped_; first += options_.batch) {
      const auto end =
          announces.begin() + static_cast<std::ptrdiff_t>(std::min(first + options_.batch, announces.size()));
      std::vector<p2p::Announce> batch(announces.begin() + static_cast<std::ptrdiff_t>(first), end);
      // Meanwhile it may have been asked for again.
      std::erase_if(batch, [this](const auto& one) { return !is_gone(one.digest); });
      if (!batch.empty() && !co_await send_(peer.id, batch)) break;
    }
  }
}

Task<bool> Announcer::say(std::vector<Digest> digests, bool with_midstates, To to) {
  const auto snapshot = table_.snapshot();
  bool told = true;
  std::map<p2p::PeerId, Batch> by_peer;
  for (const auto& digest : digests) {
    std::optional<p2p::Announce> announce;
    for (const auto peer : snapshot->ranked(p2p::key_of(digest), options_.told)) {
      const auto name = p2p::key_of(snapshot->find(peer)->member.name);
      if (to == To::kNotTold && knows(name, digest)) continue;
      if (!announce) announce = describe(digest, with_midstates || owed_.contains(digest));
      if (!announce) break;
      auto& batch = by_peer.try_emplace(peer, Batch{peer, name}).first->second;
      batch.announces.push_back(*announce);
      if (batch.announces.size() < options_.batch) continue;
      told = co_await send(std::exchange(batch, Batch{peer, name})) && told;
      if (stopped_) co_return told;
    }
  }
  for (auto& [peer, batch] : by_peer) {
    if (!batch.announces.empty()) told = co_await send(std::move(batch)) && told;
    if (stopped_) co_return told;
  }
  co_return told;
}

}  // namespace oxbow::mirror
