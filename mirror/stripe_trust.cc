#include "mirror/stripe_trust.h"

#include <algorithm>

namespace oxbow::mirror {
namespace {

/// Lists of different publishers that are kept for the reckoning.
constexpr std::size_t kListsMax = 8;
constexpr std::size_t kWordsMax = 4096;

}  // namespace

std::optional<std::uint32_t> first_difference(const std::vector<std::string>& own,
                                              const std::vector<std::string>& list) {
  const auto common = std::min(own.size(), list.size());
  for (std::size_t i = 0; i < common; ++i) {
    if (own[i] != list[i]) return static_cast<std::uint32_t>(i);
  }
  return std::nullopt;
}

void StripeTrust::keep_first_hand(std::uint32_t stripe, p2p::PeerId publisher, const Checksum& sum) {
  keep({.stripe = stripe, .peer = publisher, .sum = sum, .sent = false, .answers = true, .given = false});
}

/// Once: whoever repeats himself must not crowd out the others.
bool StripeTrust::keep(const Word& word) {
  if (std::ranges::find(words_, word) != words_.end()) return true;
  if (words_.size() >= kWordsMax) return false;
  words_.push_back(word);
  return true;
}

void StripeTrust::note_first_hand(p2p::PeerId publisher, std::uint32_t stripe, const Checksum& sum) {
  const auto [known, added] = first_hand_.try_emplace(stripe, publisher, sum);
  if (added || known->second.second == sum) return;
  // Two say that they have it from upstream, and differ: both words are kept, none is gone by.
  keep_first_hand(stripe, known->second.first, known->second.second);
  keep_first_hand(stripe, publisher, sum);
  first_hand_.erase(known);
}

bool StripeTrust::is_first_hand(p2p::PeerId peer, std::uint32_t stripe) const {
  const auto known = first_hand_.find(stripe);
  if (known != first_hand_.end() && known->second.first == peer) return true;
  return std::ranges::any_of(
      words_, [&](const Word& word) { return !word.sent && word.stripe == stripe && word.peer == peer; });
}

bool StripeTrust::agrees(std::uint32_t stripe, Sender sender, const Checksum& actual,
                         const std::optional<Checksum>& claimed, bool given) {
  const auto known = first_hand_.find(stripe);
  const bool fits_first_hand = known == first_hand_.end() || known->second.second == actual;
  if (fits_first_hand && (!claimed || *claimed == actual)) return true;
  doubt(stripe, sender, actual, given);
  if (!fits_first_hand) {
    keep_first_hand(stripe, known->second.first, known->second.second);
    // Gone by once: if the next copy disagrees too, it is the word that is wrong.
    first_hand_.erase(known);
  }
  return false;
}

void StripeTrust::doubt(std::uint32_t stripe, Sender sender, const Checksum& actual, bool given) {
  const bool kept = keep(
      {.stripe = stripe, .peer = sender.peer, .sum = actual, .sent = true, .answers = sender.answers, .given = given});
  if (!kept && given && std::ranges::find(given_more_, stripe) == given_more_.end()) given_more_.push_back(stripe);
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

bool StripeTrust::add_hint(std::uint32_t stripes, p2p::MidstateList list, bool heard_from_publisher) {
  // A message's list fits the size that the message itself says.
  if (list.states.size() + 1 != stripes) return false;
  const std::lock_guard lock(mutex_);
  if (const auto known = std::ranges::find(lists_, list, &Heard::list); known != lists_.end()) {
    known->from_publisher = known->from_publisher || heard_from_publisher;
    return true;
  }
  if (lists_.size() >= kListsMax) return true;
  lists_.push_back({std::move(list), heard_from_publisher});
  if (!current_ && lists_.size() == 1) current_ = 0;
  return true;
}

bool StripeTrust::has_hint() const {
  const std::lock_guard lock(mutex_);
  return current_.has_value();
}

bool StripeTrust::hint_of_another(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return current_ && std::ranges::any_of(lists_, [&](const Heard& heard) {
           return heard.from_publisher && heard.list.publisher != name &&
                  heard.list.states == lists_[*current_].list.states;
         });
}

std::optional<StripeLink> StripeTrust::hint_link(const Geometry& geometry, std::uint32_t stripe) const {
  const std::lock_guard lock(mutex_);
  return current_ ? link_of(geometry, stripe, lists_[*current_].list.states) : std::nullopt;
}

std::optional<bool> StripeTrust::hint_says(std::uint32_t stripe, std::string_view midstate) const {
  const std::lock_guard lock(mutex_);
  if (!current_ || stripe >= lists_[*current_].list.states.size()) return std::nullopt;
  return lists_[*current_].list.states[stripe] == midstate;
}

void StripeTrust::drop_hint() {
  const std::lock_guard lock(mutex_);
  current_.reset();
}

std::optional<std::uint32_t> StripeTrust::hint_differs(const std::vector<std::string>& own) const {
  const std::lock_guard lock(mutex_);
  return current_ ? first_difference(own, lists_[*current_].list.states) : std::nullopt;
}

std::optional<std::uint32_t> StripeTrust::any_differs(const std::vector<std::string>& own) const {
  std::optional<std::uint32_t> lowest;
  const std::lock_guard lock(mutex_);
  for (const auto& heard : lists_) {
    const auto at = first_difference(own, heard.list.states);
    if (at && (!lowest || *at < *lowest)) lowest = at;
  }
  return lowest;
}

StripeTrust::Verdict StripeTrust::verdict(const storage::Blob& blob) const {
  Verdict out;
  const auto add_to = [](auto& list, const auto& one) {
    if (std::ranges::find(list, one) == list.end()) list.push_back(one);
  };
  const auto wrong = [&blob](std::uint32_t stripe, const Checksum& sum) {
    const auto truth = blob.stripe_checksum(stripe);
    return truth && *truth != sum;
  };
  for (const auto& word : words_) {
    const auto truth = blob.stripe_checksum(word.stripe);
    if (truth && *truth == word.sum) continue;
    // Also where the truth has been evicted meanwhile; but then nobody is blamed.
    if (word.given) add_to(out.replaced, word.stripe);
    if (truth && word.peer != p2p::kNoPeer) add_to(word.answers ? out.senders : out.passed_on, word.peer);
  }
  // Nobody remembers their bytes: whoever got them is cut, and asks again.
  for (const auto stripe : given_more_) add_to(out.replaced, stripe);
  // Also words that nothing spoke against: whoever passed such bytes on went by them too.
  for (const auto& [stripe, said] : first_hand_) {
    if (wrong(stripe, said.second)) add_to(out.senders, said.first);
  }
  const auto states = blob.midstates();
  const std::lock_guard lock(mutex_);
  for (const auto& [list, from_publisher] : lists_) {
    if (first_difference(states, list.states))
      add_to(from_publisher ? out.publishers : out.said_to_publish, list.publisher);
  }
  return out;
}

}  // namespace oxbow::mirror
