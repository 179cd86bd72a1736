#include "mirror/stripe_trust.h"

#include <algorithm>

namespace oxbow::mirror {
namespace {

/// Lists of different publishers that are kept for the reckoning.
constexpr std::size_t kListsMax = 8;
constexpr std::size_t kWordsMax = 4096;

std::optional<std::uint32_t> first_difference(const std::vector<std::string>& own,
                                              const std::vector<std::string>& list) {
  const auto common = std::min(own.size(), list.size());
  for (std::size_t i = 0; i < common; ++i) {
    if (own[i] != list[i]) return static_cast<std::uint32_t>(i);
  }
  return std::nullopt;
}

}  // namespace

/// Once: whoever repeats himself must not crowd out the others.
void StripeTrust::keep(const Word& word) {
  if (words_.size() < kWordsMax && std::ranges::find(words_, word) == words_.end()) words_.push_back(word);
}

void StripeTrust::note_first_hand(p2p::PeerId publisher, std::uint32_t stripe, const Checksum& sum) {
  const auto [known, added] = first_hand_.try_emplace(stripe, publisher, sum);
  if (added || known->second.second == sum) return;
  // Two say that they have it from upstream, and differ: both words are kept, none is gone by.
  keep({stripe, known->second.first, known->second.second, false, false});
  keep({stripe, publisher, sum, false, false});
  first_hand_.erase(known);
}

bool StripeTrust::agrees(std::uint32_t stripe, p2p::PeerId sender, const Checksum& actual,
                         const std::optional<Checksum>& claimed, bool given) {
  const auto known = first_hand_.find(stripe);
  const bool fits_first_hand = known == first_hand_.end() || known->second.second == actual;
  if (fits_first_hand && (!claimed || *claimed == actual)) return true;
  doubt(stripe, sender, actual, given);
  if (!fits_first_hand) {
    keep({stripe, known->second.first, known->second.second, false, false});
    // Gone by once: if the next copy disagrees too, it is the word that is wrong.
    first_hand_.erase(known);
  }
  return false;
}

void StripeTrust::doubt(std::uint32_t stripe, p2p::PeerId sender, const Checksum& actual, bool given) {
  keep({stripe, sender, actual, true, given});
}

bool StripeTrust::doubted(std::uint32_t stripe, p2p::PeerId sender) const {
  return std::ranges::any_of(
      words_, [&](const Word& word) { return word.sent && word.stripe == stripe && word.peer == sender; });
}

bool StripeTrust::seconded(std::uint32_t stripe, p2p::PeerId sender, const Checksum& actual) const {
  return std::ranges::any_of(words_, [&](const Word& word) {
    return word.sent && word.stripe == stripe && word.peer != p2p::kNoPeer && word.peer != sender && word.sum == actual;
  });
}

void StripeTrust::add_hint(p2p::MidstateList list) {
  const std::lock_guard lock(mutex_);
  if (lists_.size() >= kListsMax || std::ranges::find(lists_, list) != lists_.end()) return;
  lists_.push_back(std::move(list));
  if (!current_ && lists_.size() == 1) current_ = 0;
}

bool StripeTrust::has_hint() const {
  const std::lock_guard lock(mutex_);
  return current_.has_value();
}

bool StripeTrust::hint_of_another(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return current_ && std::ranges::any_of(lists_, [&](const p2p::MidstateList& list) {
           return list.publisher != name && list.states == lists_[*current_].states;
         });
}

std::optional<StripeLink> StripeTrust::hint_link(const Geometry& geometry, std::uint32_t stripe) const {
  const std::lock_guard lock(mutex_);
  return current_ ? link_of(geometry, stripe, lists_[*current_].states) : std::nullopt;
}

std::optional<bool> StripeTrust::hint_says(std::uint32_t stripe, std::string_view midstate) const {
  const std::lock_guard lock(mutex_);
  if (!current_ || stripe >= lists_[*current_].states.size()) return std::nullopt;
  return lists_[*current_].states[stripe] == midstate;
}

void StripeTrust::drop_hint() {
  const std::lock_guard lock(mutex_);
  current_.reset();
}

std::optional<std::uint32_t> StripeTrust::hint_differs(const std::vector<std::string>& own) const {
  const std::lock_guard lock(mutex_);
  return current_ ? first_difference(own, lists_[*current_].states) : std::nullopt;
}

std::optional<std::uint32_t> StripeTrust::any_differs(const std::vector<std::string>& own) const {
  std::optional<std::uint32_t> lowest;
  const std::lock_guard lock(mutex_);
  for (const auto& list : lists_) {
    const auto at = first_difference(own, list.states);
    if (at && (!lowest || *at < *lowest)) lowest = at;
  }
  return lowest;
}

StripeTrust::Verdict StripeTrust::verdict(const storage::Blob& blob) const {
  Verdict out;
  for (const auto& word : words_) {
    const auto truth = blob.stripe_checksum(word.stripe);
    if (!truth || *truth == word.sum) continue;
    if (word.peer != p2p::kNoPeer && std::ranges::find(out.senders, word.peer) == out.senders.end())
      out.senders.push_back(word.peer);
    if (word.given && std::ranges::find(out.replaced, word.stripe) == out.replaced.end())
      out.replaced.push_back(word.stripe);
  }
  const auto states = blob.midstates();
  const std::lock_guard lock(mutex_);
  for (const auto& list : lists_) {
    if (first_difference(states, list.states) &&
        std::ranges::find(out.publishers, list.publisher) == out.publishers.end())
      out.publishers.push_back(list.publisher);
  }
  return out;
}

}  // namespace oxbow::mirror
