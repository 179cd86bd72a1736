#include "mirror/pull_log.h"

#include <algorithm>
#include <limits>

namespace oxbow::mirror {
namespace {

constexpr std::string_view kOtherPeers = "(others)";
/// What a character of several stripes shows is the first of these that any of them has.
constexpr std::string_view kWorstFirst = "x.~upd";

std::uint32_t clamped_ms(std::chrono::milliseconds time) noexcept {
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(time.count(), 0, std::numeric_limits<std::uint32_t>::max()));
}

std::uint32_t stripes_per_cell(std::size_t stripes) noexcept {
  return static_cast<std::uint32_t>(std::max<std::size_t>(1, (stripes + kEndedMapCells - 1) / kEndedMapCells));
}

std::string_view shortened(std::string_view text) noexcept { return text.substr(0, kPullTextBytes); }

}  // namespace

PullLog::PullLog(std::uint64_t id, const Digest& digest, const Geometry& geometry, Clock::Wall started,
                 Clock::Steady now, const std::function<bool(std::uint32_t)>& here)
    : id_(id),
      digest_(digest),
      geometry_(geometry),
      began_(now),
      summary_{.id = id,
               .digest = digest,
               .size_bytes = geometry.blob_bytes(),
               .registry = {},
               .repository = {},
               .started = started,
               .stripes = geometry.stripes(),
               .stripe_bytes = geometry.stripe_bytes()} {
  if (!here) return;
  cells_.resize(geometry.stripes(), kMissing);
  for (std::uint32_t stripe = 0; stripe < geometry.stripes(); ++stripe) {
    if (here(stripe)) found_here(stripe);
  }
}

std::shared_ptr<PullLog> PullLog::unrecorded(const Digest& digest) {
  return std::make_shared<PullLog>(0, digest, Geometry(0), Clock::Wall(), Clock::Steady(), nullptr);
}

void PullLog::reader(std::string_view registry, std::string_view repository) {
  const std::lock_guard lock(mutex_);
  ++summary_.readers;
  if (!summary_.registry.empty() || registry.empty()) return;
  summary_.registry = shortened(registry);
  summary_.repository = shortened(repository);
}

void PullLog::writing(std::uint32_t stripe) {
  const std::lock_guard lock(mutex_);
  if (knows(stripe) && cells_[stripe] == kMissing) cells_[stripe] = kArriving;
}

void PullLog::stopped(std::uint32_t begin, std::uint32_t end) {
  const std::lock_guard lock(mutex_);
  for (auto stripe = begin; stripe < end && knows(stripe); ++stripe) {
    if (cells_[stripe] == kArriving) cells_[stripe] = kMissing;
  }
}

void PullLog::arrived(const Arrival& arrival) {
  const std::lock_guard lock(mutex_);
  if (!knows(arrival.stripe)) return;
  take_back(arrival.stripe);
  const auto cell = arrival.upstream ? std::uint8_t{kUpstream} : cell_of(arrival.peer);
  const auto bytes = geometry_.stripe(arrival.stripe).size();
  cells_[arrival.stripe] = cell;
  ++summary_.done_stripes;
  bytes_of(cell) += bytes;
  if (cell >= kFirstPeer) peers_[cell - kFirstPeer].second += bytes;
  const Event event{.stripe = arrival.stripe,
                    .at_ms = clamped_ms(std::chrono::duration_cast<std::chrono::milliseconds>(arrival.now - began_)),
                    .took_ms = clamped_ms(arrival.took),
                    .bytes = static_cast<std::uint32_t>(bytes),
                    .cell = cell,
                    .retries = static_cast<std::uint8_t>(std::min<std::uint32_t>(arrival.retries, 255)),
                    .hedged = arrival.hedged,
                    .check = arrival.check};
  if (events_.size() < kPullEvents) {
    events_.push_back(event);
    return;
  }
  events_[oldest_] = event;
  oldest_ = (oldest_ + 1) % kPullEvents;
  ++events_dropped_;
}

