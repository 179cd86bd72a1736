#include "mirror/cli.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "config/loader.h"
#include "core/clock.h"
#include "core/log.h"
#include "mirror/ca_command.h"
#include "mirror/cluster_command.h"
#include "mirror/daemon.h"
#include "mirror/doctor/doctor_command.h"
#include "mirror/doctor/real_system.h"
#include "mirror/install/install_command.h"
#include "mirror/operator/cache_command.h"
#include "mirror/operator/pull_command.h"
#include "mirror/operator/status_command.h"
#include "mirror/operator/trace_command.h"
#include "mirror/prepare_command.h"
#include "mirror/sim/sim_command.h"
#include "mirror/version.h"

namespace oxbow::mirror {
namespace {

constexpr const char* kDefaultFile = "/etc/oxbow/oxbow.toml";

/// What `--config`, `--set` and the short flags say; shared by `serve` and `config`.
struct ConfigArguments {
  std::string file;
  std::vector<std::string> settings;

  void add_to(CLI::App& app) {
    app.add_option("-c,--config", file,
                   std::string("The configuration file. Default: ") + kDefaultFile + ", if there is one");
    app.add_option("-s,--set", settings,
                   "Override one option, e.g. --set storage.budget=200GiB; may be given many times");
  }

  /// The file that is read, if there is one.
  std::optional<std::filesystem::path> path() const {
    std::error_code ignored;
    if (!file.empty()) return file;
    if (std::filesystem::exists(kDefaultFile, ignored)) return kDefaultFile;
    return std::nullopt;
  }

