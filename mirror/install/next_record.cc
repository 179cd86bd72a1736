#include "mirror/install/next_record.h"

#include <fmt/format.h>

#include <algorithm>

namespace oxbow::mirror::install {
namespace fs = std::filesystem;
namespace {

using What = FileOutcome::What;

class Builder {
 public:
  Builder(const RootFs& files, Manifest before, const Plan& plan) : files_(files), plan_(plan) {
    out_.before = std::move(before);
    out_.report.errors = plan.errors;
    out_.report.warnings = plan.warnings;
    out_.report.notes = plan.notes;
  }

  NextRecord make(const std::string& runtime, const fs::path& state) {
    out_.after.runtimes = out_.before.runtimes;
    if (std::ranges::find(out_.after.runtimes, runtime) == out_.after.runtimes.end())
      out_.after.runtimes.push_back(runtime);
    out_.after.directories = out_.before.directories;
    for (const auto& change : plan_.changes) add(change);
    for (const auto& path : plan_.already) out_.report.files.push_back({What::kAlready, path, {}});
    for (const auto& record : out_.before.files) drop(record);
    if (plan_.changes.empty() && out_.after.files.empty()) out_.after.runtimes.clear();
    if (!out_.after.files.empty()) out_.after.after_undo = plan_.after_undo;
    must_be_writable(state / "record");
    auto& report = out_.report;
    report.changed = std::ranges::any_of(report.files, [](const FileOutcome& one) {
      return one.what != What::kUnchanged && one.what != What::kAlready && one.what != What::kLeft;
    });
    if (report.changed) report.notes.insert(report.notes.end(), plan_.after.begin(), plan_.after.end());
    return std::move(out_);
  }

 private:
  void must_be_writable(const fs::path& path) {
    if (const auto allowed = files_.check_writable(path); !allowed)
      out_.report.errors.push_back(allowed.error().what());
  }

  std::optional<std::string> text_of(const fs::path& path) {
    auto text = files_.read(path);
    if (text) return std::move(*text);
    out_.report.errors.push_back(text.error().what());
    return std::nullopt;
  }

  void add(const FileChange& change) {
    const auto current = text_of(change.path);
    out_.after.files.push_back({change.path, change.original, change.edited.text, change.edited.hunks});
    if (current == change.edited.text) {
      out_.report.files.push_back({What::kUnchanged, change.path, {}});
      return;
    }
    must_be_writable(change.path);
    out_.report.files.push_back({change.original ? What::kChanged : What::kCreated, change.path, change.edited.hunks});
    for (auto& directory : files_.missing_directories(change.path.parent_path())) {
      auto& all = out_.after.directories;
      if (std::ranges::find(all, directory) == all.end()) all.push_back(std::move(directory));
    }
  }

  /// What an earlier plan changed and this one does not.
  void drop(const FileRecord& record) {
    if (out_.after.find(record.path)) return;
    const auto current = text_of(record.path);
    const auto undone = undo(record, current);
    if (undone.kind == Undone::Kind::kConflict) {
      out_.report.warnings.push_back(fmt::format(
          "{}: what oxbow install had written was changed by hand since; it stays as it is", record.path.string()));
      out_.report.files.push_back({What::kLeft, record.path, {}});
      out_.after.files.push_back(record);
    } else if (undone.text != current) {
      must_be_writable(record.path);
      out_.report.files.push_back({undone.text ? What::kRestored : What::kRemoved, record.path, {}});
    }
  }

  const RootFs& files_;
  const Plan& plan_;
  NextRecord out_;
};

}  // namespace

NextRecord next_record(const RootFs& files, Manifest before, const Plan& plan, const std::string& runtime,
                       const fs::path& state) {
  return Builder(files, std::move(before), plan).make(runtime, state);
}

FileOutcome taken_back(const RootFs& files, const FileRecord& record, bool force, Report& report) {
  FileOutcome out{What::kUnchanged, record.path, {}};
  const auto current = files.read(record.path);
  if (!current) {
    out.what = What::kLeft;
    report.errors.push_back(current.error().what());
  } else {
    const auto undone = undo(record, *current);
    const bool conflict = undone.kind == Undone::Kind::kConflict;
    if (conflict && !force) {
      out.what = What::kLeft;
      report.errors.push_back(
          fmt::format("{}: what oxbow install had written was changed by hand since: take the mirror out by hand, or "
                      "give --force to put "
                      "back the file as it was before oxbow install",
                      record.path.string()));
    } else if (undone.kind != Undone::Kind::kAsBefore) {
      const auto& text = conflict ? record.original : undone.text;
      out.what = !text ? What::kRemoved : undone.kind == Undone::Kind::kKept ? What::kKept : What::kRestored;
    }
  }
  report.files.push_back(out);
  return out;
}

}  // namespace oxbow::mirror::install
