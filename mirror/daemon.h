// The daemon: builds every part from the configuration, in layer order, runs until a signal, and ends in reverse order.
// Thread rule: `run` blocks the calling (main) thread.
#pragma once

#include <functional>
#include <string>

#include "config/config.h"
#include "core/error.h"
#include "core/log.h"

namespace oxbow::mirror {

struct DaemonOptions {
  config::Config config;
  std::string version;
  /// For SIGHUP: the configuration as it stands now. Errors have been reported by the callee.
  std::function<Result<config::Config>()> reload;
};

log::Level to_log_level(config::LogLevel level) noexcept;

/// SIGTERM and SIGINT drain and end it; SIGHUP reloads. Errors: what keeps it from starting.
Result<> run_daemon(DaemonOptions options);

}  // namespace oxbow::mirror
