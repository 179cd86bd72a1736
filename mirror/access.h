// Asking upstream on behalf of a client, and the rule of design section 10: content is served only to a request that
// the upstream would serve. A success makes a grant and records that the digest belongs to the repository; a refusal
// ends the grant and is passed on with upstream's challenge. Thread rule: all methods on the loop of the request.
// Lifetime: outlives the requests.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mirror/digest_memory.h"
#include "mirror/grants.h"
#include "mirror/outcome.h"
#include "mirror/registries.h"

namespace oxbow::mirror {

/// Who asks for what repository where.
struct Asker {
  std::shared_ptr<MirroredRegistry> registry;
  RepositoryKey repository;
  upstream::Identity identity;
};

/// Time for upstream to answer before the client's own limit of 3 s (design section 12).
inline constexpr std::chrono::milliseconds kAnswerTimeout{2'500};

class Access {
 public:
  Access(Grants& grants, DigestMemory& memory, CurlLoops& curls) : grants_(grants), memory_(memory), curls_(curls) {}

  DigestMemory& memory() noexcept { return memory_; }
  bool granted(const Asker& asker) const { return grants_.has(asker.repository, asker.identity); }

  struct Question {
    http::Method method = http::Method::kGet;
    std::string path;
    std::string query = {};
    std::string accept = {};
    std::size_t max_body_bytes = 8UL * 1024 * 1024;
  };
  /// One whole exchange. Only 2xx is a value; it has made the grant.
  Task<Outcome<upstream::WholeResponse>> ask(Asker asker, Question question);

  enum class Kind { kBlob, kManifest };
  struct Admitted {
    std::optional<std::uint64_t> size;
    bool asked = false;  ///< upstream was asked just now
  };
  /// Whether the asker may have this digest from its repository: granted and known to belong there, else upstream is
  /// asked with a HEAD. The size is what that repository says of it.
  Task<Outcome<Admitted>> admit(Asker asker, Digest digest, Kind kind);

 private:
  /// For registries that answer no useful HEAD for blobs (405, or no length): one byte by GET tells the size.
  Task<Outcome<Admitted>> probe(Asker asker, Digest digest);

  Grants& grants_;
  DigestMemory& memory_;
  CurlLoops& curls_;
};

/// What we accept from upstream for a manifest: everything we know by name, and whatever else it has. An index first,
/// because a registry may convert for those who do not ask for one.
std::string_view manifest_accept() noexcept;

/// `/v2/<repository>/blobs/<digest>` or manifests.
std::string content_path(const Asker& asker, const Digest& digest, Access::Kind kind);

}  // namespace oxbow::mirror
