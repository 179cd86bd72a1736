#include "mirror/install/installer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <ranges>
#include <utility>

#include "mirror/install/next_record.h"

namespace oxbow::mirror::install {
namespace fs = std::filesystem;
namespace {

/// podman, skopeo, buildah and CRI-O read the same files: one record.
constexpr const char* kContainers = "containers";

std::string record_name(const std::string& runtime) {
  return runtime == "podman" || runtime == "cri-o" ? kContainers : runtime;
}

/// flock(2) on the directory of the records, so that no lock file stays behind.
class DirectoryLock {
 public:
  static Result<DirectoryLock> take(const fs::path& directory) {
    DirectoryLock out(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (out.fd_ < 0) return std::unexpected(errno_error(errno, fmt::format("open {}", directory.string())));
    if (::flock(out.fd_, LOCK_EX | LOCK_NB) != 0)
      return fail(Errc::kBusy, "another oxbow install or uninstall is running: wait for it to end and try again");
    return out;
  }
  DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  DirectoryLock& operator=(DirectoryLock&&) = delete;
  ~DirectoryLock() {
    if (fd_ >= 0) ::close(fd_);
  }

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace

Installer::Installer(const RootFs& files, fs::path state, std::string runtime)
    : files_(files), state_(std::move(state)), runtime_(std::move(runtime)) {}

fs::path Installer::record_path() const { return state_ / (record_name(runtime_) + ".json"); }

std::vector<std::string> Installer::installed(const RootFs& files, const fs::path& state) {
  std::vector<std::string> out;
  for (const auto* runtime : {"containerd", "podman", "cri-o", "docker", "k3s"}) {
    const auto manifest = Installer(files, state, runtime).load();
    // One that cannot be read is named too: uninstalling it then says why.
    if (!manifest || std::ranges::find(manifest->runtimes, runtime) != manifest->runtimes.end())
      out.emplace_back(runtime);
  }
  return out;
}

Result<Manifest> Installer::load() const {
  const auto read = files_.read(record_path());
  if (!read) return std::unexpected(read.error());
  const auto& text = *read;
  if (!text) return Manifest{};
  auto manifest = manifest_from_json(*text);
  if (!manifest) return std::unexpected(manifest.error().in(files_.real(record_path()).string()));
  return manifest;
}

Result<> Installer::save(const Manifest& manifest) const {
  if (auto made = files_.make_directories(state_); !made) return made;
  return files_.write(record_path(), to_json(manifest), 0600);  // originals may hold credentials
}

Result<> Installer::forget(const Manifest& manifest) const {
  if (auto removed = files_.remove(record_path()); !removed) return removed;
  files_.remove_if_empty(state_);
  for (const auto& directory : std::views::reverse(manifest.directories)) files_.remove_if_empty(directory);
  return {};
}

Result<Report> Installer::install(const Planner& planner, bool dry_run) const {
  const auto look = [&]() -> Result<NextRecord> {
    auto before = load();
    if (!before) return std::unexpected(before.error());
    const auto plan = planner(View(files_, *before));
    return next_record(files_, std::move(*before), plan, runtime_, state_);
  };
  auto next = look();
  if (!next) return std::unexpected(next.error());
  if (dry_run || !next->report.errors.empty()) return std::move(next->report);
  if (next->before == next->after && !next->report.changed) return std::move(next->report);
  const auto made = files_.missing_directories(state_);
  if (auto done = files_.make_directories(state_); !done) return std::unexpected(done.error());
  const auto lock = DirectoryLock::take(files_.real(state_));
  if (!lock) return std::unexpected(lock.error());
  next = look();  // under the lock: another process may have been quicker
  if (!next) return std::unexpected(next.error());
  if (!next->report.errors.empty()) return std::move(next->report);
  auto& directories = next->after.directories;
  directories.insert(directories.begin(), made.begin(), made.end());
  if (auto done = apply(next->before, next->after); !done) return std::unexpected(done.error());
  return std::move(next->report);
}

Result<> Installer::apply(const Manifest& before, const Manifest& after) const {
  for (const auto& record : before.files) {
    const auto* next = after.find(record.path);
    if (next && *next == record) continue;
    const auto current = files_.read(record.path);
    if (!current) return std::unexpected(current.error());
    if (next && *current == next->written) continue;
    if (auto done = restore(record, false); !done) return done;
  }
  if (auto saved = save(after); !saved) return saved;
  auto written = write_all(before, after);
  if (written) {
    for (const auto& directory : std::views::reverse(before.directories)) files_.remove_if_empty(directory);
    return {};
  }
  for (const auto& record : after.files) {
    if (const auto back = restore(record, false); !back) {
      return std::unexpected(written.error().in(fmt::format(
          "{}, and \"oxbow uninstall {}\" has to restore the rest, because", back.error().what(), runtime_)));
    }
  }
  if (auto forgotten = forget(after); !forgotten) return forgotten;
  return std::unexpected(written.error().in("everything was restored, because"));
}

Result<> Installer::write_all(const Manifest& before, const Manifest& after) const {
  for (const auto& record : after.files) {
    const auto current = files_.read(record.path);
    if (!current) return std::unexpected(current.error());
    if (*current == record.written) continue;
    if (*current != record.original) {
      const auto* earlier = before.find(record.path);
      if (earlier && *earlier == record) continue;  // our part was changed by hand, and stays so
      return fail(Errc::kBusy, fmt::format("{} was changed by somebody else meanwhile: run this again",
                                           files_.real(record.path).string()));
    }
    if (auto made = files_.make_directories(record.path.parent_path()); !made) return made;
    if (auto done = files_.write(record.path, record.written); !done) return done;
  }
  return {};
}

Result<> Installer::restore(const FileRecord& record, bool force) const {
  const auto current = files_.read(record.path);
  if (!current) return std::unexpected(current.error());
  auto undone = undo(record, *current);
  if (force && undone.kind == Undone::Kind::kConflict) undone.text = record.original;
  if (undone.text == *current) return {};
  if (auto allowed = files_.check_writable(record.path); !allowed) return allowed;
  return undone.text ? files_.write(record.path, *undone.text) : files_.remove(record.path);
}

Result<Report> Installer::uninstall(bool dry_run, bool force) const {
  auto manifest = load();
  if (!manifest) return std::unexpected(manifest.error());
  Report report;
  auto& users = manifest->runtimes;
  if (std::erase(users, runtime_) == 0) {
    report.notes.push_back(
        fmt::format("nothing to do: no record of \"oxbow install {}\" in {}", runtime_, files_.real(state_).string()));
    return report;
  }
  std::optional<DirectoryLock> lock;
  if (!dry_run) {
    auto taken = DirectoryLock::take(files_.real(state_));
    if (!taken) return std::unexpected(taken.error());
    lock.emplace(std::move(*taken));
  }
  report.changed = true;
  if (!users.empty()) {
    report.notes.push_back(fmt::format("the files stay: {} reads them too, and is installed", users.front()));
    if (dry_run) return report;
    if (auto saved = save(*manifest); !saved) return std::unexpected(saved.error());
    return report;
  }
  std::vector<FileRecord> left;
  for (const auto& record : std::views::reverse(manifest->files)) {
    if (auto outcome = taken_back(files_, record, force, report); outcome.what == FileOutcome::What::kLeft)
      left.push_back(record);
    else if (!dry_run) {
      if (auto done = restore(record, force); !done) return std::unexpected(done.error());
    }
  }
  report.notes.insert(report.notes.end(), manifest->after_undo.begin(), manifest->after_undo.end());
  if (dry_run) return report;
  if (left.empty()) {
    if (auto done = forget(*manifest); !done) return std::unexpected(done.error());
    return report;
  }
  for (const auto& directory : std::views::reverse(manifest->directories)) files_.remove_if_empty(directory);
  manifest->files = std::move(left);
  users.push_back(runtime_);
  if (auto saved = save(*manifest); !saved) return std::unexpected(saved.error());
  return report;
}

}  // namespace oxbow::mirror::install
