#include "mirror/digest_memory.h"

#include <charconv>
#include <future>

namespace oxbow::mirror {
namespace {

std::string table_key(const Digest& digest) { return digest.to_string(); }

DigestMemory::Membership membership_in(const DigestFacts& facts, const RepositoryKey& repository) {
  const auto* place = facts.in(repository);
  return place == nullptr ? DigestMemory::Membership{} : DigestMemory::Membership{true, place->size};
}

}  // namespace

const DigestFacts::Place* DigestFacts::in(const RepositoryKey& repository) const {
  for (const auto& place : places) {
    if (place.repository.registry == repository.registry && place.repository.repository == repository.repository)
      return &place;
  }
  return nullptr;
}

// One line a place: `registry repository size`, size `-` when unknown.
std::string DigestFacts::encode() const {
  std::string out;
  for (const auto& place : places) {
    out += place.repository.text() + ' ' + (place.size ? std::to_string(*place.size) : "-") + '\n';
  }
  return out;
}

DigestFacts DigestFacts::decode(std::string_view text) {
  DigestFacts facts;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    const auto first = line.find(' ');
    const auto second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    if (second == std::string_view::npos) continue;
    Place place{{std::string(line.substr(0, first)), std::string(line.substr(first + 1, second - first - 1))},
                std::nullopt};
    std::uint64_t size = 0;
    const auto number = line.substr(second + 1);
    if (std::from_chars(number.data(), number.data() + number.size(), size).ec == std::errc{}) place.size = size;
    facts.places.push_back(std::move(place));
  }
  return facts;
}

std::optional<DigestFacts> DigestMemory::cached(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  const auto known = by_digest_.find(digest);
  if (known == by_digest_.end()) return std::nullopt;
  recent_.splice(recent_.begin(), recent_, known->second);
  return known->second->second;
}

// The hot path of every request: no copy of the facts.
std::optional<DigestMemory::Membership> DigestMemory::cached_membership(const Digest& digest,
                                                                        const RepositoryKey& repository) {
  const std::lock_guard lock(mutex_);
  const auto known = by_digest_.find(digest);
  if (known == by_digest_.end()) return std::nullopt;
  recent_.splice(recent_.begin(), recent_, known->second);
  return membership_in(known->second->second, repository);
}

Task<DigestMemory::Membership> DigestMemory::membership(Digest digest, const RepositoryKey& repository) {
  if (const auto known = cached_membership(digest, repository)) co_return *known;
  co_return membership_in(co_await recall(digest), repository);
}

void DigestMemory::cache(const Digest& digest, DigestFacts facts) {
  const std::lock_guard lock(mutex_);
  if (const auto known = by_digest_.find(digest); known != by_digest_.end()) {
    known->second->second = std::move(facts);
    recent_.splice(recent_.begin(), recent_, known->second);
    return;
  }
  recent_.emplace_front(digest, std::move(facts));
  by_digest_.emplace(digest, recent_.begin());
  if (recent_.size() > kMaxCached) {
    by_digest_.erase(recent_.back().first);
    recent_.pop_back();
  }
}

Task<DigestFacts> DigestMemory::recall(Digest digest) {
  if (auto facts = cached(digest)) co_return std::move(*facts);
  const auto stored = co_await await_callback<std::optional<std::string>>([this, key = table_key(digest)](auto done) {
    store_.table_get(storage::Table::kRepositories, key, std::move(done));
  });
  auto facts = stored ? DigestFacts::decode(*stored) : DigestFacts{};
  if (stored) cache(digest, facts);
  co_return facts;
}

std::vector<DigestFacts> DigestMemory::look_up(const std::vector<Digest>& digests) {
  std::vector<DigestFacts> out(digests.size());
  std::vector<std::pair<std::size_t, std::future<std::optional<std::string>>>> stored;
  for (std::size_t i = 0; i < digests.size(); ++i) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto known = by_digest_.find(digests[i]); known != by_digest_.end()) {
        out[i] = known->second->second;
        continue;
      }
    }
    auto promise = std::make_shared<std::promise<std::optional<std::string>>>();
    stored.emplace_back(i, promise->get_future());
    store_.table_get(storage::Table::kRepositories, table_key(digests[i]),
                     [promise](std::optional<std::string> row) { promise->set_value(std::move(row)); });
  }
  for (auto& [i, row] : stored) {
    if (const auto text = row.get()) out[i] = DigestFacts::decode(*text);
  }
  return out;
}

Task<> DigestMemory::change(Digest digest, RepositoryKey repository, std::optional<std::uint64_t> size,
                            bool keep_size) {
  auto facts = co_await recall(digest);
  if (const auto* place = facts.in(repository)) {
    if (keep_size && !size) size = place->size;
    if (place->size == size && place == &facts.places.back()) co_return;
    facts.places.erase(facts.places.begin() + (place - facts.places.data()));
  }
  facts.places.push_back({std::move(repository), size});
  if (facts.places.size() > kMaxPlaces) facts.places.erase(facts.places.begin());
  store_.table_put(storage::Table::kRepositories, table_key(digest), facts.encode());
  cache(digest, std::move(facts));
}

Task<> DigestMemory::remember(Digest digest, RepositoryKey repository, std::optional<std::uint64_t> size) {
  return change(digest, std::move(repository), size, true);
}

Task<> DigestMemory::forget_size(Digest digest, RepositoryKey repository) {
  return change(digest, std::move(repository), std::nullopt, false);
}

}  // namespace oxbow::mirror
