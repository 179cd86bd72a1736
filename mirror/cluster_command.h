// `oxbow cluster settings|revoked`: what all nodes share, shown and changed by compare-and-swap, so that of two
// operators the later one does not undo what the other has just done. Thread rule: main, before other threads.
// Lifetime: as long as the CLI::App that it joins.
#pragma once

#include <cstdio>
#include <optional>
#include <string>

#include "config/config.h"
#include "core/error.h"
#include "p2p/cluster_values.h"

namespace CLI {
class App;
}

namespace oxbow::mirror {

/// What is to change; the rest stays as it is.
struct SettingsChange {
  std::optional<std::string> strategy;
  std::optional<std::uint32_t> replicas;
};

/// The settings as they are now; nothing: there are none, and each node goes by its file. Errors: kInvalid (what is
/// there is no such value), kUnavailable.
Result<std::optional<p2p::ClusterSettings>> shared_settings(p2p::ClusterValues& values);
/// The next epoch, with what is asked for. Where there are none yet the rest is the default. Errors: kBusy (others are
/// faster each time), as above, and as ClusterValues::compare_and_swap.
Result<p2p::ClusterSettings> change_settings(p2p::ClusterValues& values, const SettingsChange& change);
/// Replaces the list of revoked identities by `json`; how many it has. Errors: kInvalid (no such list), as above.
Result<std::size_t> publish_revoked(p2p::ClusterValues& values, const std::string& json);

class ClusterCommand {
 public:
  explicit ClusterCommand(CLI::App& app);
  ClusterCommand(const ClusterCommand&) = delete;
  ClusterCommand& operator=(const ClusterCommand&) = delete;

  bool parsed() const;
  CLI::App& app() noexcept { return *command_; }
  /// Returns the exit code: 0 done, 1 failed, 2 an argument is wrong.
  int run(const config::Config& config, std::FILE* out, std::FILE* errors) const;

 private:
  Result<std::string> settings(p2p::ClusterValues& values) const;
  Result<std::string> revoked(p2p::ClusterValues& values) const;

  CLI::App* command_ = nullptr;
  CLI::App* settings_ = nullptr;
  CLI::App* revoked_ = nullptr;
  SettingsChange change_;
  std::string publish_;
};

}  // namespace oxbow::mirror
