// Where a blob's bytes can be requested from, by range: what BlobFetch needs of the upstream client. One object stands
// for one blob in one repository with one identity. The fake of the tests implements it too. Thread rule: `request` and
// everything after it on the given loop. Lifetime: a request is cancelled by destroying it; the sink outlives the
// request and is never called from within `request`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/geometry.h"
#include "core/task.h"
#include "p2p/protocol/messages.h"

namespace oxbow::mirror {

struct SpanHead {
  /// The first byte that will come. A source without range support gives the whole blob, from 0.
  std::uint64_t begin = 0;
  bool whole = false;
  std::optional<std::uint64_t> blob_bytes;
  /// Of the whole stripe that begins the range, as the source has it (XXH3-128, hex): peers send it.
  std::optional<std::string> checksum_hex = {};
  bool vouched = false;  ///< the source has verified it
};

/// Of the answer to a request for bytes from `begin` on of a blob of that size. Errors: kCorrupt (another blob, or
/// another range, than was asked for).
Result<> check_head(const SpanHead& head, std::uint64_t blob_bytes, std::uint64_t begin);

class SpanSink {
 public:
  virtual ~SpanSink() = default;
  /// A peer's answer says how loaded it is and what it has; before everything else.
  virtual void on_news(const p2p::AnswerNews&) {}
  virtual void on_head(const SpanHead& head) = 0;
  /// Bytes taken. Fewer than given: nothing more comes before `SpanRequest::resume`, which gives the rest again.
  virtual std::size_t on_data(std::span<const std::byte> bytes) = 0;
  /// Once, last. Errors of upstream: kUnauthorized, kDenied, kNotFound, kUnsupported, kCorrupt (not what was asked
  /// for): final, this source will not give this blob; kUnavailable, kThrottled, kTimeout, kLimit: try again later. Of
  /// a peer: as p2p::FetchEnded, none of them final for the blob.
  virtual void on_done(Result<> outcome) = 0;
};

class SpanRequest {
 public:
  virtual ~SpanRequest() = default;
  virtual void resume() = 0;
};

class SpanSource {
 public:
  /// The repository by whose right its bytes are given.
  struct Place {
    std::string_view registry = {};
    std::string_view repository = {};
  };

  virtual ~SpanSource() = default;
  virtual std::unique_ptr<SpanRequest> request(Loop& loop, ByteRange range, SpanSink& sink) = 0;
  /// Whom a busy source named instead, after its request has ended.
  virtual std::vector<std::string> alternatives() const { return {}; }
  /// With kNotFound: this node was given the right to fetch it from upstream.
  virtual bool leased() const { return false; }
  /// For how long a request of it may bring nothing before it fails by itself; 0: not known.
  virtual std::chrono::milliseconds patience() const { return {}; }
  /// Whether a refusal (kUnauthorized, kDenied) says that its reader may not have the blob. Not where the credential
  /// may only have come to its end in the middle of it.
  virtual bool refusal_counts(Errc code) const { return code == Errc::kUnauthorized || code == Errc::kDenied; }
  /// For the journal of pulls. Empty: it has none of its own.
  virtual Place place() const { return {}; }
};

}  // namespace oxbow::mirror
