// Carries out what was planned, and takes it back. The order makes a crash at any moment harmless: what the new plan
// changes is first restored, then the record is written, then the files. Whatever was reached, both `install` and
// `uninstall` go on from there. Only files that were recorded are ever touched.
// Thread rule: one thread; one process a node at a time (flock). Blocks on the disk.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "mirror/install/manifest.h"
#include "mirror/install/plan.h"
#include "mirror/install/root_fs.h"

namespace oxbow::mirror::install {

/// What was done to one file, or would be.
struct FileOutcome {
  enum class What { kCreated, kChanged, kUnchanged, kAlready, kRestored, kRemoved, kKept, kLeft };
  What what;
  std::filesystem::path path;
  std::vector<Hunk> hunks;  ///< of kCreated and kChanged
};

struct Report {
  std::vector<FileOutcome> files;
  std::vector<std::string> errors;  ///< any: of install, nothing was written; of uninstall, these files were left
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
  bool changed = false;
};

class Installer {
 public:
  /// `state`: where the records are, below the root too. `runtime`: as on the command line.
  Installer(const RootFs& files, std::filesystem::path state, std::string runtime);

  using Planner = std::function<Plan(const View&)>;
  /// With `dry_run` nothing is written. Errors: a record that cannot be read; what failed while writing (what had been
  /// written then is restored).
  Result<Report> install(const Planner& planner, bool dry_run) const;
  /// `force`: restores files whose recorded part was changed by hand, too; such changes are lost.
  Result<Report> uninstall(bool dry_run, bool force) const;

  std::filesystem::path record_path() const;
  /// Runtimes that have a record, in the order in which they are known.
  static std::vector<std::string> installed(const RootFs& files, const std::filesystem::path& state);

 private:
  Result<Manifest> load() const;
  Result<> save(const Manifest& manifest) const;
  Result<> forget(const Manifest& manifest) const;
  Result<> apply(const Manifest& before, const Manifest& after) const;
  Result<> write_all(const Manifest& before, const Manifest& after) const;
  /// Takes one file back, if that can be done. Errors: as RootFs::write.
  Result<> restore(const FileRecord& record, bool force) const;

  const RootFs& files_;
  std::filesystem::path state_;
  std::string runtime_;
};

}  // namespace oxbow::mirror::install
