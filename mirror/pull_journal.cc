#include "mirror/pull_journal.h"

#include <algorithm>

#include "core/log.h"

namespace oxbow::mirror {
namespace {

void log_pull(const PullSummary& pull) {
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(*pull.ended - pull.started);
  log::info("pull ended", {{"digest", pull.digest.to_string()},
                           {"repository", pull.registry.empty() ? "" : pull.registry + "/" + pull.repository},
                           {"state", to_string(pull.state)},
                           {"bytes", pull.size_bytes},
                           {"from_storage", pull.bytes.storage},
                           {"from_peers", pull.bytes.peer},
                           {"from_upstream", pull.bytes.upstream},
                           {"retries", pull.retries},
                           {"hedges", pull.hedges},
                           {"replaced", pull.replaced},
                           {"ms", took.count()},
                           {"error", pull.error}});
}

}  // namespace

std::shared_ptr<PullLog> PullJournal::begin(const Digest& digest, const Geometry& geometry, const Here& here,
                                            bool continues) {
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (continues) {
      if (auto pull = resume(digest, geometry, here)) return pull;
    }
    if (running_.size() >= kJournalRunning) return PullLog::unrecorded(digest);
    id = next_id_++;
  }
  auto pull = std::make_shared<PullLog>(id, digest, geometry, clock_.wall(), clock_.steady(), here);
  const std::lock_guard lock(mutex_);
  running_.push_back(pull);
  return pull;
}

/// Under the lock.
std::shared_ptr<PullLog> PullJournal::resume(const Digest& digest, const Geometry& geometry, const Here& here) {
  auto last = latest(digest);
  if (!last) return nullptr;
  const auto summary = last->summary();
  const bool recent = !summary.ended || clock_.wall() - *summary.ended < kJournalJoin;
  if (!recent || summary.size_bytes != geometry.blob_bytes() || !last->resume(here)) return nullptr;
  if (std::erase(ended_, last) > 0) running_.push_back(last);
  return last;
}

void PullJournal::leave(const std::shared_ptr<PullLog>& pull) {
  if (pull->release()) end(pull, PullState::kLeft);
}

void PullJournal::end(const std::shared_ptr<PullLog>& pull, PullState state, std::string_view error) {
  if (!pull->end(state, error, clock_.wall())) return;
  const auto summary = pull->summary();
  if (summary.id == 0) return;
  log_pull(summary);
  const std::lock_guard lock(mutex_);
  std::erase(running_, pull);
  ended_.push_back(pull);
  if (ended_.size() > kJournalEnded) ended_.pop_front();
}

void PullJournal::served(const Serve& serve) {
  const auto now = clock_.wall();
  const std::lock_guard lock(mutex_);
  if (const auto last = serve.source == PullSource::kStorage ? latest(serve.digest) : nullptr) {
    const auto summary = last->summary();
    const bool from_storage = summary.bytes.storage == summary.size_bytes;
    const bool recent = !summary.ended || now - (serve.continues ? *summary.ended : summary.started) < kJournalJoin;
    if (recent && (serve.continues || from_storage)) {
      last->reader(serve.registry, serve.repository);
      return;
    }
  }
  auto pull =
      std::make_shared<PullLog>(next_id_++, serve.digest, Geometry(serve.blob_bytes), now, clock_.steady(), nullptr);
  pull->reader(serve.registry, serve.repository);
  pull->served(serve.source, now);
  serves_.push_back(std::move(pull));
  if (serves_.size() > kJournalServes) serves_.pop_front();
}

/// Under the lock.
std::shared_ptr<PullLog> PullJournal::latest(const Digest& digest) const {
  std::shared_ptr<PullLog> found;
  for (const auto* pulls : {&running_, &ended_, &serves_}) {
    for (const auto& pull : *pulls) {
      if (pull->digest() == digest && (!found || pull->id() > found->id())) found = pull;
    }
  }
  return found;
}

PullJournal::Pulls PullJournal::all() const {
  Pulls out;
  const std::lock_guard lock(mutex_);
  out.insert(out.end(), running_.begin(), running_.end());
  out.insert(out.end(), ended_.begin(), ended_.end());
  out.insert(out.end(), serves_.begin(), serves_.end());
  return out;
}

std::vector<PullSummary> PullJournal::running() const {
  std::vector<PullSummary> out;
  for (const auto& pull : all()) {
    if (!pull->ended()) out.push_back(pull->summary());
  }
  std::ranges::sort(out, std::greater{}, &PullSummary::id);
  return out;
}

std::vector<PullSummary> PullJournal::recent(std::size_t limit) const {
  std::vector<PullSummary> out;
  for (const auto& pull : all()) {
    if (pull->ended()) out.push_back(pull->summary());
  }
  std::ranges::sort(out, std::greater{}, &PullSummary::id);
  if (out.size() > limit) out.erase(out.begin() + static_cast<std::ptrdiff_t>(limit), out.end());
  return out;
}

std::optional<PullRecord> PullJournal::find(const std::variant<std::uint64_t, Digest>& which) const {
  std::shared_ptr<PullLog> found;
  if (const auto* digest = std::get_if<Digest>(&which)) {
    const std::lock_guard lock(mutex_);
    found = latest(*digest);
  } else {
    const auto pulls = all();
    const auto known = std::ranges::find(pulls, std::get<std::uint64_t>(which), &PullLog::id);
    if (known != pulls.end()) found = *known;
  }
  if (!found) return std::nullopt;
  return found->record();
}

std::size_t PullJournal::memory_bytes() const {
  std::size_t bytes = sizeof *this;
  for (const auto& pull : all()) bytes += pull->memory_bytes();
  return bytes;
}

}  // namespace oxbow::mirror
