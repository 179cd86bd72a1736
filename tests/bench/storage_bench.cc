// Measures the storage room by itself, one JSON line a result: CPU seconds per GB of writing and of cold reading by
// both engines, and the time and memory of opening an index of many stripes.
//   storage_bench write|read DIRECTORY [GiB]     storage_bench fill|open DIRECTORY [stripes]
// Ratios of one run are what counts: the machine's absolute numbers differ by 30 % from run to run.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "core/encoding.h"
#include "storage/index.h"
#include "storage/rows.h"
#include "storage/store.h"

namespace oxbow::storage {
namespace {

constexpr std::uint64_t kGiB = 1ULL << 30;
constexpr std::uint64_t kPieceBytes = 256ULL * 1024;

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::uint64_t resident_kib() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmRSS:")) return std::stoull(line.substr(6));
  }
  return 0;
}

Config make_config(const std::string& directory, IoEngineKind engine) {
  Config config;
  config.directory = directory;
  config.budget_bytes = 1ULL << 40;
  config.floor_bytes = 0;
  config.io_engine = engine;
  config.scrub_bytes_per_second = 0;
  return config;
}

const char* name_of(IoEngineKind engine) { return engine == IoEngineKind::kUring ? "io_uring" : "threads"; }

/// Four writers at once, in pieces as a download delivers them.
void write_all(Store& store, const Digest& digest, std::uint64_t bytes) {
  const auto blob = store.reserve(digest, bytes).value();
  const std::vector<std::byte> piece(kPieceBytes, std::byte{42});
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t changes = 0;
  const auto wake = [&] {
    const std::lock_guard lock(mutex);
    ++changes;
    changed.notify_one();
  };
  const auto arena = store.on_arena_space(wake);
  const auto progress = blob->on_progress(wake);
  std::uint32_t next = 0;
  std::vector<std::unique_ptr<StripeWriter>> writers(4);
  while (!blob->complete()) {
    const std::uint64_t seen = [&] {
      const std::lock_guard lock(mutex);
      return changes;
    }();
    bool moved = false;
    for (auto& writer : writers) {
      if (writer && writer->position() == writer->stripe().end) writer.reset();
      if (!writer && next < blob->geometry().stripes()) writer = blob->begin_stripe(next++).value();
      if (!writer) continue;
      const std::uint64_t left = writer->stripe().end - writer->position();
      moved |= writer->write(std::span(piece).first(std::min<std::uint64_t>(left, kPieceBytes)));
    }
    if (moved) continue;
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return changes != seen; });
  }
}

void bench_write(const std::string& directory, std::uint64_t bytes, IoEngineKind engine) {
  SystemClock clock;
  MetricsRegistry metrics;
  std::filesystem::remove_all(directory);
  auto store = Store::open(make_config(directory, engine), clock, metrics).value();
  const double cpu = cpu_seconds();
  const double wall = wall_seconds();
  write_all(*store, Digest::sha256("bench"), bytes);
  std::printf("{\"bench\":\"write\",\"engine\":\"%s\",\"cpu_s_per_gb\":%.3f,\"gb_per_s\":%.2f,\"rss_kib\":%lu}\n",
              name_of(engine), (cpu_seconds() - cpu) / static_cast<double>(bytes) * 1e9,
              static_cast<double>(bytes) / 1e9 / (wall_seconds() - wall), resident_kib());
}

/// Every stripe checked at its first serve, from a cold page cache.
void bench_read(const std::string& directory, IoEngineKind engine) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory + "/blobs")) {
    if (!entry.is_regular_file()) continue;
    const int fd = ::open(entry.path().c_str(), O_RDWR | O_CLOEXEC);
    ::fdatasync(fd);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
  SystemClock clock;
  MetricsRegistry metrics;
  auto store = Store::open(make_config(directory, engine), clock, metrics).value();
  const auto blob = store->lookup(Digest::sha256("bench"));
  const std::uint64_t bytes = blob->geometry().blob_bytes();
  const double cpu = cpu_seconds();
  const double wall = wall_seconds();
  std::promise<Result<>> done;
  if (!blob->prepare({0, bytes}, [&](Result<> result) { done.set_value(std::move(result)); })) {
    if (const auto result = done.get_future().get(); !result)
      std::printf("failed: %s\n", result.error().what().c_str());
  }
  std::printf("{\"bench\":\"cold_read\",\"engine\":\"%s\",\"cpu_s_per_gb\":%.3f,\"gb_per_s\":%.2f}\n", name_of(engine),
              (cpu_seconds() - cpu) / static_cast<double>(bytes) * 1e9,
              static_cast<double>(bytes) / 1e9 / (wall_seconds() - wall));
}