void PullLog::checked(std::uint32_t stripe, StripeCheck check) {
  const std::lock_guard lock(mutex_);
  if (!knows(stripe)) return;
  // From the newest on: mostly it is one of the last.
  for (std::size_t i = events_.size(); i-- > 0;) {
    auto& event = events_[(oldest_ + i) % events_.size()];
    if (event.stripe != stripe) continue;
    event.check = std::max(event.check, check);
    return;
  }
}

void PullLog::replacing(std::uint32_t stripe, bool wrong) {
  const std::lock_guard lock(mutex_);
  if (!knows(stripe)) return;
  take_back(stripe);
  cells_[stripe] = kReplacing;
  if (wrong) ++summary_.replaced;
}

void PullLog::was_wrong() {
  const std::lock_guard lock(mutex_);
  if (!summary_.ended) ++summary_.replaced;
}

void PullLog::retried() {
  const std::lock_guard lock(mutex_);
  if (!summary_.ended) ++summary_.retries;
}

void PullLog::hedged() {
  const std::lock_guard lock(mutex_);
  if (!summary_.ended) ++summary_.hedges;
}

void PullLog::window(std::uint64_t bytes, std::uint64_t from_peers) {
  const std::lock_guard lock(mutex_);
  if (summary_.ended) return;
  summary_.kept = false;
  summary_.bytes.peer = std::min(from_peers, bytes);
  summary_.bytes.upstream = bytes - summary_.bytes.peer;
}

void PullLog::served(PullSource source, Clock::Wall now) {
  constexpr std::string_view kLetters = "dpu";
  const std::lock_guard lock(mutex_);
  map_stripes_ = stripes_per_cell(summary_.stripes);
  map_.assign(1, kLetters[static_cast<std::size_t>(source)]);
  summary_.done_stripes = summary_.stripes;
  (source == PullSource::kStorage ? summary_.bytes.storage
   : source == PullSource::kPeer  ? summary_.bytes.peer
                                  : summary_.bytes.upstream) = summary_.size_bytes;
  summary_.state = PullState::kVerified;
  summary_.ended = now;
}

bool PullLog::resume(const std::function<bool(std::uint32_t)>& here) {
  const std::lock_guard lock(mutex_);
  const bool left = !summary_.ended || summary_.state == PullState::kLeft;
  if (!left || cells_.empty()) return false;
  ++fetches_;
  summary_.ended.reset();
  summary_.state = PullState::kRunning;
  for (std::uint32_t stripe = 0; stripe < cells_.size(); ++stripe) {
    const bool is_here = here(stripe);
    if (is_here == is_done(cells_[stripe])) continue;
    take_back(stripe);
    cells_[stripe] = kMissing;
    if (is_here) found_here(stripe);
  }
  return true;
}

bool PullLog::release() {
  const std::lock_guard lock(mutex_);
  return --fetches_ == 0;
}

bool PullLog::end(PullState state, std::string_view error, Clock::Wall now) {
  const std::lock_guard lock(mutex_);
  if (summary_.ended) return false;
  summary_.state = state;
  summary_.error = shortened(error);
  summary_.ended = now;
  // What was on its way when another pull was left, and landed before this one asked for it, was told to neither.
  if (state == PullState::kVerified) {
    for (std::uint32_t stripe = 0; stripe < cells_.size(); ++stripe) {
      if (!is_done(cells_[stripe])) found_here(stripe);
    }
  }
  std::ranges::replace(cells_, std::uint8_t{kArriving}, std::uint8_t{kMissing});
  thin();
  return true;
}

bool PullLog::ended() const {
  const std::lock_guard lock(mutex_);
  return summary_.ended.has_value();
}

PullSummary PullLog::summary() const {
  const std::lock_guard lock(mutex_);
  return summary_;
}

