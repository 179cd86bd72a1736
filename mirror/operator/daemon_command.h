// A sub-command that asks a running daemon: the options they share and how they end.
// Thread rule: main. Lifetime: as long as the CLI::App that it joins, which keeps pointers into it.
#pragma once

#include <cstdio>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "mirror/operator/api_client.h"
#include "mirror/operator/table.h"

namespace oxbow::mirror {

class DaemonCommand {
 public:
  /// Where the sub-command's output goes, and for whom.
  struct Output {
    std::FILE* out;
    Terminal terminal;
    bool json;  ///< `--json`: the API's answer as it is

    void text(std::string_view what) const;
    /// Indented.
    void raw(const nlohmann::ordered_json& json) const;
  };

  DaemonCommand(CLI::App& parent, const char* name, const char* help);
  virtual ~DaemonCommand() = default;
  DaemonCommand(const DaemonCommand&) = delete;
  DaemonCommand& operator=(const DaemonCommand&) = delete;

  /// The sub-command, for the options that say which configuration.
  CLI::App& app() { return *command_; }
  bool parsed() const;
  const AdminOption& admin() const noexcept { return admin_; }
  /// Returns the exit code: 0 good, 1 it failed or something is wrong, 2 an argument is wrong. Errors go to `errors`.
  int run(const ApiClient& api, std::FILE* out, std::FILE* errors) const;

 protected:
  /// The exit code. Errors: what the API said; kInvalid: an argument is wrong.
  virtual Result<int> ask(const ApiClient& api, const Output& output) const = 0;

 private:
  std::string name_;
  CLI::App* command_;
  AdminOption admin_;
  bool json_ = false;
};

}  // namespace oxbow::mirror
