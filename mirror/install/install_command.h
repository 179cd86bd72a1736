// `oxbow install` and `oxbow uninstall`: their command lines.
// Thread rule: main. Lifetime: as long as the CLI::App that they join, which keeps pointers into them.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/error.h"
#include "mirror/install/installer.h"
#include "mirror/install/runtimes.h"

namespace CLI {
class App;
}

namespace oxbow::mirror {

class InstallCommand {
 public:
  explicit InstallCommand(CLI::App& app);
  InstallCommand(const InstallCommand&) = delete;
  InstallCommand& operator=(const InstallCommand&) = delete;

  /// The sub-command, for the options that say which configuration.
  CLI::App& app() { return *command_; }
  bool parsed() const;
  /// Returns the exit code: 0 done, or nothing to do; 1 a check failed and nothing was written, or writing failed; 2 an
  /// argument is wrong.
  int run(const config::Config& config, std::FILE* out, std::FILE* errors) const;

 private:
  install::Plan plan(const install::View& view, const install::Target& target) const;

  CLI::App* command_ = nullptr;
  std::string runtime_;
  std::string root_ = "/";
  std::string state_ = "/etc/oxbow/install";
  std::string mirror_;
  std::vector<std::string> registries_;
  std::string config_path_;
  std::string containerd_config_ = "/etc/containerd/config.toml";
  bool set_config_path_ = false;
  bool dry_run_ = false;
};

class UninstallCommand {
 public:
  explicit UninstallCommand(CLI::App& app);
  UninstallCommand(const UninstallCommand&) = delete;
  UninstallCommand& operator=(const UninstallCommand&) = delete;

  bool parsed() const;
  /// Exit codes as above; 1 too if a file had to be left.
  int run(std::FILE* out, std::FILE* errors) const;

 private:
  CLI::App* command_ = nullptr;
  std::string runtime_;
  std::string root_ = "/";
  std::string state_ = "/etc/oxbow/install";
  bool force_ = false;
  bool dry_run_ = false;
};

}  // namespace oxbow::mirror
