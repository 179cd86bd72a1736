// A blob in a repository at its registry, with one identity, as a SpanSource. Where upstream refuses it, the grant
// ends. Thread rule and lifetime: as SpanSource; holds its registry; `Access` outlives it.
#pragma once

#include <memory>
#include <string>

#include "core/digest.h"
#include "mirror/access.h"
#include "mirror/span_source.h"

namespace oxbow::mirror {

class UpstreamSource final : public SpanSource {
 public:
  UpstreamSource(Access& access, Asker asker, Digest digest, CurlLoops& curls,
                 upstream::FetchClass fetch_class = upstream::FetchClass::kPull)
      : access_(access), asker_(std::move(asker)), digest_(digest), curls_(curls), fetch_class_(fetch_class) {}

  std::unique_ptr<SpanRequest> request(Loop& loop, ByteRange range, SpanSink& sink) override;
  std::chrono::milliseconds patience() const override { return asker_.registry->config.no_progress_timeout; }
  /// A client's token ends in the middle of a large blob: what others fetch of it its reader may still have.
  bool refusal_counts(Errc code) const override {
    const bool ends = asker_.identity.kind == upstream::IdentityKind::kClient;
    return code == Errc::kDenied || (code == Errc::kUnauthorized && !ends);
  }
  Place place() const override { return {asker_.registry->config.name, asker_.repository.repository}; }

 private:
  Access& access_;
  Asker asker_;
  Digest digest_;
  CurlLoops& curls_;
  upstream::FetchClass fetch_class_;
};

/// Whether upstream itself refuses the asker. Another host that it sends us to, a store of objects, says nothing of who
/// may read the repository, and must not be taken for it when it asks for credentials.
bool is_refusal(const upstream::Head& head) noexcept;
/// Whether it is another host that refuses.
bool is_refusal_elsewhere(const upstream::Head& head) noexcept;
/// What a final answer of upstream other than 2xx means; a 401 or 403 of another host: kUnavailable.
Error answer_error(const upstream::Head& head, std::string_view what);

}  // namespace oxbow::mirror
