// What the peers that follow a blob are told, reckoned once for all of them: a map of a blob of 90,000 stripes costs a
// tenth of a millisecond, and 32 neighbours ask for it at each change.
// Thread rule: any thread. Lifetime: shared by the watches of the blob.
#pragma once

#include <memory>
#include <mutex>

#include "mirror/blobs.h"
#include "p2p/peer_content.h"

namespace oxbow::mirror {

/// Whether a stripe that is here may be given to others.
bool is_given(const BlobFetch* fetch, std::uint32_t stripe);
/// Which stripes of a blob may be given to others.
p2p::HaveMap have_map(const storage::Blob& blob, const BlobFetch* fetch);

class HaveBoard {
 public:
  using State = p2p::PeerContent::HaveWatch::State;

  static std::shared_ptr<HaveBoard> create(Blobs& blobs, std::shared_ptr<storage::Blob> blob);

  /// Of the fetch that runs now it learns what is checked and what stops arriving. Before each new watch.
  void follow_fetch();

  State current();
  std::optional<std::string> first_hand(std::uint32_t stripe) const;
  std::unique_ptr<storage::Subscription> on_change(std::function<void()> changed) {
    return changed_.add(std::move(changed));
  }

 private:
  HaveBoard(Blobs& blobs, std::shared_ptr<storage::Blob> blob) : blobs_(blobs), blob_(std::move(blob)) {}
  void change();
  /// mutex_ is held.
  void follow(const std::shared_ptr<BlobFetch>& fetch);
  State reckon(const BlobFetch* fetch) const;

  Blobs& blobs_;
  const std::shared_ptr<storage::Blob> blob_;
  storage::WakeList changed_;
  std::atomic<std::uint64_t> changes_ = 1;
  std::mutex mutex_;
  std::uint64_t reckoned_ = 0;  ///< at which of the changes
  State state_;
  std::weak_ptr<BlobFetch> followed_;
  // Last: destroyed first, so that nothing is called any more.
  std::unique_ptr<storage::Subscription> of_blob_;
  std::unique_ptr<storage::Subscription> of_fetch_;
};

}  // namespace oxbow::mirror
