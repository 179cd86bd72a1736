// A blob in a repository at its registry, with one identity, as a SpanSource.
// Thread rule and lifetime: as SpanSource; holds its registry.
#pragma once

#include <memory>
#include <string>

#include "core/digest.h"
#include "mirror/registries.h"
#include "mirror/span_source.h"

namespace oxbow::mirror {

class UpstreamSource final : public SpanSource {
 public:
  UpstreamSource(std::shared_ptr<MirroredRegistry> registry, std::string repository, Digest digest,
                 upstream::Identity identity, CurlLoops& curls,
                 upstream::FetchClass fetch_class = upstream::FetchClass::kPull)
      : registry_(std::move(registry)),
        repository_(std::move(repository)),
        digest_(digest),
        identity_(std::move(identity)),
        curls_(curls),
        fetch_class_(fetch_class) {}

  std::unique_ptr<SpanRequest> request(Loop& loop, ByteRange range, SpanSink& sink) override;
  std::chrono::milliseconds patience() const override { return registry_->config.no_progress_timeout; }
  Place place() const override { return {registry_->config.name, repository_}; }

 private:
  std::shared_ptr<MirroredRegistry> registry_;
  std::string repository_;
  Digest digest_;
  upstream::Identity identity_;
  CurlLoops& curls_;
  upstream::FetchClass fetch_class_;
};

/// What a final status of upstream other than 2xx means.
Error status_error(int status, std::string_view what);

}  // namespace oxbow::mirror
