// `oxbow status` and `oxbow peers`. Thread rule: main.
#pragma once

#include "mirror/operator/daemon_command.h"

namespace oxbow::mirror {

class StatusCommand final : public DaemonCommand {
 public:
  explicit StatusCommand(CLI::App& parent);

 protected:
  Result<int> ask(const ApiClient& api, const Output& output) const override;
};

class PeersCommand final : public DaemonCommand {
 public:
  explicit PeersCommand(CLI::App& parent);

 protected:
  Result<int> ask(const ApiClient& api, const Output& output) const override;

 private:
  bool troubled_ = false;
};

// What they print.
std::string status_text(const nlohmann::ordered_json& status, const Terminal& terminal);
/// What is wrong, a line each; empty: nothing.
std::vector<std::string> status_troubles(const nlohmann::ordered_json& status);
/// `troubled`: only peers that are not eligible.
std::string peers_text(const nlohmann::ordered_json& peers, const Terminal& terminal, bool troubled);
std::vector<std::string> peers_troubles(const nlohmann::ordered_json& peers);

}  // namespace oxbow::mirror
