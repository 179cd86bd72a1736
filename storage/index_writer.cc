#include "storage/index_writer.h"

#include "storage/rows.h"

namespace oxbow::storage {
namespace {

// A batch that failed is tried again at this pace.
constexpr std::chrono::milliseconds kRetry{1000};

}  // namespace

IndexWriter::IndexWriter(Index& index, Counter& dropped, std::function<void(const Result<>&)> told)
    : index_(index), dropped_(dropped), told_(std::move(told)), thread_([this] { run(); }) {}

IndexWriter::~IndexWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  told_(flush());
}

void IndexWriter::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
    // Gather for a while: a batch of many stripes costs what a batch of one does.
    changed_.wait_for(lock, failing_ ? kRetry : kDelay, [this] { return stopping_; });
    lock.unlock();
    const auto result = write_pending();
    told_(result);
    lock.lock();
    failing_ = !result;
  }
}

void IndexWriter::blob_changed(const Digest& digest, std::shared_ptr<const RowSource> blob) {
  {
    const std::lock_guard lock(mutex_);
    if (blob->gone()) return;
    auto& entry = pending_.blobs[digest];
    entry.blob = std::move(blob);
    entry.row = true;
  }
  changed_.notify_one();
}

void IndexWriter::span_changed(const Digest& digest, std::shared_ptr<const RowSource> blob, std::uint32_t span) {
  {
    const std::lock_guard lock(mutex_);
    if (blob->gone()) return;
    auto& entry = pending_.blobs[digest];
    entry.blob = std::move(blob);
    entry.spans.insert(span);
  }
  changed_.notify_one();
}

void IndexWriter::blob_erased(const Digest& digest, std::uint32_t spans) {
  {
    const std::lock_guard lock(mutex_);
    auto& entry = pending_.blobs[digest];
    entry = PendingBlob{.erased_spans = std::max(spans, entry.erased_spans),
                        .erased = true,
                        .row = false,
                        .blob = nullptr,
                        .spans = {}};
  }
  changed_.notify_one();
}

void IndexWriter::put(Family family, std::string key, std::string value) {
  set(family, std::move(key), std::move(value));
}

void IndexWriter::erase(Family family, std::string key) { set(family, std::move(key), std::nullopt); }

void IndexWriter::set(Family family, std::string key, std::optional<std::string> value) {
  {
    const std::lock_guard lock(mutex_);
    const std::uint64_t bytes = key.size() + (value ? value->size() : 0);
    if (pending_.row_bytes + bytes > kPendingBytesMax) {
      dropped_.Increment();
      return;
    }
    pending_.row_bytes += bytes;
    pending_.rows[{family, std::move(key)}] = std::move(value);
  }
  changed_.notify_one();
}

Result<std::optional<std::string>> IndexWriter::get(Family family, const std::string& key) {
  {
    const std::lock_guard lock(mutex_);
    const KeyOf at{family, key};
    if (const auto found = pending_.rows.find(at); found != pending_.rows.end()) return found->second;
    if (const auto found = writing_.rows.find(at); found != writing_.rows.end()) return found->second;
  }
  return index_.get(family, key);
}

bool IndexWriter::failing() const {
  const std::lock_guard lock(mutex_);
  return failing_;
}

Result<> IndexWriter::flush() { return write_pending(); }

Result<> IndexWriter::write_pending() {
  const std::lock_guard writing(writing_mutex_);
  {
    const std::lock_guard lock(mutex_);
    writing_ = std::exchange(pending_, {});
  }
  if (writing_.empty()) return {};
  const auto result = index_.apply(make_ops(writing_), false);
  const std::lock_guard lock(mutex_);
  auto written = std::exchange(writing_, {});
  if (!result) put_back(std::move(written));
  return result;
}

std::vector<IndexOp> IndexWriter::make_ops(const Pending& pending) {
  std::vector<IndexOp> ops;
  for (const auto& [digest, entry] : pending.blobs) {
    if (entry.erased) {
      ops.push_back({Family::kBlobs, digest_key(digest), std::nullopt});
      for (std::uint32_t span = 0; span < entry.erased_spans; ++span) {
        ops.push_back({Family::kSpans, span_key(digest, span), std::nullopt});
      }
    }
    if (entry.row) ops.push_back({Family::kBlobs, digest_key(digest), entry.blob->blob_row()});
    for (const std::uint32_t span : entry.spans) {
      ops.push_back({Family::kSpans, span_key(digest, span), entry.blob->span_row(span)});
    }
  }
  for (const auto& [at, value] : pending.rows) ops.push_back({at.first, at.second, value});
  return ops;
}

// What has been marked since then is newer, and an erasure since then covers what failed before it.
void IndexWriter::put_back(Pending failed) {
  for (auto& [digest, old] : failed.blobs) {
    auto [at, fresh] = pending_.blobs.try_emplace(digest, std::move(old));
    if (fresh) continue;
    PendingBlob& entry = at->second;
    if (!entry.erased) {
      entry.row |= old.row;
      entry.spans.merge(old.spans);
    }
    entry.erased |= old.erased;
    entry.erased_spans = std::max(entry.erased_spans, old.erased_spans);
  }
  for (auto& [key, value] : failed.rows) {
    const std::uint64_t bytes = key.second.size() + (value ? value->size() : 0);
    if (pending_.row_bytes + bytes > kPendingBytesMax) {
      dropped_.Increment();
      continue;
    }
    if (pending_.rows.try_emplace(key, std::move(value)).second) pending_.row_bytes += bytes;
  }
}

}  // namespace oxbow::storage
