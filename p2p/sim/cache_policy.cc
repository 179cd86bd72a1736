#include "p2p/sim/cache_policy.h"

#include <iterator>
#include <list>
#include <unordered_map>

#include "core/error.h"

namespace oxbow::p2p::sim {
namespace {

class Lru final : public CachePolicy {
 public:
  void insert(ItemId item) override {
    OXBOW_INVARIANT(!places_.contains(item));
    order_.push_front(item);
    places_.emplace(item, order_.begin());
  }
  void hit(ItemId item) override {
    if (const auto found = places_.find(item); found != places_.end())
      order_.splice(order_.begin(), order_, found->second);
  }
  void resize(ItemId, std::int64_t) override {}
  std::optional<ItemId> victim(const MayEvict& may_evict) override {
    for (auto item = order_.rbegin(); item != order_.rend(); ++item) {
      if (may_evict(*item)) return *item;
    }
    return std::nullopt;
  }
  void evict(ItemId item) override {
    const auto found = places_.find(item);
    OXBOW_INVARIANT(found != places_.end());
    order_.erase(found->second);
    places_.erase(found);
  }

 private:
  std::list<ItemId> order_;  ///< front: used last
  std::unordered_map<ItemId, std::list<ItemId>::iterator> places_;
};

class Sieve final : public CachePolicy {
 public:
  void insert(ItemId item) override {
    OXBOW_INVARIANT(!places_.contains(item));
    queue_.push_front({item, false});
    places_.emplace(item, queue_.begin());
  }
  void hit(ItemId item) override {
    if (const auto found = places_.find(item); found != places_.end()) found->second->visited = true;
  }
  void resize(ItemId, std::int64_t) override {}
  /// The hand goes from the oldest to the newest and round again; who was used is passed once.
  std::optional<ItemId> victim(const MayEvict& may_evict) override {
    for (std::size_t left = 2 * queue_.size(); left > 0; --left) {
      if (hand_ == queue_.end()) hand_ = std::prev(queue_.end());
      if (!hand_->visited && may_evict(hand_->item)) return hand_->item;
      hand_->visited = false;
      step();
    }
    return std::nullopt;
  }
  void evict(ItemId item) override {
    const auto found = places_.find(item);
    OXBOW_INVARIANT(found != places_.end());
    if (hand_ == found->second) step();
    queue_.erase(found->second);
    places_.erase(found);
  }

 private:
  struct Entry {
    ItemId item;
    bool visited;
  };
  /// Towards the newest; beyond it there is nobody, and the hand starts anew.
  void step() { hand_ = hand_ == queue_.begin() ? queue_.end() : std::prev(hand_); }

  std::list<Entry> queue_;  ///< front: newest
  std::list<Entry>::iterator hand_ = queue_.end();
  std::unordered_map<ItemId, std::list<Entry>::iterator> places_;
};

}  // namespace

std::unique_ptr<CachePolicy> make_lru() { return std::make_unique<Lru>(); }
std::unique_ptr<CachePolicy> make_sieve() { return std::make_unique<Sieve>(); }

}  // namespace oxbow::p2p::sim
