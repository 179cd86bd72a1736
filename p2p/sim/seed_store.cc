#include "p2p/sim/seed_store.h"

#include <algorithm>

namespace oxbow::p2p::sim {

SeedStore::SeedStore(std::uint32_t nodes, std::uint32_t keys, std::uint32_t capacity)
    : words_((nodes + 63) / 64), capacity_(capacity), never_evicts_(capacity >= keys), bits_(words_ * keys) {
  if (never_evicts_) return;
  order_.resize(std::size_t{nodes} * capacity);
  used_.resize(nodes);
}

void SeedStore::touch(std::uint32_t node, std::uint32_t key) noexcept {
  if (never_evicts_) return;
  const auto begin = order_.begin() + static_cast<std::ptrdiff_t>(std::size_t{node} * capacity_);
  const auto end = begin + used_[node];
  const auto at = std::find(begin, end, key);
  if (at != end) std::rotate(begin, at, at + 1);
}

void SeedStore::pin(std::uint32_t node, std::uint32_t key) noexcept {
  OXBOW_INVARIANT(!has(node, key));
  bits_[word_of(node, key)] |= 1ULL << (node % 64);
  ++added_;
}

void SeedStore::admit(std::uint32_t node, std::uint32_t key) noexcept {
  pin(node, key);
  if (never_evicts_) return;
  const auto begin = order_.begin() + static_cast<std::ptrdiff_t>(std::size_t{node} * capacity_);
  if (used_[node] == capacity_) {
    const auto victim = begin[capacity_ - 1];
    bits_[word_of(node, victim)] &= ~(1ULL << (node % 64));
    ++evictions_;
  } else {
    ++used_[node];
  }
  std::shift_right(begin, begin + used_[node], 1);
  *begin = key;
}

std::uint32_t SeedStore::copies(std::uint32_t key) const noexcept {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < words_; ++i)
    out += static_cast<std::uint32_t>(std::popcount(bits_[std::size_t{key} * words_ + i]));
  return out;
}

}  // namespace oxbow::p2p::sim