  config::LoadResult load() const {
    config::Overrides overrides;
    for (const auto& setting : settings) {
      const auto equals = setting.find('=');
      if (equals == std::string::npos) {
        return std::unexpected(std::vector{
            config::Diagnostic{"command line", 0, 0, "--set " + setting + ": write --set section.key=value"}});
      }
      overrides.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
    }
    return config::load(path(), config::oxbow_environment(), overrides);
  }
};

void print(const std::vector<config::Diagnostic>& diagnostics, const char* kind) {
  for (const auto& diagnostic : diagnostics)
    std::fprintf(stderr, "%s: %s\n", kind, config::to_string(diagnostic).c_str());
}

/// What a configuration is worth a warning of, who runs or checks it is told; who asks a running daemon is not, each
/// time.
enum class Warnings : std::uint8_t { kShown, kHidden };

/// The configuration, or nothing after all its errors have been printed.
std::optional<config::Config> load_or_explain(const ConfigArguments& arguments, Warnings warnings = Warnings::kShown) {
  auto loaded = arguments.load();
  if (!loaded) {
    print(loaded.error(), "error");
    std::fprintf(stderr, "oxbow: the configuration has %zu error%s\n", loaded.error().size(),
                 loaded.error().size() == 1 ? "" : "s");
    return std::nullopt;
  }
  if (warnings == Warnings::kShown) print(loaded->warnings, "warning");
  return std::move(loaded->config);
}

int ask_daemon(const DaemonCommand& command, const ConfigArguments& arguments) {
  const auto address = command.admin().address([&] { return load_or_explain(arguments, Warnings::kHidden); });
  if (!address) std::fprintf(stderr, "oxbow: %s\n", address.error().what().c_str());
  if (!address || !*address) return 2;
  return command.run(ApiClient(**address), stdout, stderr);
}

int serve(const ConfigArguments& arguments) {
  auto config = load_or_explain(arguments);
  if (!config) return 2;
  log::init(to_log_level(config->log.level), config->log.format == config::LogFormat::kJson);
  DaemonOptions options;
  options.config = std::move(*config);
  options.version = kVersion;
  options.reload = [&arguments]() -> Result<config::Config> {
    auto loaded = arguments.load();
    if (loaded) return std::move(loaded->config);
    std::string all;
    for (const auto& diagnostic : loaded.error()) all += (all.empty() ? "" : "; ") + config::to_string(diagnostic);
    return fail(Errc::kInvalid, all);
  };
  if (const auto ended = run_daemon(std::move(options)); !ended) {
    log::error("cannot start", {log::Field(ended.error())});
    return 1;
  }
  return 0;
}

}  // namespace

int run_cli(int argc, char** argv) {
  CLI::App app{
      "Oxbow: a containerd/OCI registry mirror.\n"
      "Point containerd at it with hosts.toml; see README.md and docs/."};
  app.require_subcommand(1);

  ConfigArguments arguments;
  auto* serve_command = app.add_subcommand("serve", "Run the mirror until SIGTERM; SIGHUP reloads the configuration");
  arguments.add_to(*serve_command);

  auto* config_command = app.add_subcommand("config", "Check or show the configuration");
  config_command->require_subcommand(1);
  auto* check_command =
      config_command->add_subcommand("check", "Report everything that is wrong, with line and column");
  arguments.add_to(*check_command);
  auto* show_command = config_command->add_subcommand(
      "show", "Print the effective configuration as TOML: defaults, file, environment, flags");
  arguments.add_to(*show_command);

  const CaCommand ca_command(app);
  SimCommand sim_command(app);
  InstallCommand install_command(app);
  arguments.add_to(install_command.app());
  const UninstallCommand uninstall_command(app);
  const PrepareCommand prepare_command(app);
  DoctorCommand doctor_command(app);
  arguments.add_to(doctor_command.app());

  StatusCommand status_command(app);
  PeersCommand peers_command(app);
  CacheCommand cache_command(app);
  const std::vector<DaemonCommand*> daemon_commands{&status_command, &peers_command, &cache_command};
  for (auto* command : daemon_commands) arguments.add_to(command->app());
  PullCommand pull_command(app);
  arguments.add_to(pull_command.app());
  TraceCommand trace_command(app);
  arguments.add_to(trace_command.app());

  ClusterCommand cluster_command(app);
  arguments.add_to(cluster_command.app());

  auto* version_command = app.add_subcommand("version", "Print the version");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  if (serve_command->parsed()) return serve(arguments);
  if (ca_command.parsed()) {
    const auto now = std::chrono::floor<std::chrono::seconds>(SystemClock().wall());
    return ca_command.run(now, stdout, stderr);
  }
  if (sim_command.parsed()) {
    // The peer tables of a simulation would tell of every peer that dies in it as if it were one.
    log::set_level(log::Level::kError);
    return sim_command.run(stdout, stderr);
  }
  if (prepare_command.parsed()) return prepare_command.run(stdout, stderr);
  for (const auto* command : daemon_commands) {
    if (command->parsed()) return ask_daemon(*command, arguments);
  }
  if (doctor_command.parsed()) {
    log::init(log::Level::kError, false);  // what the parts that it uses would warn of, its page says
    const auto system = std::make_shared<doctor::RealSystem>(kVersion);
    return doctor_command.run(arguments.load(), arguments.path().value_or("").string(), system, stdout, stderr);
  }
  if (uninstall_command.parsed()) return uninstall_command.run(stdout, stderr);
  if (version_command->parsed()) {
    std::printf("oxbow %s\n", kVersion);
    return 0;
  }
  const bool asks = pull_command.parsed() || trace_command.parsed() || cluster_command.parsed();
  const auto config = load_or_explain(arguments, asks ? Warnings::kHidden : Warnings::kShown);
  if (!config) return 2;
  if (install_command.parsed()) return install_command.run(*config, stdout, stderr);
  if (pull_command.parsed()) return pull_command.run(*config, stdin, stdout, stderr);
  if (trace_command.parsed()) return trace_command.run(*config, stdout, stderr);
  if (cluster_command.parsed()) return cluster_command.run(*config, stdout, stderr);
  if (show_command->parsed())
    std::fputs(config::show(*config).c_str(), stdout);
  else if (check_command->parsed())
    std::puts("the configuration is good");
  return 0;
}

}  // namespace oxbow::mirror
