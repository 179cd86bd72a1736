#include "mirror/doctor/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "mirror/doctor/checks.h"

namespace oxbow::mirror::doctor {
namespace {

/// What has to be asked of the network before; the checks run in this order, too.
enum class After { kDaemon, kUpstreams, kPeers };

struct Check {
  const char* name;
  After after;
  void (*run)(const Subject&, Findings&);
};

constexpr const char* kConfig = "config";
constexpr std::array kChecks{
    Check{"daemon", After::kDaemon, check_daemon},
    Check{"ports", After::kDaemon, check_ports},
    Check{"certificates", After::kDaemon, check_certificates},
    Check{"clock", After::kPeers, check_clock},
    Check{"disk", After::kDaemon, check_disk},
    Check{"io_uring", After::kDaemon, check_io_uring},
    Check{"limits", After::kDaemon, check_limits},
    Check{"memory", After::kDaemon, check_memory},
    Check{"kernel", After::kDaemon, check_kernel},
    Check{"runtime", After::kDaemon, check_runtimes},
    Check{"upstream", After::kUpstreams, check_upstreams},
    Check{"peers", After::kPeers, check_peers},
};

/// Shared with the thread that may be left behind.
struct Run {
  explicit Run(Request from) : request(std::move(from)) {}

  const Request request;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::vector<Finding>> done;
  std::string now;  ///< what is being looked at
  bool finished = false;

  bool wanted(const std::string& name) const { return request.only.empty() || request.only.contains(name); }

  void say(std::string_view what) {
    {
      const std::lock_guard lock(mutex);
      now = what;
    }
    if (request.progress) request.progress(what);
  }

  void keep(const std::string& name, const Findings& findings) {
    const std::lock_guard lock(mutex);
    done[name] = findings.all();
  }

  void run_checks(const Subject& subject, After after) {
    for (const auto& check : kChecks) {
      if (check.after != after || !wanted(check.name)) continue;
      Findings findings;
      say(check.name);
      check.run(subject, findings);
      keep(check.name, findings);
    }
  }

  void look_at_config(const Subject* subject) {
    if (!wanted(kConfig) && subject) return;
    Findings findings;
    check_config(request.loaded, request.file, *request.system, subject, findings);
    keep(kConfig, findings);
  }

  void run() {
    if (!request.loaded) return look_at_config(nullptr);
    Subject subject{request.loaded->config, *request.system, request.options, {}, {}};
    say("the daemon");
    gather_daemon(subject);
    look_at_config(&subject);
    run_checks(subject, After::kDaemon);
    const bool clock = wanted("clock");
    if (clock || wanted("upstream")) {
      say("the registries");
      gather_upstreams(subject);
      run_checks(subject, After::kUpstreams);
    }
    if (clock || wanted("peers")) {
      say("the peers");
      gather_peers(subject);
      run_checks(subject, After::kPeers);
    }
  }
};

Finding too_slow(const std::string& what) {
  return {Level::kWarn, "doctor.slow", fmt::format("not looked at: {} did not answer in time", what),
          "Something hangs: a name server, a credential helper or a file system.",
          "oxbow doctor --only upstream   (then --only peers; and: time getent hosts NAME)"};
}

}  // namespace

const std::vector<std::string>& group_names() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> out{kConfig};
    for (const auto& check : kChecks) out.emplace_back(check.name);
    return out;
  }();
  return kNames;
}

Diagnosis examine(Request request) {
  const auto run = std::make_shared<Run>(std::move(request));
  std::thread([run] {
    run->run();
    const std::lock_guard lock(run->mutex);
    run->finished = true;
    run->changed.notify_all();
  }).detach();

  Diagnosis out;
  std::unique_lock lock(run->mutex);
  out.finished = run->changed.wait_for(lock, run->request.whole_time, [&] { return run->finished; });
  for (const auto& name : group_names()) {
    const auto found = run->done.find(name);
    if (found != run->done.end())
      out.groups.push_back({name, found->second});
    else if (run->wanted(name) && run->request.loaded)
      out.groups.push_back({name, {too_slow(run->now)}});
  }
  return out;
}

}  // namespace oxbow::mirror::doctor
