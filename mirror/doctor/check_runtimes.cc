// Container runtimes of the node: whether their files point at this mirror. The plans of `oxbow install` look; what
// they would still change is what is wrong.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "mirror/doctor/checks.h"
#include "mirror/install/installer.h"
#include "mirror/install/runtimes.h"
#include "mirror/install/target.h"
#include "mirror/install/toml_text.h"

namespace oxbow::mirror::doctor {
namespace fs = std::filesystem;
namespace {

using install::Plan;

constexpr const char* kDefaultHosts = "/etc/containerd/certs.d";
constexpr const char* kPodmanFile = "/etc/containers/registries.conf.d/50-oxbow.conf";
constexpr std::string_view kMark = "Written by \"oxbow install";

struct Runtime {
  const char* name;
  std::vector<const char*> signs;  ///< any of these paths: it is here
};
const std::vector<Runtime>& runtimes() {
  static const std::vector<Runtime> kAll{
      {"containerd", {"/usr/bin/containerd", "/usr/local/bin/containerd", "/etc/containerd"}},
      {"cri-o", {"/usr/bin/crio", "/usr/local/bin/crio"}},
      {"podman", {"/usr/bin/podman", "/usr/local/bin/podman"}},
      {"docker", {"/usr/bin/dockerd", "/etc/docker/daemon.json"}},
      {"k3s", {"/usr/local/bin/k3s", "/etc/rancher/k3s"}},
  };
  return kAll;
}

/// What one plan says of one runtime.
struct Looked {
  std::string name;
  std::string mirror;
  bool recorded = false;    ///< `oxbow install` was run for it
  bool pointed = false;     ///< something of it names this mirror
  bool configured = false;  ///< somebody meant it to: a file bears our mark
  Plan plan;
  /// Of containerd: errors of its configuration, without which the plan above was made.
  std::vector<std::string> errors;
};

class Examiner {
 public:
  Examiner(const Subject& subject, Findings& out)
      : subject_(subject), out_(out), files_(subject.options.root), view_(files_, nothing_) {}

  void run() {
    const auto targets = make_targets();
    if (targets.empty()) return;
    const auto recorded = install::Installer::installed(files_, subject_.options.state);
    std::vector<Looked> all;
    for (const auto& runtime : runtimes()) {
      const bool is_recorded = std::ranges::find(recorded, runtime.name) != recorded.end();
      if (!is_recorded && !is_here(runtime)) continue;
      all.push_back(look_best(runtime.name, targets));
      all.back().recorded = is_recorded;
    }
    if (all.empty())
      return out_.skipped("runtime.none",
                          fmt::format("no container runtime was found below {}{}", subject_.options.root,
                                      is_closed() ? ", which this user may not look into" : ""));
    const bool any = std::ranges::any_of(all, [](const Looked& one) { return in_use(one); });
    for (const auto& one : all) report(one, any);
  }

 private:
  static bool in_use(const Looked& one) { return one.recorded || one.pointed || one.configured; }

  bool is_here(const Runtime& runtime) const {
    if (runtime.name == std::string_view("containerd") && exists(subject_.options.containerd_config)) return true;
    return std::ranges::any_of(runtime.signs, [&](const char* path) { return exists(path); });
  }
  bool exists(const fs::path& path) const {
    std::error_code error;
    const auto type = fs::status(files_.real(path), error).type();
    return type != fs::file_type::not_found && type != fs::file_type::unknown && type != fs::file_type::none;
  }
  bool is_closed() const { return ::access(files_.real("/etc").c_str(), X_OK) != 0 && errno == EACCES; }
  /// An error of a plan that comes from this user's own rights.
  bool is_hidden(const std::string& text) const {
    return subject_.system.user() != 0 && text.contains("Permission denied");
  }

  /// One for each address on which this mirror is reached: any of them may stand in the files.
  std::vector<install::Target> make_targets() {
    std::vector<std::string> urls;
    if (!subject_.options.mirror.empty()) urls.push_back(subject_.options.mirror);
    if (urls.empty() && subject_.config.client.tls.certificate.empty()) {
      for (const auto& listen : subject_.config.client.listen) {
        if (!listen.starts_with("fd:")) urls.push_back("http://" + reachable(listen));
      }
    }
    std::vector<install::Target> out;
    std::string why = "client.listen does not say by which address clients reach this mirror: give --mirror URL";
    for (const auto& url : urls) {
      auto target = install::make_target(subject_.config, url, {});
      if (target)
        out.push_back(std::move(*target));
      else
        why = target.error().what();
    }
    if (out.empty()) out_.skipped("runtime.unknown", why);
    return out;
  }

  Looked look_best(const std::string& name, const std::vector<install::Target>& targets) const {
    std::optional<Looked> best;
    for (const auto& target : targets) {
      auto looked = look(name, target);
      if (!best || (looked.pointed && !best->pointed) ||
          (looked.pointed == best->pointed && looked.plan.changes.size() < best->plan.changes.size()))
        best = std::move(looked);
    }
    return std::move(*best);
  }

