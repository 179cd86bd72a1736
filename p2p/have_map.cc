#include "p2p/have_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/encoding.h"

namespace oxbow::p2p {
namespace {

std::uint64_t bit_of(std::uint32_t stripe) noexcept { return std::uint64_t{1} << (stripe % 64); }

}  // namespace

HaveMap::HaveMap(std::uint32_t stripes, bool all)
    : size_(stripes), count_(all ? stripes : 0), words_((stripes + 63) / 64, all ? ~std::uint64_t{0} : 0) {
  // The bits after the last stripe stay clear, so that equal maps have equal words.
  if (all && stripes % 64 != 0) words_.back() = bit_of(stripes) - 1;
}

void HaveMap::set(std::uint32_t stripe) noexcept {
  if (stripe >= size_ || has(stripe)) return;
  words_[stripe / 64] |= bit_of(stripe);
  ++count_;
}

void HaveMap::clear(std::uint32_t stripe) noexcept {
  if (!has(stripe)) return;
  words_[stripe / 64] &= ~bit_of(stripe);
  --count_;
}

HaveMap HaveMap::slice(std::uint32_t first, std::uint32_t count) const {
  if (first >= size_) return {};
  HaveMap part(std::min(count, size_ - first));
  for (std::uint32_t i = 0; i < part.size(); ++i) {
    if (has(first + i)) part.set(i);
  }
  return part;
}

void HaveMap::changes_since(const HaveMap& before, std::vector<std::uint32_t>& came,
                            std::vector<std::uint32_t>& went) const {
  OXBOW_INVARIANT(before.size_ == size_);
  for (std::uint32_t word = 0; word < words_.size(); ++word) {
    for (auto changed = words_[word] ^ before.words_[word]; changed != 0; changed &= changed - 1) {
      const auto stripe = word * 64 + static_cast<std::uint32_t>(std::countr_zero(changed));
      (has(stripe) ? came : went).push_back(stripe);
    }
  }
}

std::string HaveMap::encode() const {
  if (count_ == 0) return "none";
  if (complete()) return "all";
  std::string bytes((size_ + 7) / 8, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(words_[i / 8] >> (i % 8 * 8) & 0xff);
  return base64_encode(bytes);
}

Result<HaveMap> HaveMap::decode(std::string_view text, std::uint32_t stripes) {
  if (stripes > kMaxStripes) return fail(Errc::kLimit, fmt::format("have map of {} stripes", stripes));
  if (text == "none") return HaveMap(stripes);
  if (text == "all") return HaveMap(stripes, true);
  const std::size_t expected = (stripes + 7) / 8;
  const auto wrong = [&] { return fail(Errc::kInvalid, fmt::format("not a have map of {} stripes", stripes)); };
  if (text.size() > (expected + 2) / 3 * 4) return wrong();
  const auto bytes = base64_decode(text);
  if (!bytes || bytes->size() != expected) return wrong();
  HaveMap map(stripes);
  for (std::size_t i = 0; i < bytes->size(); ++i) {
    const std::uint64_t byte = static_cast<unsigned char>((*bytes)[i]);
    map.words_[i / 8] |= byte << (i % 8 * 8);
  }
  if (stripes % 64 != 0 && (map.words_.back() & ~(bit_of(stripes) - 1)) != 0) return wrong();
  for (const auto word : map.words_) map.count_ += static_cast<std::uint32_t>(std::popcount(word));
  return map;
}

}  // namespace oxbow::p2p