/// An index of `stripes` stripes in blobs of 256 stripes (128 MiB), as sparse files; every blob has its midstates.
void fill(const std::string& directory, std::uint32_t stripes) {
  std::filesystem::remove_all(directory);
  SystemClock clock;
  MetricsRegistry metrics;
  Store::open(make_config(directory, IoEngineKind::kThreads), clock, metrics).value().reset();
  auto index = open_index(directory + "/index", true).value();
  const std::uint64_t blob_bytes = 256 * kMinStripeBytes;
  const std::vector<std::byte> zeros(kMinStripeBytes);
  const Checksum sum = checksum(zeros);
  for (std::uint32_t i = 0; i < stripes / 256; ++i) {
    const Digest digest = Digest::sha256("blob " + std::to_string(i));
    const BlobRow row{.size = blob_bytes,
                      .generation = i,
                      .last_used_s = i,
                      .state = BlobState::kVerified,
                      .pinned = false,
                      .in_main = false};
    std::vector<IndexOp> ops{{Family::kBlobs, digest_key(digest), encode(row)}};
    for (std::uint32_t span = 0; span < 32; ++span) {
      SpanRow spans{.present = 255,
                    .midstates = static_cast<std::uint8_t>(span == 0 ? 254 : 255),
                    .checksums = {},
                    .midstate_bytes = {}};
      spans.checksums.fill(sum);
      spans.midstate_bytes.assign(span == 0 ? 7 * 32 : 8 * 32, 'm');
      ops.push_back({Family::kSpans, span_key(digest, span), encode(spans)});
    }
    if (!index->apply(ops, false)) std::abort();
    const std::string folder = directory + "/blobs/" + digest.hex().substr(0, 2);
    std::filesystem::create_directories(folder);
    const std::string path = folder + "/" + digest.hex() + "." + fmt::format("{:x}", i);
    std::ofstream(path).put('\0');
    std::filesystem::resize_file(path, blob_bytes);
  }
}

/// From the start of `open` to the first stripe that is ready to be served.
void bench_open(const std::string& directory) {
  SystemClock clock;
  MetricsRegistry metrics;
  const std::uint64_t rss = resident_kib();
  const double wall = wall_seconds();
  auto store = Store::open(make_config(directory, IoEngineKind::kAuto), clock, metrics).value();
  const double opened = wall_seconds();
  const auto blob = store->lookup(Digest::sha256("blob 7"));
  std::promise<Result<>> done;
  if (!blob->prepare({0, kMinStripeBytes}, [&](Result<> result) { done.set_value(std::move(result)); })) {
    if (const auto result = done.get_future().get(); !result)
      std::printf("failed: %s\n", result.error().what().c_str());
  }
  const double hit = wall_seconds();
  const auto usage = store->usage();
  std::printf(
      "{\"bench\":\"open\",\"stripes\":%lu,\"blobs\":%lu,\"open_ms\":%.1f,\"first_hit_ms\":%.1f,\"rss_before_kib\":%lu,"
      "\"rss_kib\":%lu}\n",
      usage.stripes, usage.blobs, (opened - wall) * 1e3, (hit - wall) * 1e3, rss, resident_kib());
  const double closing = wall_seconds();
  store.reset();
  std::printf("{\"bench\":\"close\",\"ms\":%.1f}\n", (wall_seconds() - closing) * 1e3);
}

int run(const std::string& what, const std::string& directory, std::uint64_t number) {
  if (what == "write" || what == "read") {
    const std::uint64_t bytes = (number == 0 ? 1 : number) * kGiB;
    // Interleaved pairs, so that a disturbance hits both.
    if (what == "read") bench_write(directory, bytes, IoEngineKind::kThreads);
    for (int pair = 0; pair < 3; ++pair) {
      for (const auto engine : {IoEngineKind::kThreads, IoEngineKind::kUring}) {
        if (what == "write")
          bench_write(directory, bytes, engine);
        else
          bench_read(directory, engine);
      }
    }
    return 0;
  }
  if (what == "fill") {
    fill(directory, static_cast<std::uint32_t>(number == 0 ? 102'400 : number));
    return 0;
  }
  if (what == "open") {
    bench_open(directory);
    return 0;
  }
  return 2;
}

}  // namespace
}  // namespace oxbow::storage

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: storage_bench write|read|fill|open DIRECTORY [GiB or stripes]\n", stderr);
    return 2;
  }
  return oxbow::storage::run(argv[1], argv[2], argc > 3 ? std::stoull(argv[3]) : 0);
}
