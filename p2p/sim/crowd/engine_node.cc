// A node of the crowd and its strategy: what it is told, and what it wants done.
#include <algorithm>

#include "p2p/fingers.h"
#include "p2p/sim/crowd/engine.h"
#include "p2p/single.h"

namespace oxbow::p2p::sim {

const PeerSnapshot& CrowdEngine::view_of(std::uint32_t index) {
  auto& view = nodes_[index].view;
  if (view == nullptr) view = std::make_shared<const PeerSnapshot>(*common_, index + 1);
  return *view;
}

std::unique_ptr<Strategy> CrowdEngine::make_strategy_of(std::uint32_t index) {
  StrategyContext context{digest_, geometry_, nodes_[index].have, random_.next(), options_.replicas};
  if (auto rival = make_rival(options_.policy, context, index, *this)) return rival;
  auto swarm = options_.swarm;
  switch (options_.policy) {
    case CrowdPolicy::kSingle:
      return std::make_unique<Single>(geometry_);
    case CrowdPolicy::kFingers:
      return std::make_unique<Fingers>(std::move(context));
    case CrowdPolicy::kRing:
      swarm.ranked_only = true;
      [[fallthrough]];
    default:
      return std::make_unique<Swarm>(std::move(context), swarm);
  }
}

void CrowdEngine::consult(std::uint32_t index) {
  auto& node = nodes_[index];
  auto& mail = mail_[index];
  if (node.strategy == nullptr || !node.alive) {
    events_.clear();
    mail.news.clear();
    return;
  }
  if (!mail.news.empty()) events_.emplace_back(HaveNews{mail.news});
  if (paths_) {
    for (const auto stripe : node.forwarded) events_.emplace_back(StripeArrived{0, stripe});
    node.forwarded.clear();
  }
  if (node.finished < 0) tell_window(index);
  if (!events_.empty()) {
    actions_.clear();
    node.strategy->on_events(time(), events_, actions_);
    events_.clear();
    mail.news.clear();
    apply(index, actions_);
    mail.waits = node.finished < 0 && node.strategy->waits_for_news();
  }
  if (node.finished >= 0) node.strategy.reset();
}

/// The reader takes what is there in order, and wants what comes after it: as mirror/blob_fetch.h says.
void CrowdEngine::tell_window(std::uint32_t index) {
  auto& node = nodes_[index];
  while (node.position < geometry_.stripes() && node.have.has(node.position)) ++node.position;
  if (node.wants && node.have.complete()) return finish(index);
  if (node.window_changed) {
    node.window_changed = false;
    const auto taken = node.position * geometry_.stripe_bytes();
    node.opened = node.opened || taken >= options_.cautious_bytes;
    auto end = node.position + options_.first_window;
    if (node.opened) {
      end = node.position + 1;
      auto wide = taken < options_.wide_after_bytes ? options_.window : options_.window_max;
      if (options_.window_counts_missing) {
        while (end < geometry_.stripes() && wide > 0) wide -= node.have.has(end++) ? 0 : 1;
      } else {
        end += wide;
      }
      const LeaseSpans spans(options_.swarm.span_stripes);
      end = spans.begin(spans.count(end));
    }
    end = node.started < 0 ? node.position : std::min(end, geometry_.stripes());
    WindowChanged window;
    for (auto stripe = node.position; stripe < end; ++stripe) {
      if (node.have.has(stripe) || std::ranges::find(node.forwarding, stripe) != node.forwarding.end()) continue;
      if (!window.wanted.empty() && window.wanted.back().end == stripe)
        ++window.wanted.back().end;
      else
        window.wanted.push_back({stripe, stripe + 1});
    }
    std::erase_if(node.relayed, [&](std::uint32_t stripe) { return node.have.has(stripe); });
    for (const auto stripe : node.relayed) {
      if (stripe < node.position || stripe >= end) window.wanted.push_back({stripe, stripe + 1});
    }
    events_.emplace_back(std::move(window));
  }
  const auto slots = options_.upstream_slots - std::min(node.from_upstream, options_.upstream_slots);
  if (slots == node.told_slots) return;
  node.told_slots = slots;
  events_.emplace_back(SlotsFree{kUpstream, slots});
}

/// Others wait here for a stripe: it is wanted, whether or not this node's reader wants it.
void CrowdEngine::relay(std::uint32_t index, std::uint32_t stripe) {
  auto& node = nodes_[index];
  if (node.finished >= 0 || std::ranges::find(node.relayed, stripe) != node.relayed.end()) return;
  node.relayed.push_back(stripe);
  node.window_changed = true;
  if (node.strategy == nullptr) node.strategy = make_strategy_of(index);
  consult(index);
}

void CrowdEngine::finish(std::uint32_t index) {
  auto& node = nodes_[index];
  node.finished = now_;
  --left_;
  completed_.push_back(index);
  events_.emplace_back(WindowChanged{{}, false, true});
}

void CrowdEngine::apply(std::uint32_t index, std::vector<Action>& actions) {
  auto& node = nodes_[index];
  for (auto& action : actions) {
    if (auto* fetch = std::get_if<Fetch>(&action)) {
      if (fetch->source == kUpstream && node.told_slots > 0) --node.told_slots;
      start_fetch(index, std::move(*fetch));
    } else if (const auto* cancel = std::get_if<CancelFetch>(&action)) {
      for (const auto id : node.fetches) {
        if (transfers_[id].fetch != cancel->id) continue;
        transfers_[id].ends_with = Errc::kCancelled;
        transfers_[id].cancelled = true;
        queue_.push(now_, CrowdEvent::Kind::kEnded, id, network_.flow(id).generation);
      }
    } else if (const auto* timer = std::get_if<SetTimer>(&action)) {
      node.timer = std::max<Micros>((timer->at.count() - kEpochMs) * 1000, now_);
      if (node.timer_queued < 0 || node.timer < node.timer_queued) {
        node.timer_queued = node.timer;
        queue_.push(node.timer, CrowdEvent::Kind::kTimer, index);
      }
    } else if (auto* message = std::get_if<Send>(&action)) {
      send(index, std::move(*message));
    } else if (const auto* watched = std::get_if<WatchHave>(&action)) {
      const auto target = watched->peer - 1;
      queue_.push(now_ + 2 * network_.latency(index, target), CrowdEvent::Kind::kWatch, index, target);
    } else if (const auto* unwatched = std::get_if<UnwatchHave>(&action)) {
      unwatch(index, unwatched->peer - 1);
    }
  }
}

void CrowdEngine::send(std::uint32_t index, Send message) {
  ++announces_;
  std::uint32_t place = 0;
  if (free_messages_.empty()) {
    place = static_cast<std::uint32_t>(messages_.size());
    messages_.emplace_back();
  } else {
    place = free_messages_.back();
    free_messages_.pop_back();
  }
  auto& kept = messages_[place];
  kept.from = index;
  kept.to = message.peer - 1;
  kept.question = message.question;
  kept.announce = std::move(message.announce);
  const auto there = kept.to == index ? 0 : network_.latency(index, kept.to);
  queue_.push(now_ + there, CrowdEvent::Kind::kMessage, place);
}

void CrowdEngine::deliver(std::uint32_t place) {
  auto& message = messages_[place];
  auto& node = nodes_[message.to];
  auto back = message.to == message.from ? 0 : network_.latency(message.from, message.to);
  if (!node.alive) {
    message.reply = fail(Errc::kTimeout, "no answer");
    back = 1'000'000;
  } else {
    if (node.coordinator == nullptr) {
      node.coordinator = std::make_unique<Coordinator>(options_.coordinator, random_.next(), Time(0));
      coordinators_.push_back(message.to);
    }
    message.reply = node.coordinator->on_announce(time(), message.from + 1, message.announce, view_of(message.to));
  }
  queue_.push(now_ + back, CrowdEvent::Kind::kReply, place);
}

void CrowdEngine::reply(std::uint32_t place) {
  auto& message = messages_[place];
  const auto to = message.from;
  events_.emplace_back(Replied{message.to + 1, std::move(message.reply), message.question});
  free_messages_.push_back(place);
  consult(to);
}

}  // namespace oxbow::p2p::sim
