// The simulated cluster's bytes: transfers, upload slots, links that share, have streams, and the faults that cut them.
#include <fmt/format.h>

#include <algorithm>

#include "node.h"

namespace oxbow::p2p::test {

Load Cluster::load_of(const Node& node) const {
  return {static_cast<std::uint32_t>(node.serving.size()), options_.upload_slots,
          static_cast<std::uint32_t>(node.waiting.size())};
}

void Cluster::start_fetch(std::uint32_t index, const Fetch& fetch) {
  auto& node = *nodes_[index];
  for (auto stripe = fetch.stripes.begin; stripe < fetch.stripes.end; ++stripe) {
    if (node.have.has(stripe)) violations_.push_back(fmt::format("{} asks for stripe {} that it has", index, stripe));
    for (const auto& [id, other] : node.transfers) {
      const bool covers = !other->cancelled && stripe >= other->stripe && stripe < other->stripes.end;
      if (covers && !fetch.hedge_of)
        violations_.push_back(
            fmt::format("{:.0f} {} assigns stripe {} twice ({} and {})", now_, index, stripe, id, fetch.id));
    }
  }
  auto transfer = std::make_unique<Transfer>();
  transfer->id = fetch.id;
  transfer->to = index;
  transfer->from = fetch.source == kUpstream ? -1 : static_cast<int>(fetch.source) - 1;
  transfer->stripes = fetch.stripes;
  transfer->stripe = fetch.stripes.begin;
  transfer->last_byte = now_;
  transfer->along = fetch.along;
  if (transfer->along && transfer->along->client == kNoPeer) transfer->along->client = index + 1;
  if (fetch.hedge_of) {
    ++hedges_;
    transfer->hedge_of = *fetch.hedge_of;
    if (transfer->from < 0) violations_.push_back("a hedge at upstream");
    if (const auto first = node.transfers.find(*fetch.hedge_of); first != node.transfers.end())
      transfer->offset = first->second->offset;
  }
  node.transfers.emplace(fetch.id, std::move(transfer));
  later(fetch.source == kUpstream ? options_.upstream_latency_ms : hop(),
        [this, index, id = fetch.id] { request(index, id); });
  if (fetch.along) expect_head(index, fetch.id, fetch.along->deadline);
}

void Cluster::expect_head(std::uint32_t index, FetchId id, std::chrono::milliseconds deadline) {
  auto& asked = *nodes_[index]->transfers.at(id);
  asked.asked_at = now_;
  later(static_cast<double>(deadline.count()), [this, index, id, asked_at = now_] {
    const auto late = nodes_[index]->transfers.find(id);
    // A forward's number is its stripe's, and may be in use again.
    if (late != nodes_[index]->transfers.end() && late->second->asked_at == asked_at &&
        late->second->state != Transfer::State::kFlowing)
      end_fetch(index, id, fail(Errc::kTimeout, "no answer"));
  });
}

void Cluster::refuse(std::uint32_t index, FetchId id, Errc code, bool lease) {
  later(hop(), [this, index, id, code, lease] { end_fetch(index, id, fail(code, "refused"), lease); });
}

/// As the daemon's requests do by themselves.
void Cluster::limit_upstream(std::uint32_t index, FetchId id) {
  later(1'000, [this, index, id] {
    const auto found = nodes_[index]->transfers.find(id);
    if (found == nodes_[index]->transfers.end()) return;
    if (now_ - found->second->last_byte < options_.upstream_limit_ms) return limit_upstream(index, id);
    end_fetch(index, id, fail(Errc::kTimeout, "no byte came for too long"));
  });
}

