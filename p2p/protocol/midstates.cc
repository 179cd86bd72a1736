#include "p2p/protocol/midstates.h"

#include "core/encoding.h"
#include "core/geometry.h"

namespace oxbow::p2p {
namespace {

// Chaining values of SHA-256 and SHA-512.
constexpr std::size_t kSha256Bytes = 32;
constexpr std::size_t kSha512Bytes = 64;

constexpr std::size_t bytes_of(Digest::Algorithm algorithm) noexcept {
  return algorithm == Digest::Algorithm::kSha256 ? kSha256Bytes : kSha512Bytes;
}

}  // namespace

Json midstates_json(const MidstateList& list) {
  std::string all;
  const auto state_bytes = list.states.empty() ? kSha256Bytes : list.states.front().size();
  all.reserve(state_bytes * list.states.size());
  for (const auto& state : list.states) all += state;
  return Json{{"publisher", list.publisher}, {"state_bytes", state_bytes}, {"states", base64_encode(all)}};
}

std::optional<MidstateList> read_midstates(Fields& fields, const Json& json, Digest::Algorithm algorithm,
                                           std::uint64_t size) {
  Fields inner(json);
  MidstateList list;
  list.publisher = inner.name("publisher");
  const std::size_t state_bytes = inner.number("state_bytes", kSha512Bytes);
  const auto all = base64_decode(inner.text("states", kMaxMessageBytes));
  const std::size_t count = size == 0 ? 0 : Geometry(size).stripes() - 1;
  if (state_bytes != kSha256Bytes && state_bytes != kSha512Bytes) {
    inner.refuse(Errc::kInvalid, "state_bytes", "neither 32 nor 64");
  } else if (count > 0 && state_bytes != bytes_of(algorithm)) {
    // Without a state there is nothing to be of a wrong length, and a writer of none cannot tell which it would be.
    inner.refuse(Errc::kInvalid, "state_bytes", "not those of the digest's algorithm");
  } else if (!all || all->size() != count * state_bytes) {
    inner.refuse(Errc::kInvalid, "states", "not one for each stripe but the first");
  }
  if (!inner.ok()) {
    fields.note(inner);
    return std::nullopt;
  }
  list.states.reserve(count);
  for (std::size_t i = 0; i < count; ++i) list.states.push_back(all->substr(i * state_bytes, state_bytes));
  return list;
}

}  // namespace oxbow::p2p
