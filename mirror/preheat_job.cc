#include "mirror/preheat_job.h"

#include <boost/asio/redirect_error.hpp>

#include "core/log.h"
#include "mirror/own_asker.h"
#include "mirror/upstream_source.h"

namespace oxbow::mirror {
namespace {

using p2p::PreheatState;
using std::chrono::milliseconds;

constexpr std::size_t kLanes = 3;  // blobs at once, as clients fetch them
/// How soon it is noticed that the job was cancelled.
constexpr milliseconds kLookEvery{500};
constexpr int kMaxDoublings = 4;

/// What an operator can do about a node that may not read an image.
Error explained(Error error) {
  if (error.code() != Errc::kUnauthorized && error.code() != Errc::kDenied) return error;
  return {error.code(), error.what() +
                            "; the node fetches with its own right: set credentials = \"node\" and credential_source "
                            "for this registry, or let a client with the right pull it there"};
}

/// Whether asking again may help.
bool may_pass(Errc code) {
  return code == Errc::kUnavailable || code == Errc::kThrottled || code == Errc::kTimeout || code == Errc::kLimit ||
         code == Errc::kBusy || code == Errc::kCorrupt || code == Errc::kCancelled;
}

/// Waits on a loop until something is new or the time is over.
class Doorbell {
 public:
  explicit Doorbell(Loop& loop)
      : timer_(loop), status_(std::make_shared<Waker>(loop)), bytes_(std::make_shared<Waker>(loop, kProgressEvery)) {
    status_->set([this] { timer_.cancel(); });
    bytes_->set([this] { timer_.cancel(); });
  }
  ~Doorbell() {
    status_->clear();
    bytes_->clear();
  }
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  const std::shared_ptr<Waker>& status() const noexcept { return status_; }
  const std::shared_ptr<Waker>& bytes() const noexcept { return bytes_; }
  Task<> wait(milliseconds at_most) {
    timer_.expires_after(at_most);
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

 private:
  asio::steady_timer timer_;
  std::shared_ptr<Waker> status_;
  std::shared_ptr<Waker> bytes_;
};

}  // namespace

/// Blobs that are fetched side by side on one loop.
struct PreheatJob::Lanes {
  Asker asker;
  const std::vector<registry_api::ImageBlob>& blobs;
  std::size_t next = 0;
  std::size_t running = 0;
  Result<> outcome = {};
  std::move_only_function<void(bool)> done = {};
};

p2p::PreheatReport PreheatJob::report() const {
  const std::lock_guard lock(mutex_);
  return {ask_.id, state_, bytes_done_, bytes_total_, error_};
}

Task<> PreheatJob::run() {
  const auto self = shared_from_this();
  {
    const std::lock_guard lock(mutex_);
    state_ = PreheatState::kRunning;
  }
  finish(co_await work());
}

void PreheatJob::finish(Result<> outcome) {
  {
    const std::lock_guard lock(mutex_);
    state_ = outcome ? PreheatState::kDone : cancelled_ ? PreheatState::kCancelled : PreheatState::kFailed;
    if (!outcome && !cancelled_) error_ = outcome.error().what();
  }
  const auto report = this->report();
  log::info("preheat ended", {{"id", ask_.id},
                              {"image", ask_.registry + '/' + ask_.repository + '@' + ask_.digest.to_string()},
                              {"state", p2p::to_string(report.state)},
                              {"bytes", report.bytes_done},
                              {"error", report.error}});
}

Task<Result<>> PreheatJob::work() {
  auto asker = own_asker(*parts_.registries(), ask_.registry, ask_.repository);
  if (!asker) co_return std::unexpected(std::move(asker.error()));
  registry_api::ImageWalk walk(ask_.digest, platform_);
  auto outcome = co_await fetch_manifests(*asker, walk);
  if (outcome) outcome = co_await fetch_blobs(std::move(*asker), walk.blobs());
  if (!outcome) co_return std::unexpected(explained(std::move(outcome.error())));
  co_return outcome;
}

Task<Result<>> PreheatJob::fetch_manifests(Asker asker, registry_api::ImageWalk& walk) {
  int fruitless = 0;
  while (const auto wanted = walk.next()) {
    if (cancelled_) co_return fail(Errc::kCancelled, "cancelled");
    auto content = co_await parts_.contents.get(asker, *wanted, Access::Kind::kManifest);
    if (!content) {
      auto& error = content.error().error;
      if (may_pass(error.code()) && ++fruitless < parts_.tries) {
        co_await sleep_for(parts_.retry_after * (1 << std::min(fruitless - 1, kMaxDoublings)));
        continue;
      }
      co_return std::unexpected(std::move(error).in("manifest " + wanted->to_string()));
    }
    fruitless = 0;
    const auto& body = *content->body;
    bytes_total_ += body.bytes.size();
    bytes_done_ += body.bytes.size();
    if (auto taken = walk.take(body.bytes, body.media_type); !taken)
      co_return std::unexpected(std::move(taken.error()).in("manifest " + wanted->to_string()));
  }
  for (const auto& blob : walk.blobs()) bytes_total_ += blob.size.value_or(0);
  co_return Result<>();
}

Task<Result<>> PreheatJob::fetch_blobs(Asker asker, const std::vector<registry_api::ImageBlob>& blobs) {
  auto lanes = std::make_shared<Lanes>(Lanes{std::move(asker), blobs});
  auto* loop = co_await this_loop();
  co_await await_callback<bool>([&](auto done) {
    lanes->done = std::move(done);
    lanes->running = kLanes;
    for (std::size_t i = 0; i < kLanes; ++i) asio::co_spawn(*loop, run_lane(shared_from_this(), lanes), asio::detached);
  });
  co_return lanes->outcome;
}

Task<> PreheatJob::run_lane(std::shared_ptr<PreheatJob> self, std::shared_ptr<Lanes> lanes) {
  while (lanes->outcome && lanes->next < lanes->blobs.size()) {
    const auto& blob = lanes->blobs[lanes->next++];
    auto outcome =
        self->cancelled_ ? fail(Errc::kCancelled, "cancelled") : co_await self->fetch_blob(lanes->asker, blob);
    if (outcome || !lanes->outcome) continue;
    self->failing_ = true;
    lanes->outcome = std::unexpected(std::move(outcome.error()).in("blob " + blob.digest.to_string()));
  }
  if (--lanes->running == 0) lanes->done(true);
}

Task<Result<>> PreheatJob::fetch_blob(Asker asker, const registry_api::ImageBlob& blob) {
  for (int fruitless = 0;;) {
    auto admitted = co_await parts_.access.admit(asker, blob.digest, Access::Kind::kBlob);
    // Named by a manifest that gives no sizes: upstream knows.
    if (admitted && !admitted->size && !admitted->asked)
      admitted = co_await parts_.access.admit_anew(asker, blob.digest, Access::Kind::kBlob);
    std::optional<Error> error;
    if (!admitted) {
      error = std::move(admitted.error().error);
    } else {
      auto size = admitted->size;
      const auto stored = parts_.blobs.store().lookup(blob.digest);
      if (stored && stored->state() == storage::BlobState::kVerified) size = stored->geometry().blob_bytes();
      if (!size) co_return fail(Errc::kUnavailable, "upstream does not say how large the blob is");
      if (!blob.size) bytes_total_ += *size;
      if (*size > storage::kSmallBytes) co_return co_await fetch_large(asker, blob.digest, *size);
      const auto content =
          co_await parts_.contents.get(asker, blob.digest, Access::Kind::kBlob, std::move(admitted->outage));
      if (content) {
        bytes_done_ += content->body->bytes.size();
        co_return Result<>();
      }
      error = content.error().error;
    }
    if (ends() || !may_pass(error->code()) || ++fruitless >= parts_.tries) co_return std::unexpected(std::move(*error));
    co_await sleep_for(parts_.retry_after * (1 << std::min(fruitless - 1, kMaxDoublings)));
  }
}

Task<Result<>> PreheatJob::fetch_large(Asker asker, Digest digest, std::uint64_t size) {
  const auto source = std::make_shared<UpstreamSource>(parts_.access, std::move(asker), digest, parts_.curls,
                                                       upstream::FetchClass::kPreheat);
  std::uint64_t counted = 0;
  for (int fruitless = 0;;) {
    const auto before = counted;
    auto outcome = co_await read_away(source, digest, size, counted);
    if (counted > before) fruitless = 0;
    if (outcome || ends() || !may_pass(outcome.error().code()) || ++fruitless >= parts_.tries) {
      if (outcome) count(size, counted);
      co_return outcome;
    }
    co_await sleep_for(parts_.retry_after * (1 << std::min(fruitless - 1, kMaxDoublings)));
  }
}

void PreheatJob::count(std::uint64_t position, std::uint64_t& counted) {
  if (position <= counted) return;
  bytes_done_ += position - counted;
  counted = position;
}

Task<Result<>> PreheatJob::read_away(std::shared_ptr<SpanSource> source, Digest digest, std::uint64_t size,
                                     std::uint64_t& counted) {
  auto& store = parts_.blobs.store();
  const auto here = store.lookup(digest);
  if (here && here->complete() && here->state() == storage::BlobState::kVerified && !parts_.blobs.running(digest))
    co_return Result<>();
  auto* loop = co_await this_loop();
  auto fetch = parts_.blobs.fetch(digest, size, *loop);
  if (!fetch) co_return std::unexpected(std::move(fetch.error()).in("it cannot be kept"));
  Doorbell bell(*loop);
  const auto blob = (*fetch)->shared_blob();
  const auto subscription = blob->on_progress([waker = bell.bytes()] { waker->wake(); });
  const auto reader = (*fetch)->attach(source, {.ranges = {{0, size}}, .read_ahead = true}, bell.status());
  for (std::uint64_t position = 0;;) {
    if (ends()) co_return fail(Errc::kCancelled, "cancelled");
    if (auto refused = reader->refusal()) co_return std::unexpected(std::move(*refused));
    if (position < size) {
      const auto readable = blob->readable(position, size - position);
      // What a peer sent and nobody has checked may still be replaced: the window does not move past it.
      position = (*fetch)->marks().free_end(blob->geometry(), position, position + readable);
      reader->advance(position);
      count(position, counted);
    }
    const auto status = (*fetch)->status();
    if (status.failure) co_return std::unexpected(*status.failure);
    if (status.disk_failure) co_return std::unexpected(status.disk_failure->in("it cannot be kept"));
    if (reader->settled()) co_return Result<>();
    if (blob->gone()) co_return fail(Errc::kBusy, "evicted while it came");
    co_await bell.wait(kLookEvery);
  }
}

}  // namespace oxbow::mirror