  Looked look(const std::string& name, const install::Target& target) const {
    Looked out;
    out.name = name;
    out.mirror = target.mirror;
    if (name == "containerd") {
      install::ContainerdOptions options;
      options.config = subject_.options.containerd_config;
      out.plan = plan_containerd(view_, target, options);
      if (!out.plan.errors.empty()) {
        // config_path is not set: what the files would say if it were.
        out.errors = std::exchange(out.plan.errors, {});
        options.hosts = kDefaultHosts;
        auto files = plan_containerd(view_, target, options);
        out.plan.changes = std::move(files.changes);
        out.plan.already = std::move(files.already);
      }
    } else if (name == "docker") {
      out.plan = plan_docker(view_, target);
    } else if (name == "k3s") {
      out.plan = plan_k3s(view_, target);
    } else {
      out.plan = plan_containers(view_, target, name);
      const bool ours = exists(kPodmanFile);
      if (ours && std::erase_if(out.plan.errors, [](const auto& text) { return text.contains("not ours"); }) > 0)
        out.plan.warn(std::string(kPodmanFile) + " does not name all registries of oxbow.toml");
      if (ours && out.plan.changes.empty()) out.plan.already.emplace_back(kPodmanFile);
      out.configured = ours;
    }
    out.pointed = !out.plan.already.empty();
    for (const auto& change : out.plan.changes)
      out.configured = out.configured || (change.original && change.original->contains(kMark));
    return out;
  }

  std::string install_again(const Looked& one, const char* further = "") const {
    std::string out = "oxbow install " + one.name + further;
    const auto& options = subject_.options;
    if (options.root != "/") out += " --root " + options.root;
    if (one.name == "containerd" && options.containerd_config != Options{}.containerd_config)
      out += " --containerd-config " + options.containerd_config;
    return out + "   (look first: --dry-run)";
  }

  void report(const Looked& one, bool any_in_use) const {
    if (!in_use(one) && any_in_use)
      return out_.skipped("runtime.other",
                          fmt::format("{} is here and is not pointed at this mirror; if it should be: oxbow install {}",
                                      one.name, one.name));
    const std::string bypassed = "Its pulls go to the registries, past the mirror.";
    const auto hidden = [&](const std::string& text) { return is_hidden(text); };
    if (std::ranges::any_of(one.errors, hidden) || std::ranges::any_of(one.plan.errors, hidden))
      return out_.skipped("runtime.hidden", one.name + ": its files may not be read by this user: sudo oxbow doctor");
    for (const auto& text : one.errors) report_config(one, text, bypassed);
    for (const auto& text : one.plan.errors)
      out_.fail("runtime.error", one.name + ": " + text, bypassed,
                "what the line above says, then: " + install_again(one));
    for (const auto& text : one.plan.warnings)
      out_.warn("runtime.warning", one.name + ": " + text, "Some pulls go past the mirror, or fail when it is stopped.",
                "what the line above says, or: " + install_again(one));
    const bool not_at_all = report_files(one);
    if (not_at_all || !one.errors.empty()) return;
    for (const auto& text : one.plan.notes) {
      if (text.contains("discard_unpacked_layers")) out_.ok("runtime.discard", one.name + ": " + text);
    }
  }

  void report_config(const Looked& one, const std::string& text, const std::string& bypassed) const {
    const bool can_be_set = text.contains("--set-config-path");
    out_.fail(can_be_set ? "runtime.config_path" : "runtime.config", one.name + ": " + text, bypassed,
              can_be_set ? install_again(one, " --set-config-path") + "; then: systemctl restart containerd"
                         : "what the lines above say, then: " + install_again(one));
  }

  /// Returns whether nothing is pointed here.
  bool report_files(const Looked& one) const {
    std::vector<std::string> missing;
    bool elsewhere = false;
    for (const auto& change : one.plan.changes) {
      const bool marked = change.original && change.original->contains(kMark);
      if (!marked) {
        missing.push_back(what_of(one, change.path));
        continue;
      }
      elsewhere = true;
      out_.fail("runtime.elsewhere",
                fmt::format("{}: {} names {}, not this mirror {}", one.name, files_.real(change.path).string(),
                            named_in(*change.original), one.mirror),
                "Pulls ask an address where no mirror is, and then go to the registry.", install_again(one));
    }
    if (!one.pointed) {
      if (!elsewhere && one.errors.empty() && one.plan.errors.empty())
        out_.fail("runtime.not_pointed", fmt::format("{} is not pointed at this mirror {}", one.name, one.mirror),
                  "Its pulls go to the registries, past the mirror.", install_again(one));
      return true;
    }
    if (!missing.empty())
      out_.warn("runtime.missing", fmt::format("{}: not through the mirror: {}", one.name, joined(missing)),
                "Images of these registries are pulled past the mirror.", install_again(one));
    if (!elsewhere && one.errors.empty())
      out_.ok("runtime.pointed", fmt::format("{} pulls through {}", one.name, one.mirror));
    return false;
  }

  /// The registry that a file is for, where its path says so.
  static std::string what_of(const Looked& one, const fs::path& path) {
    return one.name == "containerd" && path.filename() == "hosts.toml" ? path.parent_path().filename().string()
                                                                       : path.string();
  }

  static std::string named_in(const std::string& text) {
    const auto file = install::parse_toml(text);
    std::vector<std::string> names;
    if (file) {
      if (const auto* hosts = (*file)["host"].as_table()) {
        for (auto&& [name, host] : *hosts) names.emplace_back(name.str());
      }
    }
    return names.empty() ? "something else" : joined(names, 3);
  }

  const Subject& subject_;
  Findings& out_;
  const install::RootFs files_;
  const install::Manifest nothing_;  ///< the files as they are, our own part in them
  const install::View view_;
};

}  // namespace

void check_runtimes(const Subject& subject, Findings& out) { Examiner(subject, out).run(); }

}  // namespace oxbow::mirror::doctor
