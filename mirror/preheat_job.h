// One image fetched into this node's cache, because a preheat asked for it: manifests and blobs through the same parts
// as a client's request, with the node's own right, and with a reader that throws the bytes away. So peers share it as
// they share any pull. Thread rule: `run` on one loop; the rest from any thread. Lifetime: shared by its coroutines;
// what `Parts` refers to outlives them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "mirror/blobs.h"
#include "mirror/small_content.h"
#include "p2p/protocol/preheat.h"
#include "registry-api/image_walk.h"

namespace oxbow::mirror {

class PreheatJob : public std::enable_shared_from_this<PreheatJob> {
 public:
  struct Parts {
    Blobs& blobs;
    Access& access;
    SmallContents& contents;
    CurlLoops& curls;
    std::function<std::shared_ptr<Registries>()> registries;
    std::chrono::milliseconds retry_after{1'000};  ///< a blob that failed; doubling
    int tries = 5;                                 ///< in a row without a byte
  };

  PreheatJob(Parts parts, p2p::PreheatAsk ask, registry_api::PlatformChoice platform)
      : parts_(std::move(parts)), ask_(std::move(ask)), platform_(std::move(platform)) {}

  /// To its end; the report says which.
  Task<> run();
  /// It ends within a second; what has arrived stays.
  void cancel() noexcept { cancelled_ = true; }

  const p2p::PreheatAsk& ask() const noexcept { return ask_; }
  p2p::PreheatReport report() const;

 private:
  struct Lanes;

  Task<Result<>> work();
  Task<Result<>> fetch_manifests(Asker asker, registry_api::ImageWalk& walk);
  Task<Result<>> fetch_blobs(Asker asker, const std::vector<registry_api::ImageBlob>& blobs);
  static Task<> run_lane(std::shared_ptr<PreheatJob> self, std::shared_ptr<Lanes> lanes);
  Task<Result<>> fetch_blob(Asker asker, const registry_api::ImageBlob& blob);
  Task<Result<>> fetch_large(Asker asker, Digest digest, std::uint64_t size);
  /// One try. `counted`: bytes of this blob that are in bytes_done_.
  Task<Result<>> read_away(std::shared_ptr<SpanSource> source, Digest digest, std::uint64_t size,
                           std::uint64_t& counted);
  void finish(Result<> outcome);
  void count(std::uint64_t position, std::uint64_t& counted);

  const Parts parts_;
  const p2p::PreheatAsk ask_;
  const registry_api::PlatformChoice platform_;
  std::atomic<bool> cancelled_ = false;
  std::atomic<std::uint64_t> bytes_done_ = 0;
  std::atomic<std::uint64_t> bytes_total_ = 0;
  mutable std::mutex mutex_;  ///< state_, error_
  p2p::PreheatState state_ = p2p::PreheatState::kWaiting;
  std::string error_;
};

}  // namespace oxbow::mirror
