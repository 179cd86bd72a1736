// Reads ranges of files through an engine with a bounded number of buffers: for checking stripes and for bringing cold
// pages into the page cache before `sendfile` would block on them. Thread rule: `read` from any thread; `sink` and
// `done` run on an engine thread. Errors: kIo; kCorrupt (the file ends inside the range).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/geometry.h"
#include "storage/io_engine.h"

namespace oxbow::storage {

class RangeReader {
 public:
  using Sink = std::move_only_function<void(std::span<const std::byte>)>;
  using Done = std::move_only_function<void(Result<>)>;

  RangeReader(IoEngine& engine, std::size_t buffers);
  ~RangeReader();
  RangeReader(const RangeReader&) = delete;
  RangeReader& operator=(const RangeReader&) = delete;

  /// `keep` holds the descriptor open. An empty sink only warms the page cache.
  void read(int fd, std::shared_ptr<const void> keep, ByteRange range, Sink sink, Done done);

 private:
  struct Job;
  void start(std::unique_ptr<Job> job);
  void next(std::unique_ptr<Job> job);
  void finish(std::unique_ptr<Job> job, Result<> result);

  IoEngine& engine_;
  const std::size_t buffers_;
  std::mutex mutex_;
  std::size_t active_ = 0;
  std::deque<std::unique_ptr<Job>> waiting_;
};

}  // namespace oxbow::storage
