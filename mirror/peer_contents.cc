#include "mirror/peer_contents.h"

#include "mirror/stripe_body.h"

namespace oxbow::mirror {
namespace {

class Watch final : public p2p::PeerContent::HaveWatch {
 public:
  explicit Watch(std::shared_ptr<HaveBoard> board) : board_(std::move(board)) {}

  State current() override { return board_->current(); }
  std::optional<std::string> first_hand(std::uint32_t stripe) override { return board_->first_hand(stripe); }
  void on_change(std::function<void()> changed) override { subscription_ = board_->on_change(std::move(changed)); }

 private:
  const std::shared_ptr<HaveBoard> board_;
  std::unique_ptr<storage::Subscription> subscription_;  // before the board
};

}  // namespace

std::optional<p2p::BlobFacts> PeerContents::facts(const Digest& digest, bool with_midstates) {
  const auto blob = blobs_.store().peek(digest);
  if (!blob) return std::nullopt;
  p2p::BlobFacts facts;
  facts.size = blob->geometry().blob_bytes();
  facts.verified = blob->state() == storage::BlobState::kVerified;
  facts.have = have_map(*blob, blobs_.running(*blob).get());
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
  auto fetch = blobs_.running(*blob);
  StripeAnswer answer;
  answer.facts.blob_bytes = blob_bytes;
  answer.facts.offset = offset;
  answer.facts.length = range.size() - offset;
  answer.facts.verified = blob->state() == storage::BlobState::kVerified;
  if (blob->has(stripe) && is_given(fetch.get(), stripe)) {
    if (const auto sum = blob->stripe_checksum(stripe)) answer.facts.checksum_hex = sum->hex();
    fetch = nullptr;
  } else if (!fetch || !fetch->is_arriving(stripe) || !is_given(fetch.get(), stripe)) {
    // Who gave this node the lease of it is not to give it to another as well.
    if (fetch && fetch->is_expected(stripe)) return fail(Errc::kBusy, "it comes from upstream soon");
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
  const auto fetch = blobs_.running(*blob);
  return p2p::slice_around(blob->geometry().stripes(), stripe,
                           [&](auto i) { return blob->has(i) && is_given(fetch.get(), i); });
}

std::unique_ptr<p2p::PeerContent::HaveWatch> PeerContents::watch_have(const Digest& digest) {
  auto blob = blobs_.store().peek(digest);
  if (!blob) return nullptr;
  const std::lock_guard lock(boards_mutex_);
  std::erase_if(boards_, [](const auto& entry) { return entry.second.expired(); });
  auto& known = boards_[blob.get()];
  auto board = known.lock();
  if (!board) known = board = HaveBoard::create(blobs_, std::move(blob));
  board->follow_fetch();
  return std::make_unique<Watch>(std::move(board));
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
