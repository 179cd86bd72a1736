#include "p2p/lease_rules.h"

#include <algorithm>

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

// Announcements of a small cluster come each 200 ms, on full links after up to 1.1 s.
constexpr auto kOverdue = 1'500ms;
constexpr auto kOverdueReported = 800ms;  // where they come in time, and others miss it too;
constexpr auto kOverdueGone = 500ms;      // or its connections broke
constexpr auto kJudgedAfter = 1'000ms;    // a lease's speed is not judged before
constexpr double kSlowShare = 0.15;      // of the usual speed. Connections that share a full link differ by more than 4
constexpr double kLastShare = 0.3;       // where nobody else has a lease: all who want the blob wait for this one
constexpr auto kLongestWait = 10'000ms;  // for a first byte: by then the holder's own limit has ended its request
constexpr auto kLongestLease = 600'000ms;  // on the slowest links; docs/peer-protocol.md allows an hour
constexpr double kAgainPerMemberMs = 4;    // 250 members and more announce once a second

}  // namespace

std::chrono::milliseconds LeaseRules::ttl(const BlobMembers& blob) const {
  const auto several = [](double ms) { return std::chrono::milliseconds(static_cast<std::int64_t>(4 * ms)); };
  const auto first_byte = std::min<std::chrono::milliseconds>(several(blob.first_byte_ms), kLongestWait);
  if (blob.lease_rate <= 0) return std::max(options_.lease_min, first_byte);
  const double span_ms = static_cast<double>(spans_.bytes(Geometry(blob.blob_bytes))) / blob.lease_rate * 1000;
  const auto longest = std::max<std::chrono::milliseconds>(options_.lease_min, kLongestLease);
  return std::clamp(several(span_ms), std::max(options_.lease_min, first_byte), longest);
}

std::chrono::milliseconds LeaseRules::again(const BlobMembers& blob, const BlobMember& member) const {
  if (member.interest != Interest::kWanting) return options_.again_holder;
  const auto scaled =
      std::chrono::milliseconds(static_cast<std::int64_t>(kAgainPerMemberMs * static_cast<double>(blob.size())));
  return std::clamp(scaled, options_.again_min, options_.again);
}

bool LeaseRules::is_overdue(const BlobMembers& blob, const BlobMember& member, std::chrono::milliseconds at_least,
                            Time now) const {
  const auto two = 2 * again(blob, member);
  const auto limit = std::clamp<std::chrono::milliseconds>(two + blob.late.several(now), at_least, kOverdue);
  return now - member.heard > std::max(two, limit);
}

bool LeaseRules::is_missed(const BlobMembers& blob, const BlobMember& member, bool gone, Time now) const {
  return is_overdue(blob, member, gone ? kOverdueGone : kOverdueReported, now);
}

void LeaseRules::note_lateness(BlobMembers& blob, const BlobMember& member, Time now) const {
  if (member.interest != Interest::kWanting) return;
  const auto late = now - member.heard - again(blob, member);
  if (late > 0ms) blob.late.note(late, now);
}

bool LeaseRules::has_ended(const BlobMembers& blob, const BlobLease& lease, Time now) const {
  const auto* holder = blob.find(lease.holder);
  if (holder == nullptr) return true;
  if (holder->interest != Interest::kWanting || is_overdue(blob, *holder, kOverdue, now)) return now > lease.expires;
  auto until = lease.expires;
  if (lease.begun == Time{0})
    until = std::max(until, lease.granted + (blob.first_byte_ms > 0 ? ttl(blob) : kLongestWait));
  return holder->heard > until;
}

bool LeaseRules::is_too_slow(const BlobMembers& blob, const BlobLease& lease, Time now) const {
  const auto judged_after = (blob.lease_rate > 0 ? 1 : 2) * options_.lease_min;
  return blob.fetchers() > 1 && lease.begun != Time{0} && now - lease.judged_from() >= judged_after &&
         crawls(blob, lease, now);
}

/// Of a node's leases the quickest counts: one that gets nothing by itself ends by its time. Compared is with what the
/// others get now, too, since the registry's link may carry less to everybody than it did.
bool LeaseRules::crawls(const BlobMembers& blob, const BlobLease& lease, Time now) {
  double own = 0;
  double others = 0;
  std::size_t compared = 0;
  bool last = true;
  for (const auto& one : blob.leases) {
    const auto since = one.judged_from();
    last = last && one.holder == lease.holder;
    if (one.holder != lease.holder && now - since < kJudgedAfter) continue;
    const auto ms = static_cast<double>(std::max<std::int64_t>((now - since).count(), 1));
    const auto rate = static_cast<double>(one.bytes - one.bytes_at_grant) / ms * 1000;
    if (one.holder == lease.holder) {
      own = std::max(own, rate);
    } else {
      others += rate;
      ++compared;
    }
  }
  double usual = blob.lease_rate;
  if (compared > 0) {
    const auto mean = others / static_cast<double>(compared);
    usual = usual > 0 ? std::min(usual, mean) : mean;
  }
  return own < (last ? kLastShare : kSlowShare) * usual;
}

}  // namespace oxbow::p2p
