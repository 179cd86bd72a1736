#include "mirror/install/install_command.h"

#include <CLI/CLI.hpp>

#include "mirror/install/install_report.h"
#include "mirror/install/target.h"

namespace oxbow::mirror {
namespace {

using install::Installer;
using install::Report;
using install::RootFs;

constexpr const char* kExample = R"(
Look first, then do it, and take it back:
  oxbow install containerd --dry-run
  oxbow install containerd
  oxbow uninstall containerd
Nothing is written when a check fails. A second run changes nothing. When Oxbow is stopped, images are pulled from the
registry itself. More: docs/install.md
)";

/// Prints both parts; the exit code.
int finish(const Result<Report>& report, const RootFs& files, bool dry_run, const char* command, std::FILE* out,
           std::FILE* errors) {
  if (!report) {
    std::fprintf(errors, "oxbow %s: %s\n", command, report.error().what().c_str());
    return 1;
  }
  std::fputs(install::complaints_text(*report).c_str(), errors);
  const bool failed = !report->errors.empty();
  if (failed && std::string_view(command) == "install") {
    std::fputs("oxbow install: nothing was written\n", errors);
    return 1;
  }
  std::fputs(install::report_text(*report, files, dry_run).c_str(), out);
  return std::fflush(out) == 0 && !failed ? 0 : 1;
}

}  // namespace

InstallCommand::InstallCommand(CLI::App& app) {
  command_ = app.add_subcommand("install", "Point a container runtime of this node at the mirror");
  command_->add_option("RUNTIME", runtime_, "containerd, cri-o, podman, docker or k3s")
      ->required()
      ->check(CLI::IsMember({"containerd", "cri-o", "podman", "docker", "k3s"}));
  command_->add_flag("--dry-run", dry_run_, "Only show what would be written");
  command_->add_option("--mirror", mirror_, "The mirror's URL. Default: from client.listen of the configuration");
  command_
      ->add_option("--registry", registries_, "Only this registry; may be given many times. Default: all configured")
      ->allow_extra_args(false);
  command_->add_option("--root", root_, "Where the file system of the node is, for init containers and images")
      ->capture_default_str();
  command_->add_option("--state-dir", state_, "Where the record for uninstall is kept, below --root")
      ->capture_default_str();
  command_->add_option("--config-path", config_path_,
                       "containerd: the folder of hosts.toml. Default: config_path of its configuration");
  command_->add_flag("--set-config-path", set_config_path_,
                     "containerd: also set config_path in its configuration, where it names no folder, or several");
  command_->add_option("--containerd-config", containerd_config_, "containerd: its configuration")
      ->capture_default_str();
  command_->footer(kExample);
}

bool InstallCommand::parsed() const { return command_->parsed(); }

install::Plan InstallCommand::plan(const install::View& view, const install::Target& target) const {
  if (runtime_ == "docker") return install::plan_docker(view, target);
  if (runtime_ == "k3s") return install::plan_k3s(view, target);
  if (runtime_ != "containerd") return install::plan_containers(view, target, runtime_);
  install::ContainerdOptions options;
  options.config = containerd_config_;
  options.set_config_path = set_config_path_;
  if (!config_path_.empty()) options.hosts = config_path_;
  return install::plan_containerd(view, target, options);
}

int InstallCommand::run(const config::Config& config, std::FILE* out, std::FILE* errors) const {
  for (const auto* path : {&root_, &state_, &containerd_config_, &config_path_}) {
    if (path->empty() || path->starts_with('/')) continue;
    std::fprintf(errors, "oxbow install: %s: write an absolute path\n", path->c_str());
    return 2;
  }
  const auto target = install::make_target(config, mirror_, registries_);
  if (!target) {
    std::fprintf(errors, "oxbow install: %s\n", target.error().what().c_str());
    return 2;
  }
  const RootFs files(root_);
  const auto planner = [&](const install::View& view) { return plan(view, *target); };
  return finish(Installer(files, state_, runtime_).install(planner, dry_run_), files, dry_run_, "install", out, errors);
}

UninstallCommand::UninstallCommand(CLI::App& app) {
  command_ = app.add_subcommand("uninstall", "Restore what \"oxbow install\" changed, byte for byte");
  command_->add_option("RUNTIME", runtime_, "containerd, cri-o, podman, docker or k3s; or all that are installed")
      ->required()
      ->check(CLI::IsMember({"containerd", "cri-o", "podman", "docker", "k3s", "all"}));
  command_->add_flag("--dry-run", dry_run_, "Only show what would be done");
  command_->add_flag("--force", force_, "Restore files of which our own part was changed by hand, too");
  command_->add_option("--root", root_, "Where the file system of the node is")->capture_default_str();
  command_->add_option("--state-dir", state_, "Where the record is, below --root")->capture_default_str();
}

bool UninstallCommand::parsed() const { return command_->parsed(); }

int UninstallCommand::run(std::FILE* out, std::FILE* errors) const {
  if (!root_.starts_with('/') || !state_.starts_with('/')) {
    std::fputs("oxbow uninstall: write absolute paths\n", errors);
    return 2;
  }
  const RootFs files(root_);
  const auto runtimes = runtime_ == "all" ? Installer::installed(files, state_) : std::vector{runtime_};
  if (runtimes.empty()) std::fputs("nothing to do: no runtime is installed\n", out);
  int code = 0;
  for (const auto& runtime : runtimes) {
    if (runtimes.size() > 1) std::fprintf(out, "%s\n", runtime.c_str());
    const auto report = Installer(files, state_, runtime).uninstall(dry_run_, force_);
    code = std::max(code, finish(report, files, dry_run_, "uninstall", out, errors));
  }
  return code;
}

}  // namespace oxbow::mirror
