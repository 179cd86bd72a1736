// GET /api/v1/pulls and /api/v1/pulls/ID|DIGEST (?events=N: the newest N only): the journal of pulls
// (mirror/pull_journal.h) as JSON. Thread rule: `add_pulls_routes` from main, at start; the rest are pure functions.
// Lifetime: the journal outlives the routes.
#pragma once

#include <cstddef>

#include "mirror/admin/api_routes.h"
#include "mirror/pull_journal.h"

namespace oxbow::mirror {

inline constexpr std::size_t kRecentPulls = 64;  ///< in one answer, unless `?limit=` says otherwise
inline constexpr std::size_t kRecentPullsMax = kJournalEnded + kJournalServes;

void add_pulls_routes(ApiRoutes& routes, PullJournal& journal);

nlohmann::ordered_json pull_json(const PullSummary& pull);
/// With map, peers and events.
nlohmann::ordered_json pull_json(const PullRecord& pull);

}  // namespace oxbow::mirror