/// The request has come to the source.
void Cluster::request(std::uint32_t index, FetchId id) {
  const auto found = nodes_[index]->transfers.find(id);
  if (found == nodes_[index]->transfers.end()) return;
  auto& transfer = *found->second;
  if (transfer.from < 0) {
    if (upstream_down_) return refuse(index, id, Errc::kUnavailable);
    transfer.state = Transfer::State::kFlowing;
    flowing_.push_back(&transfer);
    have_changed(index);
    limit_upstream(index, id);
    return wake(std::exchange(transfer.waiters, {}));
  }
  if (transfer.from == static_cast<int>(index)) return own_turn(index, id);
  const auto from = static_cast<std::uint32_t>(transfer.from);
  auto& source = *nodes_[from];
  if (!source.alive) return refuse(index, id, Errc::kUnavailable);
  if (!reach(index, from)) return;  // silence
  if (source.watermark(transfer.stripe, 1) < 0) {
    const auto* expected = transfer.along ? nullptr : source.coming(transfer.stripe);
    if (expected != nullptr && expected->from < 0 && now_ - expected->last_byte < 3'000)
      return refuse(index, id, Errc::kBusy);
    if (!transfer.along) return refuse(index, id, Errc::kNotFound);
    if (source.watermark_along(transfer.stripe, 1) < 0) return pass_on(index, id);
    if (auto* coming = source.coming(transfer.stripe); coming->forward && now_ - coming->last_byte >= 1'000) {
      // It comes no further: whoever asks again ends it.
      end_fetch(from, coming->id, fail(Errc::kTimeout, "stalled"));
      return request(index, id);
    }
  }
  if (may_serve(source, transfer)) return serve(transfer);
  const bool in_vain = source.serving.size() < options_.upload_slots && !is_its_turn(source, transfer);
  if (in_vain || source.waiting.size() >= options_.upload_waiting) {
    return turn_away(from, index, id);
  }
  transfer.state = Transfer::State::kWaiting;
  source.waiting.push_back(&transfer);
  later(options_.slot_wait_ms, [this, index, id, from] {
    const auto still = nodes_[index]->transfers.find(id);
    if (still == nodes_[index]->transfers.end() || still->second->state != Transfer::State::kWaiting) return;
    std::erase(nodes_[from]->waiting, still->second.get());
    still->second->state = Transfer::State::kAsked;
    turn_away(from, index, id);
  });
}

void Cluster::turn_away(std::uint32_t source, std::uint32_t asker, FetchId id) {
  ++busy_;
  tell_load(source, asker);
  refuse(asker, id, Errc::kBusy);
}

void Cluster::serve(Transfer& transfer) {
  auto& source = *nodes_[static_cast<std::uint32_t>(transfer.from)];
  transfer.state = Transfer::State::kFlowing;
  source.serving.push_back(&transfer);
  flowing_.push_back(&transfer);
  transfer.served_at = now_;
  tell_load(source.index, transfer.to);
  if (transfer.holder != kNoPeer)
    nodes_[transfer.to]->owner.given(Time(static_cast<std::int64_t>(now_)), digest_, transfer.stripe, transfer.holder);
  wake(std::exchange(transfer.waiters, {}));
}

/// It rides on the answer's head.
void Cluster::tell_load(std::uint32_t of, std::uint32_t to) {
  HaveUpdate update;
  update.load = load_of(*nodes_[of]);
  later(hop(), [this, of, to, update] { tell(to, HaveChanged{of + 1, update}); });
}

bool Cluster::is_its_turn(const Node& source, const Transfer& transfer) const {
  if (transfer.along || geometry_.stripes() > options_.in_turn_stripes) return true;
  return std::ranges::none_of(source.serving, [&](const Transfer* one) {
    return one->stripe == transfer.stripe && now_ - one->served_at < options_.turn_ms;
  });
}

bool Cluster::may_serve(const Node& source, const Transfer& transfer) const {
  if (source.serving.size() >= options_.upload_slots) return false;
  const auto same = std::ranges::count(source.serving, transfer.stripe, &Transfer::stripe);
  if (!is_its_turn(source, transfer)) return false;
  return transfer.along.has_value() || same < static_cast<std::ptrdiff_t>(options_.same_stripe);
}

void Cluster::serve_next(std::uint32_t from) {
  auto& source = *nodes_[from];
  while (true) {
    const auto next =
        std::ranges::find_if(source.waiting, [&](const Transfer* one) { return may_serve(source, *one); });
    if (next == source.waiting.end()) return;
    auto* transfer = *next;
    source.waiting.erase(next);
    serve(*transfer);
  }
}

void Cluster::end_fetch(std::uint32_t index, FetchId id, Result<> outcome, bool lease) {
  auto& node = *nodes_[index];
  const auto found = node.transfers.find(id);
  if (found == node.transfers.end()) return;
  auto* transfer = found->second.get();
  std::erase(flowing_, transfer);
  const auto from = transfer->from;
  const auto hedge_of = transfer->hedge_of;
  if (from >= 0) {
    auto& source = *nodes_[static_cast<std::uint32_t>(from)];
    std::erase(source.serving, transfer);
    std::erase(source.waiting, transfer);
  }
  const auto keep = std::move(found->second);
  node.transfers.erase(found);
  if (from >= 0) serve_next(static_cast<std::uint32_t>(from));
  if (from < 0) have_changed(index);
  const bool good = outcome.has_value();
  forward_ended(index, *keep, outcome, lease);
  if (!keep->forward) tell(index, FetchEnded{id, std::move(outcome), {}, lease});
  if (good) {
    // The first of a pair to complete ends the other.
    std::vector<FetchId> others;
    for (const auto& [other_id, other] : node.transfers) {
      if (other->hedge_of == id || (hedge_of != 0 && other_id == hedge_of)) others.push_back(other_id);
    }
    for (const auto other : others) end_fetch(index, other, fail(Errc::kCancelled, "the other was first"));
  }
  pump(index);
}

void Cluster::watch(std::uint32_t index, std::uint32_t target) {
  auto& node = *nodes_[target];
  const auto ended = [&](Errc code) {
    later(hop(), [this, index, target, code] {
      tell(index, HaveEnded{target + 1, Error(code, "stream")});
      pump(index);
    });
  };
  if (!node.alive) return ended(Errc::kUnavailable);
  if (!reach(index, target)) return;
  if (node.started < 0 && node.have.count() == 0) return ended(Errc::kNotFound);
  std::erase_if(node.watchers, [index](const auto& one) { return one.node == index; });
  node.watchers.push_back({index, HaveMap(geometry_.stripes()), {}, true});
  have_changed(target);
}

void Cluster::have_changed(std::uint32_t index) {
  auto& node = *nodes_[index];
  if (node.have_dirty) return;
  node.have_dirty = true;
  later(0.2, [this, index] { flush_have(index); });
}

void Cluster::flush_have(std::uint32_t index) {
  auto& node = *nodes_[index];
  node.have_dirty = false;
  const auto arriving = node.arriving();
  for (auto& watcher : node.watchers) {
    if (!reach(index, watcher.node)) continue;
    HaveUpdate update;
    if (watcher.first) update.map = node.have;
    std::vector<std::uint32_t> lost;
    if (!watcher.first) node.have.changes_since(watcher.sent, update.have, lost);
    for (const auto stripe : arriving) {
      if (std::ranges::find(watcher.arriving, stripe) == watcher.arriving.end()) update.arriving.push_back(stripe);
    }
    for (const auto stripe : watcher.arriving) {
      if (std::ranges::find(arriving, stripe) == arriving.end() && !node.have.has(stripe))
        update.lost.push_back(stripe);
    }
    if (!watcher.first && update.have.empty() && update.arriving.empty() && update.lost.empty()) continue;
    watcher.first = false;
    watcher.sent = node.have;
    watcher.arriving = arriving;
    update.load = load_of(node);
    later(hop(),
          [this, to = watcher.node, index, update = std::move(update)] { tell(to, HaveChanged{index + 1, update}); });
  }
}

/// Links share their capacity: rounds of equal shares, so that what one flow cannot use goes to the others.
void Cluster::move(double ms) {
  const auto count = nodes_.size();
  std::vector<double> up(count);
  std::vector<double> down(count);
  for (std::size_t i = 0; i < count; ++i) {
    up[i] = nodes_[i]->up * ms / 1000;
    down[i] = nodes_[i]->down * ms / 1000;
  }
  double upstream = options_.upstream * ms / 1000;
  std::vector<double> room(flowing_.size());
  for (std::size_t i = 0; i < flowing_.size(); ++i) {
    auto& flow = *flowing_[i];
    flow.rate = 0;
    const auto& to = *nodes_[flow.to];
    double whole = 0;
    for (auto stripe = flow.stripe; stripe < flow.stripes.end; ++stripe)
      whole += static_cast<double>(geometry_.stripe(stripe).size());
    room[i] = whole - flow.offset;
    if (flow.from < 0) {
      if (to.upstream_stalled || upstream_down_ || to.hung) room[i] = 0;
      if (options_.upstream_connection > 0) room[i] = std::min(room[i], options_.upstream_connection * ms / 1000);
      continue;
    }
    const auto from = static_cast<std::uint32_t>(flow.from);
    const auto size = static_cast<double>(geometry_.stripe(flow.stripe).size());
    const auto there =
        flow.along ? nodes_[from]->watermark_along(flow.stripe, size) : nodes_[from]->watermark(flow.stripe, size);
    room[i] = reach(from, flow.to) ? std::max(0.0, std::min(room[i], there - flow.offset)) : 0;
  }
  std::vector<std::uint32_t> ups(count);
  std::vector<std::uint32_t> downs(count);
  for (int round = 0; round < 4; ++round) {
    std::ranges::fill(ups, 0U);
    std::ranges::fill(downs, 0U);
    std::uint32_t upstreams = 0;
    for (std::size_t i = 0; i < flowing_.size(); ++i) {
      if (room[i] <= 0.5) continue;
      ++downs[flowing_[i]->to];
      ++(flowing_[i]->from < 0 ? upstreams : ups[static_cast<std::size_t>(flowing_[i]->from)]);
    }
    auto up_share = up;
    auto down_share = down;
    for (std::size_t i = 0; i < count; ++i) {
      up_share[i] /= std::max(ups[i], 1U);
      down_share[i] /= std::max(downs[i], 1U);
    }
    const double upstream_share = upstream / std::max(upstreams, 1U);
    for (std::size_t i = 0; i < flowing_.size(); ++i) {
      if (room[i] <= 0.5) continue;
      auto& flow = *flowing_[i];
      const double source = flow.from < 0 ? upstream_share : up_share[static_cast<std::size_t>(flow.from)];
      const double bytes = std::min({room[i], source, down_share[flow.to]});
      flow.rate += bytes;
      room[i] -= bytes;
      down[flow.to] -= bytes;
      (flow.from < 0 ? upstream : up[static_cast<std::size_t>(flow.from)]) -= bytes;
    }
  }
  const auto flows = flowing_;
  for (auto* flow : flows) {
    if (std::ranges::find(flowing_, flow) == flowing_.end() || flow->rate <= 0) continue;
    flow->offset += flow->rate;
    flow->bytes += flow->rate;
    flow->last_byte = now_;
    moved_bytes_ += flow->rate;
    if (flow->from < 0) {
      upstream_bytes_ += flow->rate;
      nodes_[flow->to]->upstream_bytes += flow->rate;
    } else {
      nodes_[static_cast<std::size_t>(flow->from)]->sent += static_cast<std::uint64_t>(flow->rate);
    }
    arrived(*flow);
  }
}

void Cluster::arrived(Transfer& transfer) {
  const auto index = transfer.to;
  const auto id = transfer.id;
  auto& node = *nodes_[index];
  for (;;) {
    const auto found = node.transfers.find(id);
    if (found == node.transfers.end()) return;
    auto& flow = *found->second;
    const auto size = static_cast<double>(geometry_.stripe(flow.stripe).size());
    if (flow.offset < size - 0.5) return;
    const auto stripe = flow.stripe;
    flow.offset = std::max(0.0, flow.offset - size);
    ++flow.stripe;
    if (node.have.has(stripe)) {
      violations_.push_back(fmt::format("stripe {} delivered twice to {}", stripe, index));
    } else {
      node.have.set(stripe);
      if (flow.from >= 0) ++nodes_[static_cast<std::size_t>(flow.from)]->given;
    }
    have_changed(index);
    tell(index, StripeArrived{flow.forward ? 0 : id, stripe});
    if (flow.stripe >= flow.stripes.end) {
      end_fetch(index, id, {});
      return;
    }
    pump(index);
  }
}

// ---- faults ----

void Cluster::kill(std::uint32_t index) {
  auto& node = *nodes_[index];
  node.alive = false;
  for (auto& [id, transfer] : node.transfers) {
    std::erase(flowing_, transfer.get());
    if (transfer->from < 0) continue;
    const auto from = static_cast<std::uint32_t>(transfer->from);
    std::erase(nodes_[from]->serving, transfer.get());
    std::erase(nodes_[from]->waiting, transfer.get());
    serve_next(from);
  }
  node.transfers.clear();
  for (auto& other : nodes_) std::erase_if(other->watchers, [index](const auto& one) { return one.node == index; });
  for (auto& other : nodes_) {
    for (auto& [id, transfer] : other->transfers) {
      if (transfer->from == static_cast<int>(index))
        later(hop(), [this, to = other->index, id] { end_fetch(to, id, fail(Errc::kUnavailable, "killed")); });
    }
  }
  for (const auto& watcher : node.watchers) {
    later(hop(), [this, to = watcher.node, index] {
      tell(to, HaveEnded{index + 1, Error(Errc::kUnavailable, "killed")});
      pump(to);
    });
  }
  node.watchers.clear();
  open_circuit(index, 20, 1'000);
}

void Cluster::hang(std::uint32_t node, bool noticed) {
  nodes_[node]->hung = true;
  if (!noticed) return;
  open_circuit(node, 1'200, 1'000);
}

void Cluster::open_circuit(std::uint32_t node, double after_ms, double for_ms) {
  later(after_ms, [this, node] { set_state(node, PeerState::kCircuitOpen); });
  later(after_ms + for_ms, [this, node, after_ms, for_ms] {
    set_state(node, PeerState::kEligible);
    open_circuit(node, after_ms, std::min(2 * for_ms, 30'000.0));
  });
}
void Cluster::stall_upstream(std::uint32_t node) { nodes_[node]->upstream_stalled = true; }
void Cluster::set_group(std::uint32_t node, std::uint32_t group) { nodes_[node]->group = group; }
void Cluster::upstream_down(bool down) { upstream_down_ = down; }
void Cluster::slow(std::uint32_t node, double factor) {
  nodes_[node]->up = options_.up / factor;
  nodes_[node]->down = options_.down / factor;
}

}  // namespace oxbow::p2p::test
