// Opening: lock, index, what the last run left behind; and closing.
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>

#include "core/log.h"
#include "storage/store_impl.h"

namespace oxbow::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormat = "1";
constexpr std::size_t kIoThreads = 4;
constexpr std::size_t kPoolThreads = 2;
constexpr std::size_t kReadBuffers = 8;
/// How long `close` waits for what has been accepted to reach the files.
constexpr std::chrono::seconds kDrain{10};

std::string read_boot_id() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(in, id);
  return id;
}

std::uint64_t parse_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(Config config, const Clock& clock, MetricsRegistry& metrics) {
  return open_store(std::move(config), {}, clock, metrics);
}

Result<std::unique_ptr<Store>> open_store(Config config, Parts parts, const Clock& clock, MetricsRegistry& metrics) {
  auto store = std::make_unique<StoreImpl>(std::move(config), clock, metrics);
  if (auto started = store->start(std::move(parts)); !started) return std::unexpected(std::move(started.error()));
  return store;
}

StoreImpl::StoreImpl(Config config, const Clock& clock, MetricsRegistry& metrics)
    : config_(std::move(config)),
      metrics_(metrics),
      room_(clock, metrics, config_.directory, config_.write_arena_bytes),
      small_({}, clock, limit_counter(metrics, "storage.small_bodies")),
      stored_gauge_(gauge_family(metrics, "oxbow_storage_bytes", "Bytes of blobs in storage").Add({})),
      budget_gauge_(gauge_family(metrics, "oxbow_storage_budget_bytes", "The storage budget").Add({})),
      free_gauge_(gauge_family(metrics, "oxbow_storage_free_bytes", "Free bytes of the storage's file system").Add({})),
      evicted_bytes_(
          counter_family(metrics, "oxbow_storage_evicted_bytes_total", "Bytes evicted from storage").Add({})),
      budget_limit_(limit_counter(metrics, "storage.budget")),
      floor_limit_(limit_counter(metrics, "storage.floor")) {
  room_.host = this;
}

StoreImpl::~StoreImpl() {
  close();
  // The engine first: its destructor waits for reads that still run, whose callbacks use the blobs and the pool.
  room_.engine.reset();
  room_.pool.reset();
}

Result<> StoreImpl::start(Parts parts) {
  room_.disk = parts.disk ? std::move(parts.disk) : make_posix_disk();
  bool writable = true;  // the directory is there and ours; a full disk is seen by the probe
  if (auto opened = open_directory(writable); !opened) return opened;
  if (auto chosen = choose_engine(parts); !chosen) return chosen;
  room_.pool = std::make_unique<WorkPool>(kPoolThreads);
  room_.reader = std::make_unique<RangeReader>(*room_.engine, kReadBuffers);
  if (auto recovered = recover_index(writable); !recovered) return recovered;
  refresh_space();
  log::info("storage open", {{"directory", config_.directory},
                             {"io_engine", engine_name_},
                             {"blobs", blobs_.size()},
                             {"stored_bytes", stored_bytes_},
                             {"budget_bytes", budget_bytes_},
                             {"writable", opened_writable_}});
  if (opened_writable_) {
    room_.writer = std::make_unique<IndexWriter>(*room_.index, limit_counter(metrics_, "storage.index_queue"),
                                                 [this](const Result<>& written) {
                                                   if (!written) room_.health.write_failed(written.error());
                                                 });
    room_.submit([this] { remove_orphans(); });
    scrub_thread_ = std::thread([this] { scrub_forever(); });
  }
  upkeep_thread_ = std::thread([this] { upkeep(); });
  return {};
}

Result<> StoreImpl::open_directory(bool& writable) {
  std::error_code error;
  if (fs::exists(config_.directory, error) && !fs::is_directory(config_.directory, error)) {
    return fail(Errc::kInvalid, config_.directory + " is not a directory");
  }
  fs::create_directories(config_.directory + "/blobs", error);
  Result<> able;
  if (error) able = std::unexpected(errno_error(error.value(), "create " + config_.directory));
  if (auto locked = lock_.take(config_.directory + "/lock"); !locked) {
    if (locked.error().code() == Errc::kBusy) return locked;
    if (able) able = locked;
  }
  if (!able) {
    writable = false;
    room_.health.write_failed(Error(Errc::kNoSpace, able.error().what()));
  } else if (auto probed = room_.disk->probe(config_.directory); !probed) {
    room_.health.write_failed(probed.error());
  }
  return {};
}

