// What another thread answers to a body: it asks, waits, and is woken on its own loop.
// Thread rule: any thread. Lifetime: shared by the body and whoever answers; may outlive the body.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "core/error.h"
#include "core/waker.h"
#include "storage/store.h"

namespace oxbow::mirror {

class LateAnswer {
 public:
  void give(Result<> outcome) {
    const std::lock_guard lock(mutex_);
    outcome_ = std::move(outcome);
  }
  /// Nothing: not yet.
  std::optional<Result<>> outcome() const {
    const std::lock_guard lock(mutex_);
    return outcome_;
  }

 private:
  mutable std::mutex mutex_;
  std::optional<Result<>> outcome_;
};

/// `Blob::prepare` for a body. Null: the range can be sent now; else `waker` is woken with the answer.
inline std::shared_ptr<LateAnswer> prepare_range(storage::Blob& blob, ByteRange range, std::shared_ptr<Waker> waker) {
  auto answer = std::make_shared<LateAnswer>();
  const bool now = blob.prepare(range, [answer, waker = std::move(waker)](Result<> outcome) {
    answer->give(std::move(outcome));
    waker->wake();
  });
  return now ? nullptr : answer;
}

}  // namespace oxbow::mirror
