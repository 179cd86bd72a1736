#include "support.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace oxbow::storage {

namespace fs = std::filesystem;

TempDir::TempDir(Where where) {
  std::error_code error;
  const bool memory = where == Where::kMemory && fs::is_directory("/dev/shm", error);
  // Where /tmp is in memory, as in Debian from 13 on, /var/tmp is not.
  const fs::path disk = fs::is_directory("/var/tmp", error) ? fs::path("/var/tmp") : fs::temp_directory_path();
  std::string name = ((memory ? fs::path("/dev/shm") : disk) / "oxbow-storage-XXXXXX").string();
  OXBOW_INVARIANT(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code error;
  fs::remove_all(path_, error);
}

std::vector<std::string> TempDir::blob_files() const {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(path_ + "/blobs", error)) {
    if (entry.is_regular_file()) files.push_back(entry.path().string());
  }
  std::ranges::sort(files);
  return files;
}

void Faults::fail_next_write(int error) {
  const std::lock_guard lock(mutex);
  write_errors.push_back(error);
}
void Faults::fail_next_read(int error) {
  const std::lock_guard lock(mutex);
  read_errors.push_back(error);
}
void Faults::fail_next_open(int error) {
  const std::lock_guard lock(mutex);
  open_errors.push_back(error);
}
void Faults::hold() {
  const std::lock_guard lock(mutex);
  hold_writes = true;
}
void Faults::let_go() {
  std::vector<std::move_only_function<void()>> now;
  {
    const std::lock_guard lock(mutex);
    hold_writes = false;
    now = std::exchange(held, {});
  }
  for (auto& write : now) write();
}

namespace {

template <typename T>
std::optional<T> take_front(Faults& faults, std::deque<T>& queue) {
  const std::lock_guard lock(faults.mutex);
  if (queue.empty()) return std::nullopt;
  T value = queue.front();
  queue.pop_front();
  return value;
}

class FaultyDisk final : public Disk {
 public:
  explicit FaultyDisk(std::shared_ptr<Faults> faults) : faults_(std::move(faults)) {}
  Result<int> open(const std::string& path, std::uint64_t bytes) override {
    if (const auto error = take_front(*faults_, faults_->open_errors))
      return std::unexpected(errno_error(*error, "open"));
    return real_->open(path, bytes);
  }
  Result<int> create(const std::string& path, std::uint64_t bytes) override {
    if (const auto error = take_front(*faults_, faults_->open_errors))
      return std::unexpected(errno_error(*error, "create"));
    return real_->create(path, bytes);
  }
  Result<> remove(const std::string& path) override {
    ++faults_->removes;
    return real_->remove(path);
  }
  Result<> punch(int fd, ByteRange range) override {
    ++faults_->punches;
    return real_->punch(fd, range);
  }
  Result<DiskSpace> space(const std::string& directory) override {
    {
      const std::lock_guard lock(faults_->mutex);
      if (faults_->space) return *faults_->space;
    }
    return real_->space(directory);
  }
  Result<> probe(const std::string& directory) override {
    const std::lock_guard lock(faults_->mutex);
    if (faults_->probe_fails) return std::unexpected(errno_error(EROFS, "probe " + directory));
    return {};
  }

 private:
  std::shared_ptr<Faults> faults_;
  std::unique_ptr<Disk> real_ = make_posix_disk();
};

class FaultyEngine final : public IoEngine {
 public:
  FaultyEngine(std::shared_ptr<Faults> faults, std::unique_ptr<IoEngine> real)
      : faults_(std::move(faults)), real_(std::move(real)) {}

  void read(int fd, std::span<std::byte> buffer, std::uint64_t offset, Done done) override {
    ++faults_->reads;
    if (const auto error = take_front(*faults_, faults_->read_errors)) return done(-*error);
    real_->read(fd, buffer, offset, std::move(done));
  }

  void write(int fd, std::span<const iovec> parts, std::uint64_t offset, Done done) override {
    ++faults_->writes;
    {
      const std::lock_guard lock(faults_->mutex);
      if (faults_->hold_writes) {
        faults_->held.push_back(
            [this, fd, parts, offset, done = std::move(done)]() mutable { write(fd, parts, offset, std::move(done)); });
        return;
      }
    }
    if (const auto limit = take_front(*faults_, faults_->short_writes)) {
      const ssize_t n = ::pwrite(fd, parts[0].iov_base, std::min(*limit, parts[0].iov_len), static_cast<off_t>(offset));
      return done(n);
    }
    if (const auto error = take_front(*faults_, faults_->write_errors); error && *error != 0) return done(-*error);
    real_->write(fd, parts, offset, std::move(done));
  }
  std::string_view name() const noexcept override { return real_->name(); }

 private:
  std::shared_ptr<Faults> faults_;
  std::unique_ptr<IoEngine> real_;
};

}  // namespace

std::unique_ptr<Disk> faulty_disk(std::shared_ptr<Faults> faults) {
  return std::make_unique<FaultyDisk>(std::move(faults));
}

