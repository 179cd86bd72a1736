// Asking upstream on behalf of a client, and the rule that content is served only to a request that
// the upstream would serve. A success makes a grant and records that the digest belongs to the repository; a refusal
// ends the grant and is passed on with upstream's challenge. While upstream fails, peers' word may admit a request; it
// makes no grant. Thread rule: all methods on the loop of the request.
// Lifetime: outlives the requests.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mirror/digest_memory.h"
#include "mirror/grants.h"
#include "mirror/outcome.h"
#include "mirror/peer_knowledge.h"
#include "mirror/registries.h"

namespace oxbow::mirror {

/// Who asks for what repository where.
struct Asker {
  std::shared_ptr<MirroredRegistry> registry;
  RepositoryKey repository;
  upstream::Identity identity;
};

/// Time for upstream to answer before the client's own limit of 3 s.
inline constexpr std::chrono::milliseconds kAnswerTimeout{2'500};

class Access {
 public:
  /// `peers`: null without a ring.
  Access(Grants& grants, DigestMemory& memory, CurlLoops& curls, PeerKnowledge* peers = nullptr)
      : grants_(grants), memory_(memory), curls_(curls), peers_(peers) {}

  DigestMemory& memory() noexcept { return memory_; }
  PeerKnowledge* peers() noexcept { return peers_; }
  bool granted(const Asker& asker) const { return grants_.has(asker.repository, asker.identity); }
  /// Upstream has refused a blob in the middle: the grant is over, and the next request asks again.
  void refused(const Asker& asker) { grants_.revoke(asker.repository, asker.identity); }
  /// Whether everybody may read the repository, or all clients of this node in `node` mode, as upstream itself said.
  bool open_here(const Asker& asker) const;

  struct Question {
    http::Method method = http::Method::kGet;
    std::string path;
    std::string query = {};
    std::string accept = {};
    std::size_t max_body_bytes = 8UL * 1024 * 1024;
    bool may_be_late = false;  ///< waits as long as the registry's `no_progress_timeout`, not kAnswerTimeout
  };
  /// One whole exchange. Only 2xx is a value; it has made the grant.
  Task<Outcome<upstream::WholeResponse>> ask(Asker asker, Question question);

  enum class Kind { kBlob, kManifest };
  struct Admitted {
    std::optional<std::uint64_t> size;
    bool asked = false;           ///< upstream was asked just now
    std::string media_type = {};  ///< then, of a manifest: what upstream calls it
    /// It did not answer, and peers' word admits this one request.
    std::optional<Outage> outage = {};
  };
  /// Whether the asker may have this digest from its repository: granted and known to belong there, else upstream is
  /// asked with a HEAD. The size is what that repository says of it.
  Task<Outcome<Admitted>> admit(Asker asker, Digest digest, Kind kind);
  /// The same, whatever is known: upstream is asked. For a blob the size is always there.
  Task<Outcome<Admitted>> admit_anew(Asker asker, Digest digest, Kind kind);
  /// After a failure: by the word of peers, when it is upstream that fails and they know. Else that failure.
  Task<Outcome<Admitted>> admit_by_peers(Asker asker, Digest digest, Kind kind, Failure failure);

 private:
  Task<Outcome<Admitted>> admit_by_upstream(Asker asker, Digest digest, Kind kind);
  /// For registries that answer no useful HEAD for blobs (405, or no length): one byte by GET tells the size.
  Task<Outcome<Admitted>> probe(Asker asker, Digest digest);
  /// What an answer that gives nothing means for the asker. Upstream's own refusal ends the grant.
  Failure refusal(const Asker& asker, const upstream::Head& head, std::string_view what);

  Grants& grants_;
  DigestMemory& memory_;
  CurlLoops& curls_;
  PeerKnowledge* peers_;
};

/// What we accept from upstream for a manifest: everything we know by name, and whatever else it has. An index first,
/// because a registry may convert for those who do not ask for one.
std::string_view manifest_accept() noexcept;

/// `/v2/<repository>/blobs/<digest>` or manifests.
std::string content_path(const Asker& asker, const Digest& digest, Access::Kind kind);

}  // namespace oxbow::mirror
