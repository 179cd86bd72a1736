// The body of a blob response: one range, or several as multipart/byteranges. Gives pieces of the blob's file as far as
// they are readable, waits for what is still to come, and holds back the end of an open-ended response until the blob
// has verified, so that no client gets a complete response with wrong bytes. Thread rule and
// lifetime: as http::Body; `Blobs` outlives it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/http/body.h"
#include "mirror/blobs.h"
#include "mirror/late_answer.h"
#include "mirror/peer_first_source.h"
#include "mirror/window_stream.h"
#include "registry-api/multipart.h"

namespace oxbow::mirror {

struct BlobRead {
  Digest digest;
  std::uint64_t size = 0;
  std::vector<ByteRange> ranges;
  bool open_ended = false;                              ///< un-ranged or `N-`: read ahead, and hold back the end
  std::optional<registry_api::MultipartLayout> layout;  ///< for several ranges
  std::shared_ptr<SpanSource> source;                   ///< where missing bytes may be had with this reader's rights
};

class BlobBody final : public http::Body {
 public:
  BlobBody(Blobs& blobs, Loop& loop, BlobRead read);
  ~BlobBody() override;

  http::Piece next(std::size_t max_bytes) override;
  void on_ready(std::move_only_function<void()> wake) override;

  /// Whether the first byte could be given now; an error when it never will. For the status line, before the body is
  /// handed to the server; `on_ready` says when to ask again.
  Result<bool> first_byte_ready();

 private:
  http::Piece step(std::size_t max_bytes);
  std::uint64_t givable(std::uint64_t max_bytes) const;
  Blobs::Served source_of(std::uint32_t stripe) const;
  /// How far this response may go now.
  std::uint64_t limit();
  bool has_given_wrong(const FetchReader& reader);
  void trickle();
  void note_storage();
  bool attach();
  void use_window();
  void enter_window(std::optional<Hasher> hasher);
  http::Piece from_window(std::size_t max_bytes);
  http::Piece give(std::uint64_t ready);
  ByteRange range() const { return read_.ranges[index_]; }

  Blobs& blobs_;
  std::shared_ptr<Waker> waker_;
  std::shared_ptr<Waker> progress_;  ///< for bytes that arrive
  BlobRead read_;
  std::size_t index_ = 0;
  std::uint64_t position_;
  std::string text_;  ///< multipart header or trailer still to be given
  bool trailer_given_ = false;

  std::shared_ptr<storage::Blob> blob_;
  std::unique_ptr<storage::Subscription> subscription_;
  std::unique_ptr<FetchReader> reader_;
  std::shared_ptr<LateAnswer> preparing_;
  std::unique_ptr<WindowStream> window_;
  std::shared_ptr<PeerFirstSource> window_peers_;
  std::shared_ptr<PullLog> window_log_;
  std::uint64_t window_peer_bytes_ = 0;  ///< of the next
  std::uint64_t window_bytes_ = 0;       ///< given out
  bool window_hashes_ = false;
  std::shared_ptr<LateAnswer> catching_up_;  ///< hashing what was served before the window opened
  std::shared_ptr<std::optional<Hasher>> caught_up_;

  bool settled_;                ///< nothing needs to be held back
  std::uint64_t released_ = 0;  ///< bytes of the held end given while waiting
  asio::steady_timer trickle_timer_;
  bool trickling_ = false;
  std::vector<bool> present_at_start_;
  std::optional<Error> failure_;
  std::move_only_function<void()> on_ready_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace oxbow::mirror
