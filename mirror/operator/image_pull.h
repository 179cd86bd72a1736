// `oxbow pull`'s work: an image through the local mirror, manifests first, then its blobs, a few at once. Requests look
// like containerd's (`/v2/<repository>/…?ns=<registry>`). Thread rule: one thread. Lifetime: what `Parts` refers to
// outlives it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mirror/operator/blob_download.h"
#include "mirror/operator/mirror_ask.h"
#include "mirror/operator/pull_access.h"
#include "registry-api/image_name.h"

namespace oxbow::mirror {

inline constexpr std::size_t kParallelBlobs = 3;

struct PulledBlob {
  registry_api::ImageBlob blob;
  std::uint64_t bytes = 0;  ///< that came
  std::optional<SourceBytes> sources = {};
  std::chrono::milliseconds took{0};
  std::uint32_t resumed = 0;
  std::optional<Error> error = {};
};

struct PullReport {
  std::string image;
  std::optional<Digest> digest;  ///< of the root
  std::size_t manifests = 0;
  std::vector<PulledBlob> blobs;
  std::uint64_t bytes = 0;  ///< of manifests and blobs
  SourceBytes sources;      ///< as far as known
  std::chrono::milliseconds took{0};
  std::optional<Error> error;  ///< kCancelled: interrupted
};

/// Is shown what goes on. Called often: it draws when it likes.
class PullWatcher {
 public:
  virtual ~PullWatcher() = default;
  virtual void on_running(const std::vector<const BlobDownload*>& running, const PullReport& so_far,
                          std::uint64_t total_bytes) = 0;
  virtual void on_blob(const PulledBlob& blob) = 0;
};

/// What the daemon says of the fetch of a blob that was asked for at `since`. Nothing: it does not know.
using AskSources = std::function<std::optional<SourceBytes>(const registry_api::ImageBlob&,
                                                            std::chrono::system_clock::time_point since)>;

class ImagePull {
 public:
  struct Parts {
    HttpRunner& http;
    PullWatcher& watcher;
    AskSources ask_sources;
    std::string user_agent;
  };
  struct Options {
    registry_api::ImageName image;
    registry_api::PlatformChoice platform;
    PullAccess::Options access;
    std::size_t parallel = kParallelBlobs;
    BlobDownload::Options download = {};  ///< `ask` is filled in
  };

  ImagePull(Options options, Parts parts);
  ~ImagePull();
  /// To its end, good or bad; the first blob that fails ends it.
  PullReport run();

 private:
  struct Under;

  HttpAsk ask(MirrorPath kind, const std::string& reference) const;
  Result<> fetch_manifests();
  Result<HttpRunner::Whole> manifest(const std::string& reference);
  Result<> fetch_blobs();
  Result<> look_after(Under& one);
  void settle(Under& one);
  void ask_for_sources(Under& one, bool at_end);

  Options options_;
  const Parts parts_;
  PullAccess access_;
  std::optional<registry_api::ImageWalk> walk_;
  PullReport report_;
  std::vector<std::unique_ptr<Under>> under_way_;
};

}  // namespace oxbow::mirror
