// A stripe, or its tail, for a peer: pieces of the blob's file as far as they are there; waits while the stripe is
// still arriving from upstream (or, along a path, from a peer), and is cut when it stops arriving. Thread rule and
// lifetime: as http::Body; `Blobs` outlives it.
#pragma once

#include <memory>

#include "core/http/body.h"
#include "core/waker.h"
#include "mirror/blobs.h"
#include "mirror/late_answer.h"

namespace oxbow::mirror {

class StripeBody final : public http::Body {
 public:
  /// `fetch` null: the stripe is here. `forwarded`: bytes that nobody has checked are passed on as they arrive.
  StripeBody(std::shared_ptr<storage::Blob> blob, std::shared_ptr<BlobFetch> fetch, ByteRange range, Loop& loop,
             bool forwarded = false);
  ~StripeBody() override;

  http::Piece next(std::size_t max_bytes) override;
  void on_ready(std::move_only_function<void()> wake) override { on_ready_ = std::move(wake); }

 private:
  bool still_coming() const;

  std::shared_ptr<storage::Blob> blob_;
  std::shared_ptr<BlobFetch> fetch_;
  const ByteRange range_;
  const bool forwarded_;
  const std::uint32_t stripe_;
  std::uint64_t position_;
  std::shared_ptr<Waker> waker_;
  std::shared_ptr<Waker> progress_;  ///< for bytes that arrive
  std::unique_ptr<storage::Subscription> subscription_;
  std::unique_ptr<storage::Subscription> stopped_;  ///< arriving
  std::shared_ptr<LateAnswer> preparing_;
  std::move_only_function<void()> on_ready_;
};

}  // namespace oxbow::mirror
