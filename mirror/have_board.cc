#include "mirror/have_board.h"

namespace oxbow::mirror {

bool is_given(const BlobFetch* fetch, std::uint32_t stripe) {
  return fetch == nullptr || fetch->marks().at(stripe) != StripeMark::kUnchecked;
}

p2p::HaveMap have_map(const storage::Blob& blob, const BlobFetch* fetch) {
  p2p::HaveMap map(blob.geometry().stripes());
  for (std::uint32_t i = 0; i < map.size(); ++i) {
    if (blob.has(i) && is_given(fetch, i)) map.set(i);
  }
  return map;
}

std::shared_ptr<HaveBoard> HaveBoard::create(Blobs& blobs, std::shared_ptr<storage::Blob> blob) {
  std::shared_ptr<HaveBoard> board(new HaveBoard(blobs, std::move(blob)));
  board->of_blob_ = board->blob_->on_progress([board = board.get()] { board->change(); });
  return board;
}

void HaveBoard::follow_fetch() {
  const auto fetch = blobs_.running(*blob_);
  const std::lock_guard lock(mutex_);
  follow(fetch);
}

void HaveBoard::follow(const std::shared_ptr<BlobFetch>& fetch) {
  if (!fetch || fetch == followed_.lock()) return;
  followed_ = fetch;
  of_fetch_ = fetch->on_change([this] { change(); });
}

/// First it is known that the state is old, then somebody is told.
void HaveBoard::change() {
  ++changes_;
  changed_.wake_all();
}

HaveBoard::State HaveBoard::current() {
  const std::lock_guard lock(mutex_);
  const auto changes = changes_.load();
  if (reckoned_ != changes) {
    const auto fetch = blobs_.running(*blob_);
    follow(fetch);  // one may have begun after whoever asks did
    state_ = reckon(fetch.get());
    reckoned_ = changes;
  }
  return state_;
}

HaveBoard::State HaveBoard::reckon(const BlobFetch* fetch) const {
  State state;
  state.have = have_map(*blob_, fetch);
  state.gone = blob_->gone();
  if (fetch == nullptr) return state;
  state.arriving = fetch->arriving();
  std::erase_if(state.arriving, [&](auto stripe) { return state.have.has(stripe) || !is_given(fetch, stripe); });
  return state;
}

std::optional<std::string> HaveBoard::first_hand(std::uint32_t stripe) const {
  const auto fetch = blobs_.running(*blob_);
  if (!fetch || fetch->marks().at(stripe) != StripeMark::kFromUpstream) return std::nullopt;
  const auto sum = blob_->stripe_checksum(stripe);
  return sum ? std::optional(sum->hex()) : std::nullopt;
}

}  // namespace oxbow::mirror
