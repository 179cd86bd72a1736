// What the kernel allows the daemon: io_uring, open files, locked memory, memory of its cgroup, and a few settings.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <limits>

#include "core/encoding.h"
#include "mirror/doctor/checks.h"
#include "mirror/doctor/json_reading.h"
#include "mirror/doctor/processes.h"

namespace oxbow::mirror::doctor {
namespace {

constexpr std::uint64_t kFilesBesides = 1'024;  // blobs, the index, peers
constexpr std::uint64_t kMemoryBesides = 192ULL
                                         << 20;  // index, connections, code: with 10,000 peers and 100,000 stripes
constexpr std::uint64_t kLockedBytes = 8ULL << 20;
constexpr std::uint64_t kFewFiles = 1'024;
constexpr std::uint64_t kBacklog = 1'024;

std::optional<std::uint64_t> number_in(const System& system, const std::string& path) {
  const auto text = system.read(path);
  std::uint64_t out = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), out).ec != std::errc()) return std::nullopt;
  return out;
}

/// Why io_uring is not there, and the way to it.
std::pair<std::string, std::string> why_no_ring(const System& system) {
  const auto setting = number_in(system, "/proc/sys/kernel/io_uring_disabled");
  if (setting == 2)
    return {"kernel.io_uring_disabled = 2", "sysctl -w kernel.io_uring_disabled=0; systemctl restart oxbow"};
  if (setting == 1)
    return {"kernel.io_uring_disabled = 1: only for a group",
            "put the daemon's user into the group of kernel.io_uring_group, or: sysctl -w kernel.io_uring_disabled=0"};
  switch (system.io_uring_errno()) {
    case ENOSYS:
      return {"this kernel has none, or a seccomp profile hides it",
              "a kernel from 5.6 on; in a container a profile that allows io_uring_setup, io_uring_enter, "
              "io_uring_register"};
    case EPERM:
    case EACCES:
      return {"a seccomp profile or a security module forbids it",
              "let the container's profile allow io_uring_setup, io_uring_enter, io_uring_register"};
    case ENOMEM:
      return {"the limit of locked memory is too small", "LimitMEMLOCK=64M in the unit: systemctl edit oxbow"};
    default:
      return {"the daemon's own profile or limits forbid it", "journalctl -u oxbow | grep io_engine"};
  }
}

}  // namespace

void check_io_uring(const Subject& subject, Findings& out) {
  const auto wanted = subject.config.storage.io_engine;
  const auto running = text_at(subject.daemon.status_json, {"storage", "io_engine"});
  if (wanted == config::IoEngine::kThreads) return out.ok("io_uring.not_wanted", "storage.io_engine = \"threads\"");
  const bool works = running.empty() ? subject.system.io_uring_errno() == 0 : running == "io_uring";
  if (works) return out.ok("io_uring.works", running.empty() ? "this process may use it" : "the daemon uses it");
  const auto [why, fix] = why_no_ring(subject.system);
  if (wanted == config::IoEngine::kUring) {
    return out.fail("io_uring.refused", "storage.io_engine = \"io_uring\", and it cannot be had: " + why,
                    "The daemon does not start.", fix + "; or storage.io_engine = \"auto\"");
  }
  out.warn("io_uring.threads",
           fmt::format("{} threads instead of io_uring: {}",
                       running.empty() ? "the daemon will use" : "the daemon uses", why),
           "Everything works; writes cost about a quarter more CPU. To live with it: storage.io_engine = \"threads\".",
           fix);
}