// The ring reads and writes where it is allowed: it is the cheaper one at both (docs/decisions/0005-io-engines.md).
Result<> StoreImpl::choose_engine(Parts& parts) {
  if (config_.io_engine != IoEngineKind::kThreads) {
    auto ring = make_uring_engine();
    if (ring) {
      room_.engine = std::move(*ring);
    } else if (config_.io_engine == IoEngineKind::kUring) {
      return std::unexpected(std::move(ring.error()).in("io_engine = \"io_uring\""));
    } else {
      log::info("io_uring is not to be had; using threads", {log::Field(ring.error())});
    }
  }
  if (!room_.engine) room_.engine = make_thread_engine(kIoThreads);
  if (parts.wrap_engine) room_.engine = parts.wrap_engine(std::move(room_.engine));
  engine_name_ = room_.engine->name();
  gauge_family(metrics_, "oxbow_storage_io_engine", "1 for the engine in use").Add({{"engine", engine_name_}}).Set(1);
  return {};
}

Result<> StoreImpl::recover_index(bool writable) {
  const std::string path = config_.directory + "/index";
  std::error_code error;
  if (!writable && !fs::exists(path, error)) return {};
  // As it is; after setting a corrupt one aside; at last read-only.
  for (int attempt = 0; attempt < 3; ++attempt) {
    auto tried = try_index(path, writable);
    if (tried || tried.error().code() == Errc::kInvalid) return tried;
    room_.index.reset();
    blobs_.clear();
    queue_ = {};
    small_.clear();
    stored_bytes_ = pinned_bytes_ = 0;
    if (!writable) {
      log::error("storage index cannot be read", {{"directory", config_.directory}, log::Field(tried.error())});
      return {};
    }
    if (tried.error().code() == Errc::kCorrupt && attempt == 0) {
      set_aside(tried.error());
    } else {
      room_.health.write_failed(tried.error());
      writable = false;
    }
  }
  return {};
}

Result<> StoreImpl::try_index(const std::string& path, bool writable) {
  auto index = open_index(path, writable);
  if (!index) return std::unexpected(index.error());
  room_.index = std::move(*index);
  if (auto meta = read_meta(writable); !meta) return meta;
  if (auto rows = read_rows(); !rows) return rows;
  opened_writable_ = writable;
  return {};
}

// Nothing of the data can be trusted without its index. Renaming is quick; the files are removed behind.
void StoreImpl::set_aside(const Error& why) {
  log::error("THE STORAGE INDEX IS CORRUPT; starting empty, everything will be fetched again",
             {{"directory", config_.directory}, log::Field(why)});
  const auto stamp = std::chrono::system_clock::now().time_since_epoch().count();
  std::error_code error;
  fs::rename(config_.directory + "/index", fmt::format("{}/trash-{:x}-index", config_.directory, stamp), error);
  fs::rename(config_.directory + "/blobs", fmt::format("{}/trash-{:x}-blobs", config_.directory, stamp), error);
  fs::create_directories(config_.directory + "/blobs", error);
}

Result<> StoreImpl::read_meta(bool writable) {
  const auto meta = [this](std::string_view key) -> Result<std::string> {
    auto value = room_.index->get(Family::kMeta, key);
    if (!value) return std::unexpected(value.error());
    return value->value_or("");
  };
  const auto format = meta("format");
  if (!format) return std::unexpected(format.error());
  if (!format->empty() && *format != kFormat) {
    return fail(Errc::kInvalid,
                fmt::format("{} has format {}; this program knows {}", config_.directory, *format, kFormat));
  }
  const auto boot = meta("boot_id");
  const auto clean = meta("clean");
  const auto run = meta("run");
  const auto scrubbed = meta("scrubbed_at_ms");
  if (!boot || !clean || !run || !scrubbed) return fail(Errc::kCorrupt, "meta rows cannot be read");
  boot_id_ = read_boot_id();
  suspect_ = !format->empty() && *clean != "1" && *boot != boot_id_;
  if (suspect_) log::warn("the host went down without closing the storage; every stripe is checked", {});
  run_ = parse_number(*run) + 1;
  next_generation_ = run_ << 32;
  scrubbed_at_ms_ =
      scrubbed->empty()
          ? static_cast<std::uint64_t>(
                std::chrono::duration_cast<std::chrono::milliseconds>(room_.clock.wall().time_since_epoch()).count())
          : parse_number(*scrubbed);
  if (!writable) return {};
  return room_.index->apply({{Family::kMeta, "format", std::string(kFormat)},
                             {Family::kMeta, "boot_id", boot_id_},
                             {Family::kMeta, "clean", "0"},
                             {Family::kMeta, "run", std::to_string(run_)},
                             {Family::kMeta, "scrubbed_at_ms", std::to_string(scrubbed_at_ms_)}},
                            false);
}

