#include "mirror/doctor/doctor_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "mirror/doctor/report.h"
#include "mirror/version.h"

namespace oxbow::mirror {
namespace {

constexpr const char* kExample = R"(
  sudo oxbow doctor
  sudo oxbow doctor --only upstream --only peers
  sudo oxbow doctor --json | jq '.groups[].findings[] | select(.level == "fail")'
Exit code 0: nothing failed, there may be warnings; 1: something failed; 2: an argument is wrong. It changes nothing and
needs no running daemon. More: docs/doctor.md
)";

/// One line that is overwritten; nothing where nobody would see it.
doctor::Progress progress_on(std::FILE* errors) {
  if (::isatty(::fileno(errors)) == 0) return {};
  return [errors](std::string_view what) {
    std::fprintf(errors, "\r\033[Klooking at %.*s …", static_cast<int>(what.size()), what.data());
    std::fflush(errors);
  };
}

}  // namespace

DoctorCommand::DoctorCommand(CLI::App& app) {
  options_.version = kVersion;
  command_ = app.add_subcommand("doctor", "Say everything that is wrong on this node, and what to do about it");
  command_->add_option("--only", only_, "Only this group; may be given many times")
      ->check(CLI::IsMember(doctor::group_names()))
      ->allow_extra_args(false);
  command_->add_flag("--json", json_, "For programs");
  command_->add_option("--root", options_.root, "Where the file system of the node is, for container runtimes")
      ->capture_default_str();
  command_->add_option("--state-dir", options_.state, "Where \"oxbow install\" kept its record, below --root")
      ->capture_default_str();
  command_->add_option("--containerd-config", options_.containerd_config, "containerd: its configuration")
      ->capture_default_str();
  command_->add_option("--mirror", options_.mirror, "The URL that runtimes should have. Default: from client.listen");
  command_->footer(kExample);
}

bool DoctorCommand::parsed() const { return command_->parsed(); }

int DoctorCommand::run(config::LoadResult loaded, const std::string& file, std::shared_ptr<const doctor::System> system,
                       std::FILE* out, std::FILE* errors) const {
  for (const auto* path : {&options_.root, &options_.state, &options_.containerd_config}) {
    if (path->starts_with('/')) continue;
    std::fprintf(errors, "oxbow doctor: %s: write an absolute path\n", path->c_str());
    return 2;
  }
  if (!loaded) {
    const auto argument = std::ranges::find(loaded.error(), "command line", &config::Diagnostic::file);
    if (argument != loaded.error().end()) {
      std::fprintf(errors, "oxbow doctor: %s\n", config::to_string(*argument).c_str());
      return 2;
    }
  }
  const bool as_root = system->user() == 0;
  doctor::Request request{std::move(loaded), file, {only_.begin(), only_.end()}, options_, std::move(system), {}};
  request.progress = progress_on(errors);
  const bool shows_progress = static_cast<bool>(request.progress);
  const auto diagnosis = doctor::examine(std::move(request));
  if (shows_progress) std::fputs("\r\033[K", errors);
  const doctor::ReportStyle style{::isatty(::fileno(out)) != 0, as_root};
  std::fputs((json_ ? report_json(diagnosis.groups) : report_text(diagnosis.groups, style)).c_str(), out);
  const bool written = std::fflush(out) == 0;
  const int code = written && count(diagnosis.groups, doctor::Level::kFail) == 0 ? 0 : 1;
  if (!diagnosis.finished) std::_Exit(code);  // a thread hangs in what this process would destroy
  return code;
}

}  // namespace oxbow::mirror
