// The messages of the peer protocol (docs/peer-protocol.md) as plain values, and their JSON forms. Names of peers
// travel; PeerIds are this process's own. Unknown fields are ignored (a newer version may send them); every list is
// bounded. Thread rule: plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "p2p/have_map.h"
#include "p2p/peer_table.h"

namespace oxbow::p2p {

// What a message may hold at most. Writers leave out what is beyond; readers refuse it with kLimit.
inline constexpr std::size_t kMaxMessageBytes =
    12UL * 1024 * 1024;  ///< one announcement with the longest midstate list
inline constexpr std::size_t kMaxHelloBytes = 64UL * 1024;
inline constexpr std::size_t kMaxHaveLineBytes = 256UL * 1024;
inline constexpr std::size_t kMaxAnnounces = 256;   ///< in one request
inline constexpr std::size_t kMaxSpanList = 1'024;  ///< ask, leases, released, granted, lost
inline constexpr std::size_t kMaxNeighbours = 256;
inline constexpr std::size_t kMaxUnreachable = 256;
inline constexpr std::size_t kMaxPath = 2;            ///< `fingers`: three hops
inline constexpr std::size_t kMaxAlternatives = 16;   ///< of a busy answer
inline constexpr std::size_t kMaxHaveChanges = 4096;  ///< in each list of one line; more: the whole map again
inline constexpr std::size_t kMaxHaveSums = 1'024;    ///< in one line; the others follow
inline constexpr std::uint32_t kHaveSliceStripes = 2'048;
inline constexpr std::size_t kMaxNameBytes = 253;                 ///< of a DNS name
inline constexpr std::size_t kMaxSmallBytes = 4UL * 1024 * 1024;  ///< of content that is sent whole: a manifest

/// 1 to 253 visible ASCII characters without `,`, `/`, `"` and `\`: it stands in field values and paths.
bool is_peer_name(std::string_view name) noexcept;
/// 32 lower-case hexadecimal digits: an XXH3-128.
bool is_checksum(std::string_view text) noexcept;
/// Whether a blob of this size is spoken of: at most kMaxStripes.
bool is_blob_size(std::uint64_t bytes) noexcept;

/// GET /p2p/v1/hello: answers with what this node says of itself; POST: the same, after telling it about the asker.
struct Hello {
  PeerFacts facts;
  std::string version;  ///< of the software, for people
  std::string strategy;
  std::uint32_t replicas = 3;
  std::uint64_t settings_epoch = 0;
  std::string advertise;
};

enum class Interest : std::uint8_t {
  kWanting,  ///< fetches it, and serves what it has
  kHolding,  ///< serves it
  kLeft,     ///< neither any more
};

/// The midstates of a blob, as somebody who hashed all of it published them: from stripe 1 on. A hint.
struct MidstateList {
  std::string publisher;
  std::vector<std::string> states;  ///< raw
  bool operator==(const MidstateList&) const = default;
};

struct LeaseProgress {
  std::uint32_t span = 0;
  std::uint64_t bytes = 0;  ///< of the span, here so far
};

/// What a node tells the coordinator of a blob. POST /p2p/v1/announce takes a list of them.
struct Announce {
  Digest digest = Digest::sha256(std::string_view());
  std::uint64_t size = 0;
  Interest interest = Interest::kWanting;
  HaveMap have;
  bool may_fetch = false;                ///< its own client may fetch from upstream, so leases are of use to it
  std::vector<std::uint32_t> ask;        ///< spans that it would fetch from upstream, most wanted first
  std::vector<LeaseProgress> leases;     ///< that it holds: renews them, and claims them at a new coordinator
  std::vector<std::uint32_t> released;   ///< spans whose lease is over: done or given up
  std::vector<std::string> unreachable;  ///< peers that did not answer it lately
  std::vector<std::string> gone;         ///< of them: those whose connection broke, and from which nothing came since
  std::uint32_t wanters = 0;  ///< to a successor: so many fetch it, as far as is known, without the silent coordinator
  bool want_neighbours = true;
  bool know_midstates = false;            ///< no need to send them
  std::optional<MidstateList> midstates;  ///< of a publisher: once
};

struct Neighbour {
  std::string name;
  bool complete = false;
  std::uint32_t stripes = 0;  ///< how many it had when it last announced
};

struct LeaseGrant {
  std::uint32_t span = 0;
  std::chrono::milliseconds ttl{2'000};
};

struct AnnounceReply {
  Digest digest = Digest::sha256(std::string_view());
  std::uint64_t size = 0;  ///< 0: unknown here too
  std::vector<Neighbour> neighbours;
  std::vector<LeaseGrant> granted;  ///< new and renewed
  std::vector<std::uint32_t> lost;  ///< claimed, but another's
  std::optional<MidstateList> midstates;
  std::chrono::milliseconds again{1'000};  ///< when to announce next
  bool fresh = false;         ///< this coordinator knows the blob only since a moment: ask its successor too
  std::uint32_t wanters = 0;  ///< how many fetch the blob at the moment
};

/// The events of a have stream, one JSON object a line.
struct HaveUpdate {
  std::optional<HaveMap> map;           ///< first line; replaces everything
  std::vector<std::uint32_t> have;      ///< stripes that came since
  std::vector<std::uint32_t> arriving;  ///< that have begun to come from upstream (may be asked for: cut-through)
  std::vector<std::uint32_t> lost;      ///< are here or arriving no more
  std::optional<Load> load;
  /// XXH3-128 (hex) of stripes that the sender got from upstream itself: those who get them elsewhere compare.
  std::vector<std::pair<std::uint32_t, std::string>> sums = {};
};

/// GET /p2p/v1/blobs/<digest>: what a peer knows of a blob.
struct BlobFacts {
  std::uint64_t size = 0;
  bool verified = false;
  HaveMap have;
  std::optional<MidstateList> midstates;  ///< only on request (?midstates=1)
};

/// A part of a have map: `have.size()` stripes from `first` on. The field `oxbow-have`: `<first>:<map>`.
struct HaveSlice {
  std::uint32_t first = 0;
  HaveMap have;
  bool operator==(const HaveSlice&) const = default;
};
/// At most kHaveSliceStripes of a blob's `stripes` around `stripe`.
HaveSlice slice_around(std::uint32_t stripes, std::uint32_t stripe, const std::function<bool(std::uint32_t)>& has);

/// GET /p2p/v1/known/…: what a peer knows of a tag or digest in a repository.
struct KnownFacts {
  Digest digest = Digest::sha256(std::string_view());
  std::optional<std::uint64_t> size;  ///< in that repository
  bool anonymous = false;             ///< upstream has served the repository to the peer without any credential
  bool node = false;                  ///< or with the credential that the peer is configured with
  std::chrono::milliseconds age{0};   ///< of a tag: since upstream said so
};

/// What rides on a stripe's answer, in header fields.
struct StripeFacts {
  std::uint64_t blob_bytes = 0;
  std::uint64_t offset = 0;  ///< of the first byte, in the stripe
  std::uint64_t length = 0;  ///< of the body
  bool verified = false;
  std::optional<std::string> checksum_hex;  ///< XXH3-128 of the stripe as the sender has stored it
};

/// What every answer to a request for a stripe tells besides, refusals too; the service fills it in.
struct AnswerNews {
  std::optional<Load> load;
  std::optional<HaveSlice> have;
};

std::string to_json(const Hello& hello);
Result<Hello> parse_hello(std::string_view json);
std::string to_json(const std::vector<Announce>& announces);
Result<std::vector<Announce>> parse_announces(std::string_view json);
std::string to_json(const std::vector<AnnounceReply>& replies);
Result<std::vector<AnnounceReply>> parse_announce_replies(std::string_view json);
/// With a newline at its end.
std::string to_json_line(const HaveUpdate& update);
Result<HaveUpdate> parse_have_update(std::string_view line, std::uint32_t stripes);
std::string to_json(const BlobFacts& facts);
/// Of a blob whose digest is of `algorithm`.
Result<BlobFacts> parse_blob_facts(std::string_view json, Digest::Algorithm algorithm);
/// `used/slots/waiting`, the field `oxbow-load`.
std::string to_text(const Load& load);
Result<Load> parse_load(std::string_view text);
std::string to_json(const KnownFacts& facts);
Result<KnownFacts> parse_known_facts(std::string_view json);
std::string to_text(const HaveSlice& slice);
/// Of a blob of `stripes` stripes.
Result<HaveSlice> parse_have_slice(std::string_view text, std::uint32_t stripes);

}  // namespace oxbow::p2p
