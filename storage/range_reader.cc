#include "storage/range_reader.h"

#include <fcntl.h>

#include <algorithm>

namespace oxbow::storage {
namespace {

constexpr std::uint64_t kReadBytes = 256ULL * 1024;

}  // namespace

struct RangeReader::Job {
  int fd;
  std::shared_ptr<const void> keep;
  ByteRange rest;
  Sink sink;
  Done done;
  std::unique_ptr<std::byte[]> buffer;
};

RangeReader::RangeReader(IoEngine& engine, std::size_t buffers) : engine_(engine), buffers_(buffers) {}
RangeReader::~RangeReader() = default;

void RangeReader::read(int fd, std::shared_ptr<const void> keep, ByteRange range, Sink sink, Done done) {
  auto job = std::make_unique<Job>(Job{.fd = fd,
                                       .keep = std::move(keep),
                                       .rest = range,
                                       .sink = std::move(sink),
                                       .done = std::move(done),
                                       .buffer = {}});
  {
    const std::lock_guard lock(mutex_);
    if (active_ == buffers_) {
      waiting_.push_back(std::move(job));
      return;
    }
    ++active_;
  }
  start(std::move(job));
}

void RangeReader::start(std::unique_ptr<Job> job) {
  job->buffer = std::make_unique_for_overwrite<std::byte[]>(std::min(kReadBytes, job->rest.size()));
  // The whole range is asked for at once, so that the disk works while the first part is looked at.
  ::posix_fadvise(job->fd, static_cast<off_t>(job->rest.begin), static_cast<off_t>(job->rest.size()),
                  POSIX_FADV_WILLNEED);
  next(std::move(job));
}

void RangeReader::next(std::unique_ptr<Job> job) {
  if (job->rest.empty()) return finish(std::move(job), {});
  Job* raw = job.get();
  const std::span buffer(raw->buffer.get(), std::min(kReadBytes, raw->rest.size()));
  engine_.read(raw->fd, buffer, raw->rest.begin, [this, buffer, job = std::move(job)](std::int64_t n) mutable {
    if (n < 0) return finish(std::move(job), std::unexpected(errno_error(static_cast<int>(-n), "read")));
    if (n == 0) return finish(std::move(job), fail(Errc::kCorrupt, "the file ends before its blob"));
    const auto bytes = static_cast<std::size_t>(n);
    if (job->sink) job->sink(buffer.first(bytes));
    job->rest.begin += bytes;
    next(std::move(job));
  });
}

void RangeReader::finish(std::unique_ptr<Job> job, Result<> result) {
  job->buffer.reset();
  std::unique_ptr<Job> following;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) {
      --active_;
    } else {
      following = std::move(waiting_.front());
      waiting_.pop_front();
    }
  }
  if (following) start(std::move(following));
  job->done(std::move(result));
}

}  // namespace oxbow::storage
