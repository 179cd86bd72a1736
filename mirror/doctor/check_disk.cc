// The storage directory and its file system.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/encoding.h"
#include "mirror/doctor/checks.h"
#include "mirror/doctor/json_reading.h"
#include "mirror/doctor/processes.h"

namespace oxbow::mirror::doctor {
namespace fs = std::filesystem;
namespace {

constexpr const char* kNothingKept = "Pulls work, but nothing new is stored or shared: each is fetched again.";

std::uint64_t bytes_of(const config::Amount& amount, std::uint64_t total) {
  return amount.is_percent ? static_cast<std::uint64_t>(static_cast<double>(total) * amount.percent / 100)
                           : amount.bytes;
}

std::uint64_t stored_bytes(const Subject& subject) {
  return number_at(subject.daemon.status_json, {"storage", "stored_bytes"}).value_or(0);
}

/// It, or the nearest of its parents that exists.
fs::path existing(const System& system, fs::path directory) {
  while (directory.has_relative_path() && !system.look(directory)) directory = directory.parent_path();
  return directory;
}

std::string selinux_hint(const System& system) {
  const bool enforcing = system.read("/sys/fs/selinux/enforce").value_or("0").starts_with('1');
  return enforcing ? "; SELinux is enforcing: ausearch -m avc -c oxbow; restorecon -R the directory" : "";
}

/// Whether the rest is worth looking at.
bool look_at_directory(const Subject& subject, const fs::path& directory, Findings& out) {
  const auto facts = subject.system.look(directory);
  const auto user = daemon_user(subject);
  if (!facts && facts.error().code() == Errc::kDenied) {
    if (subject.system.user() == user.user) {
      out.fail("disk.permission", fmt::format("{} cannot be entered by {}", directory.string(), user.name),
               "The daemon cannot start.",
               fmt::format("chown -R {} {}", user.name, directory.string()) + selinux_hint(subject.system));
    } else {
      out.skipped("disk.hidden",
                  fmt::format("{} may not be looked at by this user: sudo oxbow doctor", directory.string()));
    }
    return false;
  }
  if (!facts) {
    const auto parent = existing(subject.system, directory.parent_path());
    const auto above = subject.system.look(parent);
    if (above && above->kind == FileFacts::Kind::kDirectory && may(user, *above, 2)) {
      out.ok("disk.new", fmt::format("{} is made when the daemon starts", directory.string()));
      return true;
    }
    out.fail(
        "disk.missing",
        fmt::format("{} does not exist, and {} may not make it in {}", directory.string(), user.name, parent.string()),
        "The daemon cannot start.", fmt::format("install -d -o {} -m 750 {}", user.name, directory.string()));
    return false;
  }
  if (facts->kind != FileFacts::Kind::kDirectory) {
    out.fail("disk.no_directory", fmt::format("{} is not a directory", directory.string()), "The daemon cannot start.",
             "move it away, or give storage.directory another path");
    return false;
  }
  if (!may(user, *facts, 2) || !may(user, *facts, 1)) {
    out.fail("disk.permission",
             fmt::format("{} may not be written to by the daemon's user {} (mode {:04o}, owner {})", directory.string(),
                         user.name, facts->mode, facts->owner),
             "The daemon cannot start, or stores nothing.",
             fmt::format("chown -R {} {}", user.name, directory.string()) + selinux_hint(subject.system));
  }
  return true;
}

void look_at_kind(const Subject& subject, const DiskFacts& disk, Findings& out) {
  const auto& directory = subject.config.storage.directory;
  if (disk.read_only) {
    out.fail(
        "disk.read_only", directory + " is on a file system that is mounted read-only", kNothingKept,
        fmt::format(
            "dmesg | tail (a disk that fails is made read-only); then: mount -o remount,rw $(findmnt -no TARGET -T {})",
            directory));
  }
  constexpr std::array kNetwork{"nfs", "cifs", "smb2", "9p", "ceph"};
  if (disk.type == "tmpfs" || disk.type == "ramfs") {
    out.warn("disk.memory", fmt::format("{} is in memory ({})", directory, disk.type),
             "What is stored counts as memory and is gone after a reboot.", "give storage.directory a path on a disk");
  } else if (disk.type == "overlay") {
    out.warn("disk.overlay", directory + " is in the container's own layer (overlay)",
             "The cache is gone with the container.", "mount a volume or a hostPath there");
  } else if (std::ranges::find(kNetwork, disk.type) != kNetwork.end()) {
    out.warn("disk.network", fmt::format("{} is on a network file system ({})", directory, disk.type),
             "Each byte crosses the network twice, and locks and holes may not work.",
             "give storage.directory a path on a local disk");
  }
}

void look_at_space(const Subject& subject, const DiskFacts& disk, Findings& out) {
  const auto& storage = subject.config.storage;
  const auto budget = bytes_of(storage.budget, disk.total_bytes);
  const auto floor = bytes_of(storage.free_space_floor, disk.total_bytes);
  const auto stored = stored_bytes(subject);
  const auto free = format_bytes(disk.available_bytes);
  if (disk.available_bytes <= floor) {
    return out.fail("disk.full",
                    fmt::format("{} free on {}, and the floor is {}", free, storage.directory, format_bytes(floor)),
                    kNothingKept,
                    fmt::format("free space (du -xh --max-depth=1 $(findmnt -no TARGET -T {}) | sort -h), or lower "
                                "storage.free_space_floor",
                                storage.directory));
  }
  if (is_false(subject.daemon.status_json, {"storage", "writable"})) {
    out.fail("disk.refused", "the daemon cannot write to " + storage.directory, kNothingKept,
             "journalctl -u oxbow -p warning -n 20; dmesg | tail" + selinux_hint(subject.system));
  }
  if (budget == 0) {
    return out.fail("disk.no_budget", "storage.budget is 0", kNothingKept, "storage.budget = \"10%\" in oxbow.toml");
  }
  if (budget > disk.total_bytes) {
    return out.warn("disk.budget",
                    fmt::format("storage.budget is {}, the file system of {} has {}", format_bytes(budget),
                                storage.directory, format_bytes(disk.total_bytes)),
                    "The cache grows until the floor of free space stops it.",
                    "lower storage.budget, or mount a larger disk there");
  }
  if (stored + disk.available_bytes < budget + floor) {
    return out.warn("disk.squeezed",
                    fmt::format("{} stored and {} free: the budget of {} above the floor of {} cannot be reached",
                                format_bytes(stored), free, format_bytes(budget), format_bytes(floor)),
                    "Other files take the space; blobs are evicted sooner than the budget says.",
                    "free space, or lower storage.budget");
  }
  out.ok("disk.space", fmt::format("{}: {} of {} used, {} free{}", storage.directory, format_bytes(stored),
                                   format_bytes(budget), free, disk.type.empty() ? "" : ", " + disk.type));
}

void look_at_inodes(const Subject& subject, const DiskFacts& disk, Findings& out) {
  if (disk.inodes == 0) return;
  const auto share = static_cast<double>(disk.free_inodes) * 100 / static_cast<double>(disk.inodes);
  const auto text =
      fmt::format("{} of {} inodes are free on {}", disk.free_inodes, disk.inodes, subject.config.storage.directory);
  const auto fix =
      fmt::format("find what has so many files: du --inodes -x $(findmnt -no TARGET -T {}) | sort -n | tail",
                  subject.config.storage.directory);
  if (disk.free_inodes < 1000)
    out.fail("disk.inodes", text, kNothingKept, fix);
  else if (share < 5)
    out.warn("disk.inodes", text, "When they are used up nothing is stored, whatever space is free.", fix);
}

}  // namespace

void check_disk(const Subject& subject, Findings& out) {
  const fs::path directory = subject.config.storage.directory;
  if (!look_at_directory(subject, directory, out)) return;
  const auto disk = subject.system.disk(existing(subject.system, directory));
  if (!disk) return out.skipped("disk.space", disk.error().what());
  look_at_kind(subject, *disk, out);
  look_at_space(subject, *disk, out);
  look_at_inodes(subject, *disk, out);
}

}  // namespace oxbow::mirror::doctor
