#include "p2p/sim/topology_bursts.h"

#include <algorithm>

#include "core/error.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::uint32_t kReaderProbes = 4;  ///< holders that a client of the ring with readers asks in a step
constexpr std::uint32_t kCoordinatorMessages = 2;

std::uint64_t pair_of(std::uint32_t key, std::uint32_t client) { return (std::uint64_t{key} << 32U) | client; }

}  // namespace

TopologyBursts::TopologyBursts(TopologyKind kind, const TopologyPlacement& placement, const Popularity& popularity,
                               const TopologyOptions& options, std::uint32_t clients, std::uint64_t seed)
    : kind_(kind),
      placement_(placement),
      popularity_(popularity),
      options_(options),
      clients_(clients),
      random_(seed),
      room_(placement.servers()),
      taken_(placement.servers()),
      readers_(readers_serve() ? options.keys : 0),
      filled_(options.keys) {
  counts_.served.resize(placement.servers());
}

bool TopologyBursts::has(std::uint32_t client, std::uint32_t key) const {
  return clients_serve() && (std::ranges::find(placement_.holders(key), client) != placement_.holders(key).end() ||
                             reader_of_.contains(pair_of(key, client)));
}

void TopologyBursts::serve(Request& request, std::uint32_t server, std::uint64_t in_step) {
  ++counts_.served[server];
  ++taken_[server];
  counts_.steps_waited += in_step;
  steps_ = std::max(steps_, in_step);
  counts_.hops.push_back(2.0 * request.asked);
}

/// The holders of the key from a random one on, each once; where all are full, the end of the shortest queue.
void TopologyBursts::queue_up(Request& request) {
  const auto holders = placement_.holders(request.key);
  const auto first = random_.below(static_cast<std::uint32_t>(holders.size()));
  std::uint32_t shortest = holders[first];
  for (std::uint32_t i = 0; i < holders.size(); ++i) {
    const auto server = holders[(first + i) % holders.size()];
    ++request.asked;
    counts_.messages += 2;
    if (taken_[server] < options_.work) return serve(request, server, 1);
    if (taken_[server] < taken_[shortest]) shortest = server;
  }
  serve(request, shortest, taken_[shortest] / options_.work + 1);
}

/// A few of all who hold the key: the ranked ones, and who has read it before this step.
bool TopologyBursts::ask_readers(Request& request) {
  const auto ranked = placement_.holders(request.key);
  const auto& readers = readers_[request.key];
  const auto copies = static_cast<std::uint32_t>(ranked.size());
  const auto all = copies + static_cast<std::uint32_t>(readers.size());
  for (std::uint32_t i = 0; i < std::min(all, kReaderProbes); ++i) {
    const auto which = random_.below(all);
    const auto server = which < copies ? ranked[which] : readers[which - copies];
    ++request.asked;
    counts_.messages += 2;
    if (room_[server] == 0) continue;
    --room_[server];
    serve(request, server, steps_);
    new_readers_.push_back(request);
    return true;
  }
  return false;
}

void TopologyBursts::spread(std::vector<Request>& waiting) {
  while (!waiting.empty()) {
    ++steps_;
    std::ranges::fill(room_, options_.work);
    std::erase_if(waiting, [this](Request& request) { return ask_readers(request); });
    for (const auto& request : new_readers_) {
      reader_of_.insert(pair_of(request.key, request.client));
      readers_[request.key].push_back(request.client);
    }
    new_readers_.clear();
  }
}

void TopologyBursts::burst() {
  std::vector<Request> waiting;
  std::ranges::fill(taken_, 0);
  steps_ = 0;
  const auto answered_before = counts_.hops.size();
  for (std::uint32_t client = 0; client < clients_; ++client) {
    const Request request{client, popularity_.draw(random_)};
    ++counts_.requests;
    if (!filled_[request.key]) {
      filled_[request.key] = true;
      counts_.fills += placement_.copies();
    }
    if (has(client, request.key)) {
      ++counts_.own;
      counts_.hops.push_back(0);
      continue;
    }
    if (readers_serve()) counts_.messages += kCoordinatorMessages;
    waiting.push_back(request);
  }
  for (auto i = static_cast<std::uint32_t>(waiting.size()); i > 1; --i)
    std::swap(waiting[i - 1], waiting[random_.below(i)]);
  if (readers_serve()) {
    spread(waiting);
  } else {
    for (auto& request : waiting) queue_up(request);
  }
  counts_.steps += steps_;
  counts_.work_max += *std::ranges::max_element(taken_);
  OXBOW_INVARIANT(counts_.hops.size() - answered_before == clients_);
}

}  // namespace oxbow::p2p::sim