Result<> StoreImpl::read_rows() {
  std::vector<std::shared_ptr<BlobFile>> order;
  auto scanned = room_.index->scan(Family::kBlobs, "", [&](std::string_view key, std::string_view value) {
    const auto digest = parse_digest_key(key);
    const auto row = decode_blob_row(value);
    if (!digest || !row) return true;  // a row that means nothing: its file is an orphan
    auto blob = std::make_shared<BlobFile>(room_, *digest, row->size, row->generation, true);
    blob->restore(*row);
    blob->account = {.listed = true,
                     .pinned = row->pinned,
                     .last_used_s = row->last_used_s,
                     .last_used_written_s = row->last_used_s};
    next_generation_ = std::max(next_generation_, row->generation + 1);
    blobs_.emplace(*digest, blob);
    order.push_back(std::move(blob));
    return true;
  });
  if (!scanned) return scanned;
  BlobFile* current = nullptr;
  scanned = room_.index->scan(Family::kSpans, "", [&](std::string_view key, std::string_view value) {
    const auto at = parse_span_key(key);
    if (!at) return true;
    if (current == nullptr || current->digest() != at->digest) {
      const auto found = blobs_.find(at->digest);
      if (found == blobs_.end()) return true;
      current = found->second.get();
    }
    const auto row = decode_span_row(value, midstate_size(at->digest.algorithm()));
    if (row && at->span < current->geometry().spans())
      current->account.stored_bytes += current->restore(at->span, *row);
    return true;
  });
  if (!scanned) return scanned;
  std::ranges::sort(order, {}, [](const auto& blob) { return blob->account.last_used_s; });
  for (const auto& blob : order) {
    stored_bytes_ += blob->account.stored_bytes;
    if (blob->account.pinned) {
      pinned_bytes_ += blob->account.stored_bytes;
    } else {
      queue_.insert(blob->digest(), blob->account.stored_bytes, blob->row_in_main);
    }
  }
  return room_.index->scan(Family::kSmallInfo, "", [&](std::string_view key, std::string_view value) {
    const auto digest = parse_digest_key(key);
    const auto info = decode_small_info(value);
    if (digest && info) small_.restore(*digest, *info);
    return true;
  });
}

/// `name` is `<hex>.<generation>`. A file of this run is never an orphan: its row may not have been written yet.
bool StoreImpl::keeps_file(std::string_view name) const {
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return false;
  std::uint64_t generation = 0;
  const auto [end, error] = std::from_chars(name.data() + dot + 1, name.data() + name.size(), generation, 16);
  if (error != std::errc() || end != name.data() + name.size()) return false;
  if (generation >> 32 == run_) return true;
  const auto digest = Digest::parse((dot == 64 ? "sha256:" : "sha512:") + std::string(name.substr(0, dot)));
  if (!digest) return false;
  const std::lock_guard lock(mutex_);
  const auto found = blobs_.find(*digest);
  return found != blobs_.end() && found->second->generation() == generation;
}

void StoreImpl::remove_orphans() {
  std::uint64_t removed = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(config_.directory, error)) {
    if (entry.path().filename().string().starts_with("trash-")) fs::remove_all(entry.path(), error);
  }
  for (const auto& folder : fs::directory_iterator(config_.directory + "/blobs", error)) {
    for (const auto& file : fs::directory_iterator(folder.path(), error)) {
      if (room_.closed.load()) return;
      if (keeps_file(file.path().filename().string())) continue;
      if (room_.disk->remove(file.path().string())) ++removed;
    }
  }
  if (removed > 0) log::info("orphan files removed", {{"files", removed}});
}

void StoreImpl::close() {
  if (room_.closed.exchange(true)) return;
  {
    const std::lock_guard lock(stop_mutex_);
    stopping_ = true;
  }
  stop_changed_.notify_all();
  if (upkeep_thread_.joinable()) upkeep_thread_.join();
  if (scrub_thread_.joinable()) scrub_thread_.join();
  const auto deadline = std::chrono::steady_clock::now() + kDrain;
  while ((room_.arena.chunks_in_use() > 0 || room_.flights.load() > 0) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  room_.pool_closed = true;
  if (room_.pool) room_.pool->join();
  if (room_.writer) {
    for (const auto& blob : all_blobs()) {
      const std::lock_guard lock(mutex_);
      if (blob->account.last_used_s == blob->account.last_used_written_s) continue;
      blob->row_in_main = queue_.in_main(blob->digest());
      room_.writer->blob_changed(blob->digest(), blob);
    }
    Result<> flushed = room_.writer->flush();
    room_.writer.reset();
    if (flushed) flushed = room_.index->flush();
    if (flushed) flushed = room_.index->apply({{Family::kMeta, "clean", "1"}}, true);
    if (!flushed) log::error("storage index not closed cleanly", {log::Field(flushed.error())});
  }
  room_.index.reset();
  lock_.release();
}

}  // namespace oxbow::storage
