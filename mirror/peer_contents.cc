#include "mirror/peer_contents.h"

#include "mirror/stripe_body.h"

namespace oxbow::mirror {
namespace {

bool is_given(const BlobFetch* fetch, std::uint32_t stripe) {
  return fetch == nullptr || fetch->marks().at(stripe) != StripeMark::kUnchecked;
}

class Watch final : public p2p::PeerContent::HaveWatch {
 public:
  Watch(Blobs& blobs, std::shared_ptr<storage::Blob> blob) : blobs_(blobs), blob_(std::move(blob)) {}

  State current() override {
    const auto fetch = blobs_.running(blob_->digest());
    State state;
    state.have = have_map(*blob_, fetch.get());
    state.gone = blob_->gone();
    if (!fetch) return state;
    state.arriving = fetch->arriving();
    std::erase_if(state.arriving,
                  [&](auto stripe) { return state.have.has(stripe) || !is_given(fetch.get(), stripe); });
    return state;
  }

  std::optional<std::string> first_hand(std::uint32_t stripe) override {
    const auto fetch = blobs_.running(blob_->digest());
    if (!fetch || fetch->marks().at(stripe) != StripeMark::kFromUpstream) return std::nullopt;
    const auto sum = blob_->stripe_checksum(stripe);
    return sum ? std::optional(sum->hex()) : std::nullopt;
  }

  void on_change(std::function<void()> changed) override {
    // What is checked, and what stops arriving, the fetch knows.
    if (const auto fetch = blobs_.running(blob_->digest())) of_fetch_ = fetch->on_change(changed);
    subscription_ = blob_->on_progress(std::move(changed));
  }

 private:
  Blobs& blobs_;
  std::shared_ptr<storage::Blob> blob_;
  std::unique_ptr<storage::Subscription> subscription_;
  std::unique_ptr<storage::Subscription> of_fetch_;
};

}  // namespace

p2p::HaveMap have_map(const storage::Blob& blob, const BlobFetch* fetch) {
  p2p::HaveMap map(blob.geometry().stripes());
  for (std::uint32_t i = 0; i < map.size(); ++i) {
    if (blob.has(i) && is_given(fetch, i)) map.set(i);
  }
  return map;
}

std::optional<p2p::BlobFacts> PeerContents::facts(const Digest& digest, bool with_midstates) {
  const auto blob = blobs_.store().peek(digest);
  if (!blob) return std::nullopt;
  p2p::BlobFacts facts;
  facts.size = blob->geometry().blob_bytes();
  facts.verified = blob->state() == storage::BlobState::kVerified;
  facts.have = have_map(*blob, blobs_.running(digest).get());
  if (with_midstates && facts.verified) facts.midstates = p2p::MidstateList{name_, blob->midstates()};
  return facts;
}

Result<p2p::PeerContent::StripeAnswer> PeerContents::stripe(const Digest& digest, std::uint64_t blob_bytes,
                                                            std::uint32_t stripe, std::uint64_t offset, Loop& loop) {
  auto blob = blobs_.store().lookup(digest);
  if (!blob) return fail(Errc::kNotFound, "this node does not know the blob");
  const auto& geometry = blob->geometry();
  if (geometry.blob_bytes() != blob_bytes)
    return fail(Errc::kInvalid, fmt::format("the blob has {} bytes here", geometry.blob_bytes()));
  if (stripe >= geometry.stripes() || offset >= geometry.stripe(stripe).size())
    return fail(Errc::kInvalid, "the stripe lies outside the blob");
  const auto range = geometry.stripe(stripe);
  auto fetch = blobs_.running(digest);
  StripeAnswer answer;
  answer.facts.blob_bytes = blob_bytes;
  answer.facts.offset = offset;
  answer.facts.length = range.size() - offset;
  answer.facts.verified = blob->state() == storage::BlobState::kVerified;
  if (blob->has(stripe) && is_given(fetch.get(), stripe)) {
    if (const auto sum = blob->stripe_checksum(stripe)) answer.facts.checksum_hex = sum->hex();
    fetch = nullptr;
  } else if (!fetch || !fetch->is_arriving(stripe) || !is_given(fetch.get(), stripe)) {
    return fail(Errc::kNotFound, "the stripe is not here");
  }
  answer.body =
      std::make_unique<StripeBody>(std::move(blob), std::move(fetch), ByteRange{range.begin + offset, range.end}, loop);
  return answer;
}

std::optional<p2p::HaveSlice> PeerContents::have_around(const Digest& digest, std::uint64_t blob_bytes,
                                                        std::uint32_t stripe) {
  const auto blob = blobs_.store().peek(digest);
  if (!blob || blob->geometry().blob_bytes() != blob_bytes) return std::nullopt;
  const auto fetch = blobs_.running(digest);
  return p2p::slice_around(blob->geometry().stripes(), stripe,
                           [&](auto i) { return blob->has(i) && is_given(fetch.get(), i); });
}

std::unique_ptr<p2p::PeerContent::HaveWatch> PeerContents::watch_have(const Digest& digest) {
  auto blob = blobs_.store().peek(digest);
  if (!blob) return nullptr;
  return std::make_unique<Watch>(blobs_, std::move(blob));
}

Task<Result<p2p::KnownFacts>> PeerContents::known(std::string registry, std::string repository, std::string reference,
                                                  bool may_ask) {
  if (knowledge_ == nullptr) co_return fail(Errc::kNotFound, "nothing is known here");
  co_return co_await knowledge_->known(std::move(registry), std::move(repository), std::move(reference), may_ask);
}

Task<p2p::PeerContent::SmallAnswer> PeerContents::small(Digest digest) {
  if (knowledge_ == nullptr) co_return SmallAnswer{};
  const auto body = co_await knowledge_->small(digest);
  if (body == nullptr) co_return SmallAnswer{};
  co_return SmallAnswer{std::shared_ptr<const std::string>(body, &body->bytes), body->media_type};
}

}  // namespace oxbow::mirror
