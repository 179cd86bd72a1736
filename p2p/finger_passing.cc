#include "p2p/finger_passing.h"

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr auto kStalled = 1'000ms;  // without a byte
/// The same before its first byte: what is arriving from upstream may be behind other stripes of its request.
constexpr auto kStalledAtFirst = 3'000ms;

HopTurn refuse(Errc why, const char* text) noexcept { return {HopTurn::Kind::kRefuse, why, text}; }

}  // namespace

bool is_stalled(const StripeComing& one) noexcept { return one.since_last >= (one.begun ? kStalled : kStalledAtFirst); }

HopTurn turn_at_hop(const std::optional<StripeComing>& coming, bool own, bool may_wait) noexcept {
  if (coming && coming->upstream) {
    if (coming->since_last >= kStalledAtFirst && own)
      return refuse(Errc::kTimeout, "upstream gives nothing to this node");
    return refuse(Errc::kBusy, "it comes from upstream soon");
  }
  if (!coming) return own ? refuse(Errc::kNotFound, "this node is not fetching it") : HopTurn{};
  if (coming->heard) {
    if (!coming->forward || !is_stalled(*coming)) return {HopTurn::Kind::kGive};
    auto turn = refuse(Errc::kTimeout, "the stripe comes no further");
    turn.give_up = true;
    return turn;
  }
  if (!coming->forward && !may_wait) return refuse(Errc::kBusy, "this node is asking for the stripe itself");
  return {HopTurn::Kind::kWait};
}

AfterHop after_hop(Errc why, bool lease) noexcept {
  if (why == Errc::kBusy || (why == Errc::kNotFound && lease)) return AfterHop::kAnswer;
  return why == Errc::kNotFound ? AfterHop::kEnd : AfterHop::kNext;
}

std::chrono::milliseconds time_for_next(std::chrono::milliseconds left, bool last) noexcept {
  return last ? left * 7 / 8 : left * 2 / 3;
}

}  // namespace oxbow::p2p
