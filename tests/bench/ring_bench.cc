// Measures the ring and the peer table by themselves, one JSON line a result.
//   p2p_bench [balance|weights|moves|lookup|table ...]     without a word: all of them
// Balance is told twice: as counted over keys, which adds the noise of sampling, and as the worst of many clusters of
// the same size, because small clusters differ from each other. Ends with 1 when a bound is missed: load max/mean 1.1
// with equal weights, 1.2 of its share moved by one that joins or leaves, a look-up in 1 µs.
#include <time.h>

#include <cmath>
#include <cstdio>
#include <set>

#include "core/log.h"
#include "p2p/peer_table.h"
#include "p2p/span_rank.h"

namespace oxbow::p2p {
namespace {

constexpr double kLoadBound = 1.1;
constexpr double kMovesBound = 1.2;
constexpr double kLookupBoundUs = 1.0;

bool within(const char* what, std::size_t peers, double measured, double bound) {
  if (measured <= bound) return true;
  std::fprintf(stderr, "%s with %zu peers: %.3f, at most %.2f is allowed\n", what, peers, measured, bound);
  return false;
}

/// CPU time of this thread: what else the machine does does not count, but for its share of the caches.
double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::vector<Member> make_members(std::size_t count, std::size_t cluster = 0) {
  std::vector<Member> members(count);
  for (std::size_t i = 0; i < count; ++i) {
    members[i].name = "cluster-" + std::to_string(cluster) + "-node-" + std::to_string(i);
  }
  return members;
}

std::vector<double> count_keys(const Ring& ring, std::uint64_t keys) {
  std::vector<double> owned(ring.size());
  for (Key key = 0; key < keys; ++key) ++owned[ring.owner(key)];
  return owned;
}

/// Highest and lowest of a member's load over its due share.
std::pair<double, double> extremes(const std::vector<double>& owned, const std::vector<Member>& members, double keys) {
  double total = 0;
  for (const auto& member : members) total += member.weight;
  double highest = 0;
  double lowest = 1e9;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const double load = owned[i] / (keys * members[i].weight / total);
    highest = std::max(highest, load);
    lowest = std::min(lowest, load);
  }
  return {highest, lowest};
}

struct Run {
  std::size_t peers;
  std::size_t clusters;
  std::uint64_t keys_per_peer;
};
constexpr std::array kRuns{Run{3, 300, 20'000}, Run{10, 100, 20'000}, Run{100, 10, 20'000}, Run{1'000, 1, 10'000},
                           Run{10'000, 1, 4'000}};

/// The worst of all sizes is within `bound`; 0: none.
bool balance(const char* what, const std::vector<double>& weights, double bound) {
  bool good = true;
  for (const auto& run : kRuns) {
    std::vector<double> highest;
    double lowest = 1e9;
    const auto keys = run.peers * run.keys_per_peer;
    for (std::size_t cluster = 0; cluster < run.clusters; ++cluster) {
      auto members = make_members(run.peers, cluster);
      for (std::size_t i = 0; i < members.size(); ++i) members[i].weight = weights[i % weights.size()];
      const auto [high, low] = extremes(count_keys(Ring(members), keys), members, static_cast<double>(keys));
      highest.push_back(high);
      lowest = std::min(lowest, low);
    }
    std::ranges::sort(highest);
    const auto over = std::ranges::count_if(highest, [](double load) { return load > kLoadBound; });
    std::printf(
        "{\"bench\":\"%s\",\"peers\":%zu,\"clusters\":%zu,\"keys_per_peer\":%llu,\"max_over_mean_median\":%.3f,"
        "\"max_over_mean_worst\":%.3f,\"clusters_above_1.1\":%lld,\"min_over_mean_worst\":%.3f}\n",
        what, run.peers, run.clusters, static_cast<unsigned long long>(run.keys_per_peer), highest[highest.size() / 2],
        highest.back(), static_cast<long long>(over), lowest);
    std::fflush(stdout);
    good = (bound <= 0 || within("load max/mean", run.peers, highest.back(), bound)) && good;
  }
  return good;
}

/// One member more, or less: how many keys have another owner, over the share that must. Also of those between members
/// that stayed, which should be none.
bool moves() {
  bool good = true;
  for (const std::size_t peers : {3U, 10U, 100U, 1'000U, 10'000U}) {
    double worst = 0;
    double sum = 0;
    std::uint64_t strayed = 0;
    const std::size_t clusters = peers <= 10 ? 30 : 3;
    const auto keys = std::min<std::uint64_t>(20'000 * peers, 10'000'000);
    for (std::size_t cluster = 0; cluster < clusters; ++cluster) {
      const auto members = make_members(peers + 1, cluster);
      const Ring larger(members);
      const Ring smaller(std::span(members).first(peers));
      std::uint64_t moved = 0;
      for (Key key = 0; key < keys; ++key) {
        const auto owner = larger.owner(key);
        if (smaller.owner(key) == owner) continue;
        ++moved;
        if (owner != peers) ++strayed;
      }
      const double share = static_cast<double>(moved) / (static_cast<double>(keys) / static_cast<double>(peers + 1));
      worst = std::max(worst, share);
      sum += share / static_cast<double>(clusters);
    }
    std::printf(
        "{\"bench\":\"moves\",\"peers\":%zu,\"clusters\":%zu,\"moved_over_share_mean\":%.3f,"
        "\"moved_over_share_worst\":%.3f,\"strayed\":%llu}\n",
        peers, clusters, sum, worst, static_cast<unsigned long long>(strayed));
    std::fflush(stdout);
    good = within("keys moved over the share", peers, worst, kMovesBound) && good;
    good = within("keys moved between those that stayed", peers, static_cast<double>(strayed), 0) && good;
  }
  return good;
}

bool lookup() {
  bool good = true;
  for (const std::size_t peers : {3U, 100U, 1'000U, 10'000U}) {
    const auto members = make_members(peers);
    const auto began_build = cpu_seconds();
    const Ring ring(members);
    const double build_s = cpu_seconds() - began_build;
    constexpr std::uint64_t kLookups = 1'000'000;
    const Key first = key_of("key-");
    std::uint64_t sum = 0;
    auto began = cpu_seconds();
    for (std::uint64_t i = 0; i < kLookups; ++i) sum += ring.owner(first + i);
    const double owner_s = cpu_seconds() - began;
    began = cpu_seconds();
    for (std::uint64_t i = 0; i < kLookups / 10; ++i)
      sum += ring.walk(i, 3, [](std::uint32_t) { return true; }).front();
    const double walk_s = cpu_seconds() - began;
    began = cpu_seconds();
    double ranks = 0;
    for (std::uint64_t i = 0; i < kLookups / 10; ++i) ranks += span_rank(ring, 0, i, first);
    const double rank_s = cpu_seconds() - began;
    std::printf(
        "{\"bench\":\"lookup\",\"peers\":%zu,\"build_ms\":%.2f,\"owner_us\":%.3f,\"walk_3_us\":%.3f,"
        "\"span_rank_us\":%.3f,\"check\":%llu}\n",
        peers, build_s * 1e3, owner_s * 1e6 / kLookups, walk_s * 1e7 / kLookups, rank_s * 1e7 / kLookups,
        static_cast<unsigned long long>((sum + static_cast<std::uint64_t>(-ranks)) % 10));
    std::fflush(stdout);
    good = within("µs a look-up", peers, owner_s * 1e6 / kLookups, kLookupBoundUs) && good;
  }
  return good;
}

/// What a table of many members costs: a new view, a change of one state, a note that changes nothing, an idle tick.
void table() {
  for (const std::size_t peers : {16U, 1'000U, 10'000U}) {
    auto members = make_members(peers);
    for (auto& member : members) {
      member.addresses = {member.name + ".example:5051"};
      member.location = {"zone-a", "row-1", "rack-12"};
    }
    const ManualClock clock;
    MetricsRegistry metrics;
    Member self = members.front();
    PeerTable peer_table(self, {}, clock, metrics);
    const auto time_ms = [](std::size_t times, const auto& job) {
      const auto began = cpu_seconds();
      for (std::size_t i = 0; i < times; ++i) job(i);
      return (cpu_seconds() - began) * 1e3 / static_cast<double>(times);
    };
    const double view_ms = time_ms(1, [&](std::size_t) { peer_table.set_members(members); });
    const auto snapshot = peer_table.snapshot();
    const auto& all = snapshot->peers();
    const double state_ms = time_ms(10, [&](std::size_t i) { peer_table.suspend(all[i + 1].id, "bench"); });
    const double note_ms = time_ms(10'000, [&](std::size_t i) { peer_table.note_contact(all[i % peers].id); });
    const double tick_ms = time_ms(100, [&](std::size_t) { peer_table.tick(); });
    const double read_ms = time_ms(100'000, [&](std::size_t) { (void)peer_table.snapshot()->revision(); });
    std::printf(
        "{\"bench\":\"table\",\"peers\":%zu,\"view_ms\":%.2f,\"state_change_ms\":%.3f,\"note_us\":%.3f,"
        "\"tick_us\":%.1f,\"read_ns\":%.1f}\n",
        peers, view_ms, state_ms, note_ms * 1e3, tick_ms * 1e3, read_ms * 1e6);
    std::fflush(stdout);
  }
}

int run(std::set<std::string> words) {
  log::set_level(log::Level::kError);
  const auto wanted = [&](const char* word) { return words.empty() || words.contains(word); };
  bool good = true;
  if (wanted("lookup")) good = lookup() && good;
  if (wanted("table")) table();
  if (wanted("moves")) good = moves() && good;
  if (wanted("balance")) good = balance("balance", {1}, kLoadBound) && good;
  if (wanted("weights")) balance("weights", {0.25, 0.5, 1, 2, 4}, 0);  // told, and no target
  return good ? 0 : 1;
}

}  // namespace
}  // namespace oxbow::p2p

int main(int argc, char** argv) { return oxbow::p2p::run(std::set<std::string>(argv + 1, argv + argc)); }
