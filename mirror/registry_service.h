// The mirror as its clients see it: the routes of the distribution API over blobs, manifests, tags
// and referrers. Finds the registry that a request means, asks for access, and builds the response. Thread rule:
// `handle` on any loop, many at once. Lifetime: outlives the server.
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "core/http/handler.h"
#include "mirror/access.h"
#include "mirror/blob_body.h"
#include "mirror/blobs.h"
#include "mirror/registries.h"
#include "mirror/small_content.h"
#include "mirror/tags.h"
#include "registry-api/range.h"
#include "registry-api/route.h"

namespace oxbow::mirror {

class RegistryService final : public http::Handler {
 public:
  struct Parts {
    Blobs& blobs;
    Access& access;
    SmallContents& contents;
    Tags& tags;
    CurlLoops& curls;
    MetricsRegistry& metrics;
  };

  RegistryService(Parts parts, std::shared_ptr<Registries> registries, std::size_t max_ranges);

  Task<http::Response> handle(http::Request request) override;

  std::shared_ptr<Registries> registries() const { return registries_.load(); }
  /// Swaps the registries after a reload; requests under way keep theirs. Any thread.
  void set_registries(std::shared_ptr<Registries> registries) { registries_.store(std::move(registries)); }

 private:
  struct Call;

  Task<http::Response> route(Call& call);
  Task<http::Response> manifest(Call& call, Asker asker);
  Task<http::Response> blob(Call& call, Asker asker);
  Task<http::Response> large_blob(Call& call, Asker asker, Digest digest, std::uint64_t size);
  Task<http::Response> tags_list(Call& call, Asker asker);
  Task<http::Response> referrers(Call& call, Asker asker);
  Task<Outcome<std::string>> fallback_referrers(Asker asker, Digest digest);

  /// The registry and repository of a request, with the caller's identity. Null registry: 404.
  Task<std::optional<Asker>> find_asker(Call& call);
  /// Of a request that names no registry: the default one, unless its digest was seen at others only.
  Task<Registries::Found> find_unnamed(Call& call);
  http::Response small_response(Call& call, const Digest& digest, SmallContent content);
  /// Headers from a known size, while the content is on its way.
  http::Response late_response(Call& call, const Asker& asker, const Digest& digest, std::uint64_t size,
                               std::shared_ptr<SmallContents::Fetch> fetch, Loop& loop);
  /// A small blob that was given to a client.
  void note_served(const Asker& asker, const Digest& digest, const SmallContent& content);
  void count(const Call& call, int status);

  Parts parts_;
  std::atomic<std::shared_ptr<Registries>> registries_;
  std::size_t max_ranges_;
  prometheus::Family<Counter>& requests_;
  static constexpr std::size_t kRoutes = 9;
  std::array<std::array<std::atomic<Counter*>, 600>, kRoutes> counters_{};
  Histogram& first_byte_seconds_;
};

}  // namespace oxbow::mirror