PullRecord PullLog::record() const {
  const std::lock_guard lock(mutex_);
  PullRecord out{.summary = summary_};
  out.map = map_.size() == 1 ? std::string((summary_.stripes + map_stripes_ - 1) / map_stripes_, map_[0]) : map_;
  out.map_stripes = map_stripes_;
  for (const auto cell : cells_) out.map += letter(cell);
  out.peers = peers_;
  out.events_dropped = events_dropped_;
  out.events.reserve(events_.size());
  for (std::size_t i = 0; i < events_.size(); ++i) {
    const auto& event = events_[(oldest_ + i) % events_.size()];
    const bool peer = event.cell >= kFirstPeer;
    const bool whole = summary_.state == PullState::kVerified && event.check == StripeCheck::kNone;
    out.events.push_back({.stripe = event.stripe,
                          .at_ms = event.at_ms,
                          .took_ms = event.took_ms,
                          .bytes = event.bytes,
                          .source = peer ? PullSource::kPeer : PullSource::kUpstream,
                          .peer = peer ? peers_[event.cell - kFirstPeer].first : std::string(),
                          .retries = event.retries,
                          .hedged = event.hedged,
                          .check = whole ? StripeCheck::kWhole : event.check});
  }
  return out;
}

std::size_t PullLog::memory_bytes() const {
  const std::lock_guard lock(mutex_);
  return sizeof *this + cells_.capacity() + map_.capacity() + events_.capacity() * sizeof(Event) +
         peers_.capacity() * sizeof peers_[0];
}

char PullLog::letter(std::uint8_t cell) noexcept {
  constexpr std::string_view kLetters = ".~xdu";
  return cell >= kFirstPeer ? 'p' : kLetters[cell];
}

std::uint8_t PullLog::cell_of(std::string_view peer) {
  const auto known = std::ranges::find(peers_, peer, &std::pair<std::string, std::uint64_t>::first);
  if (known != peers_.end()) return static_cast<std::uint8_t>(kFirstPeer + (known - peers_.begin()));
  if (peers_.size() < kPullPeers) {
    peers_.emplace_back(peers_.size() + 1 < kPullPeers ? shortened(peer) : kOtherPeers, 0);
  }
  return static_cast<std::uint8_t>(kFirstPeer + peers_.size() - 1);
}

std::uint64_t& PullLog::bytes_of(std::uint8_t cell) {
  if (cell == kDisk) return summary_.bytes.storage;
  return cell == kUpstream ? summary_.bytes.upstream : summary_.bytes.peer;
}

/// What came before for this stripe is not part of the blob any more.
void PullLog::take_back(std::uint32_t stripe) {
  const auto cell = cells_[stripe];
  if (!is_done(cell)) return;
  const auto bytes = geometry_.stripe(stripe).size();
  --summary_.done_stripes;
  bytes_of(cell) -= bytes;
  if (cell >= kFirstPeer) peers_[cell - kFirstPeer].second -= bytes;
}

void PullLog::found_here(std::uint32_t stripe) {
  cells_[stripe] = kDisk;
  ++summary_.done_stripes;
  summary_.bytes.storage += geometry_.stripe(stripe).size();
}

/// Nobody watches it any more: a map for the eye is enough.
void PullLog::thin() {
  events_.shrink_to_fit();
  if (cells_.size() <= kEndedMapCells) return;
  map_stripes_ = stripes_per_cell(cells_.size());
  map_.clear();
  for (std::size_t first = 0; first < cells_.size(); first += map_stripes_) {
    const auto last = std::min<std::size_t>(first + map_stripes_, cells_.size());
    std::size_t worst = kWorstFirst.size() - 1;
    for (auto i = first; i < last; ++i) worst = std::min(worst, kWorstFirst.find(letter(cells_[i])));
    map_ += kWorstFirst[worst];
  }
  map_.shrink_to_fit();
  std::vector<std::uint8_t>().swap(cells_);
}

std::string_view to_string(PullState state) noexcept {
  constexpr std::string_view kNames[] = {"running", "verified", "failed", "left"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string_view to_string(PullSource source) noexcept {
  constexpr std::string_view kNames[] = {"storage", "peer", "upstream"};
  return kNames[static_cast<std::size_t>(source)];
}

std::string_view to_string(StripeCheck check) noexcept {
  constexpr std::string_view kNames[] = {"none", "checksum", "link", "whole"};
  return kNames[static_cast<std::size_t>(check)];
}

}  // namespace oxbow::mirror