void check_limits(const Subject& subject, Findings& out) {
  if (!subject.daemon.pid)
    return out.skipped("limits.no_daemon", "they are those of the running daemon, and it was not found");
  const auto limits = subject.system.read(fmt::format("/proc/{}/limits", *subject.daemon.pid));
  if (!limits)
    return out.skipped("limits.hidden", "the daemon's limits may not be read by this user: sudo oxbow doctor");
  const auto files = soft_limit(*limits, "Max open files");
  const auto wanted = subject.config.limits.connections + kFilesBesides;
  if (files && *files < wanted) {
    const auto text = fmt::format("the daemon may open {} files; limits.connections = {} needs {}", *files,
                                  subject.config.limits.connections, wanted);
    const auto fix =
        fmt::format("LimitNOFILE={} in the unit (systemctl edit oxbow), then restart; or lower limits.connections",
                    std::max<std::uint64_t>(wanted, 65'536));
    if (*files < kFewFiles)
      out.fail("limits.files", text, "Clients and peers are refused under load.", fix);
    else
      out.warn("limits.files", text, "Clients beyond that are refused.", fix);
  } else if (files) {
    out.ok("limits.files", *files == std::numeric_limits<std::uint64_t>::max() ? "open files: unlimited"
                                                                               : fmt::format("open files: {}", *files));
  }
  const auto locked = soft_limit(*limits, "Max locked memory");
  const bool without_ring = text_at(subject.daemon.status_json, {"storage", "io_engine"}) == "threads";
  if (locked && *locked < kLockedBytes && without_ring &&
      subject.config.storage.io_engine != config::IoEngine::kThreads) {
    out.warn("limits.memlock", fmt::format("the daemon may lock {} of memory", format_bytes(*locked)),
             "On kernels before 5.12 that is too little for io_uring, and the daemon uses threads.",
             "LimitMEMLOCK=64M in the unit (systemctl edit oxbow), then restart");
  }
  const auto open = number_at(subject.daemon.status_json, {"process", "open_files"});
  if (files && open && *open > *files / 10 * 9) {
    out.warn("limits.files_used", fmt::format("{} of {} files are open", *open, *files),
             "Clients will be refused soon.", "raise LimitNOFILE in the unit: systemctl edit oxbow");
  }
}

namespace {

/// The smallest memory.max from a cgroup (version 2) up to the root, with its path.
std::optional<std::pair<std::uint64_t, std::string>> memory_limit(const System& system, const std::string& pid) {
  const auto lines = system.read("/proc/" + pid + "/cgroup").value_or("");
  const auto at = lines.find("0::");
  if (at == std::string::npos) return std::nullopt;
  std::filesystem::path group = lines.substr(at + 3, lines.find('\n', at) - at - 3);
  std::optional<std::pair<std::uint64_t, std::string>> out;
  for (;; group = group.parent_path()) {
    const auto file = "/sys/fs/cgroup" + (group == "/" ? "" : group.string()) + "/memory.max";
    const auto limit = number_in(system, file);
    if (limit && (!out || *limit < out->first)) out = {*limit, group.string()};
    if (!group.has_relative_path()) return out;
  }
}

}  // namespace

void check_memory(const Subject& subject, Findings& out) {
  const auto pid = subject.daemon.pid ? std::to_string(*subject.daemon.pid) : std::string("self");
  const auto limit = memory_limit(subject.system, pid);
  if (!limit) return out.ok("memory.unlimited", "no cgroup limits the daemon's memory");
  const auto& limits = subject.config.limits;
  const auto asked = limits.memory + subject.config.storage.write_arena;
  const auto text = fmt::format("the cgroup {} allows {} of memory; limits.memory and storage.write_arena alone are {}",
                                limit->second, format_bytes(limit->first), format_bytes(asked));
  const auto fix = fmt::format(
      "MemoryMax={}M in the unit (systemctl edit oxbow), or resources.limits.memory of the pod; or lower limits.memory",
      (asked + kMemoryBesides) >> 20);
  if (limit->first < asked)
    out.fail("memory.cgroup", text, "The kernel kills the daemon under load.", fix);
  else if (limit->first < asked + kMemoryBesides)
    out.warn("memory.cgroup", text,
             "With the index and the connections on top the kernel may kill the daemon under load.", fix);
  else
    out.ok("memory.cgroup", fmt::format("the cgroup allows {}", format_bytes(limit->first)));
}

void check_kernel(const Subject& subject, Findings& out) {
  const auto backlog = number_in(subject.system, "/proc/sys/net/core/somaxconn");
  if (backlog && *backlog < kBacklog) {
    out.warn("kernel.somaxconn", fmt::format("net.core.somaxconn = {}", *backlog),
             "When many clients connect at once some wait a second and try again.",
             "echo net.core.somaxconn=4096 > /etc/sysctl.d/90-oxbow.conf; sysctl --system; systemctl restart "
             "oxbow.socket oxbow");
  }
  const auto used = subject.system.read("/proc/sys/fs/file-nr").value_or("");
  std::uint64_t open = 0, unused = 0, most = 0;
  if (std::sscanf(used.c_str(), "%lu %lu %lu", &open, &unused, &most) == 3 && most > 0 && open > most / 10 * 9) {
    out.warn(
        "kernel.files", fmt::format("{} of {} files of the whole machine are open", open, most),
        "Nothing can be opened soon.",
        "find who: for p in /proc/[0-9]*; do echo $(ls $p/fd | wc -l) $p; done | sort -n | tail; or raise fs.file-max");
  }
  if (out.empty()) out.ok("kernel.good", "nothing to change");
}

}  // namespace oxbow::mirror::doctor