std::unique_ptr<IoEngine> faulty_engine(std::shared_ptr<Faults> faults, std::unique_ptr<IoEngine> real) {
  return std::make_unique<FaultyEngine>(std::move(faults), std::move(real));
}

StoreFixture::StoreFixture(IoEngineKind engine, TempDir::Where where) : dir(where) {
  config.directory = dir.path();
  config.budget_bytes = 1024 * kMiB;
  config.floor_bytes = 0;
  config.io_engine = engine;
  config.scrub_bytes_per_second = 0;
}

StoreFixture::~StoreFixture() {
  faults->let_go();
  store.reset();
}

Result<> StoreFixture::open() {
  metrics = std::make_unique<MetricsRegistry>();
  Parts parts;
  parts.disk = faulty_disk(faults);
  parts.wrap_engine = [this](std::unique_ptr<IoEngine> real) { return faulty_engine(faults, std::move(real)); };
  auto opened = open_store(config, std::move(parts), clock, *metrics);
  if (!opened) return std::unexpected(opened.error());
  store = std::move(*opened);
  return {};
}

void StoreFixture::reopen() {
  close();
  const auto opened = open();
  ASSERT_TRUE(opened) << opened.error().what();
}

double StoreFixture::metric(const std::string& line_begin) const {
  const std::string text = render_metrics(*metrics);
  const auto at = text.find("\n" + line_begin);
  if (at == std::string::npos) return -1;
  const auto end = text.find('\n', at + 1);
  const std::string line = text.substr(at + 1, end - at - 1);
  return std::stod(line.substr(line.rfind(' ') + 1));
}

std::vector<std::byte> pattern(std::uint64_t size, std::uint64_t seed) {
  std::vector<std::byte> out(size);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (std::size_t i = 0; i < out.size(); i += sizeof state) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    std::memcpy(out.data() + i, &state, std::min(sizeof state, out.size() - i));
  }
  return out;
}

Digest digest_of(std::uint64_t seed) { return Digest::sha256("blob " + std::to_string(seed)); }

bool wait_for(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

::testing::AssertionResult write_stripe(Blob& blob, std::uint32_t stripe, std::span<const std::byte> content) {
  auto writer = blob.begin_stripe(stripe);
  // Busy passes: its bytes are on their way, or its span is just being evicted.
  wait_for([&] {
    if (!writer && writer.error().code() == Errc::kBusy) writer = blob.begin_stripe(stripe);
    return writer || writer.error().code() != Errc::kBusy;
  });
  if (!writer) {
    if (writer.error().code() == Errc::kCancelled) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << writer.error().what();
  }
  while ((*writer)->position() < (*writer)->stripe().end) {
    const std::uint64_t at = (*writer)->position();
    const auto part = content.subspan(at, std::min<std::uint64_t>((*writer)->stripe().end - at, 200'000));
    if ((*writer)->write(part)) continue;
    if (auto error = (*writer)->error()) return ::testing::AssertionFailure() << error->what();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const bool there = wait_for([&] { return blob.has(stripe) || (*writer)->error(); });
  if (auto error = (*writer)->error()) return ::testing::AssertionFailure() << error->what();
  if (!there) return ::testing::AssertionFailure() << "stripe " << stripe << " did not commit";
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult write_blob(Store& store, const Digest& digest, std::span<const std::byte> content) {
  auto blob = store.reserve(digest, content.size());
  if (!blob) return ::testing::AssertionFailure() << blob.error().what();
  for (std::uint32_t stripe = 0; stripe < (*blob)->geometry().stripes(); ++stripe) {
    if (auto written = write_stripe(**blob, stripe, content); !written) return written;
  }
  return ::testing::AssertionSuccess();
}

Result<> prepare(Blob& blob, ByteRange range) {
  std::promise<Result<>> promise;
  auto future = promise.get_future();
  if (blob.prepare(range, [&promise](Result<> result) { promise.set_value(std::move(result)); })) return {};
  return future.get();
}

Result<std::vector<std::byte>> read_range(Blob& blob, ByteRange range) {
  if (auto ready = prepare(blob, range); !ready) return std::unexpected(ready.error());
  const auto pinned = blob.acquire(range);
  if (!pinned) return std::unexpected(pinned.error());
  std::vector<std::byte> out(range.size());
  const ssize_t n = ::pread(pinned->fd, out.data(), out.size(), static_cast<off_t>(range.begin));
  if (n != static_cast<ssize_t>(out.size())) return fail(Errc::kIo, "short read");
  return out;
}

void BudgetTest::open(std::uint64_t budget_bytes) {
  fixture_.config.budget_bytes = budget_bytes;
  const auto opened = fixture_.open();
  ASSERT_TRUE(opened) << opened.error().what();
}

void BudgetTest::write(std::uint64_t seed, std::uint64_t bytes) {
  ASSERT_TRUE(write_blob(store(), digest_of(seed), pattern(bytes, seed)));
}

void BudgetTest::use(std::uint64_t seed) {
  fixture_.clock.advance(std::chrono::minutes(1));
  ASSERT_TRUE(store().lookup(digest_of(seed)));
}

}  // namespace oxbow::storage
