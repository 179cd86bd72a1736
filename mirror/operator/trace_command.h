// `oxbow trace IMAGE|DIGEST|ID`: where the bytes of a pull came from, from the daemon's journal of pulls.
// Thread rule: main, before other threads. Lifetime: as long as the CLI::App that it joins.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/error.h"
#include "mirror/operator/api_client.h"
#include "mirror/operator/trace_report.h"

namespace CLI {
class App;
}

namespace oxbow::mirror {

class TraceCommand {
 public:
  explicit TraceCommand(CLI::App& app);
  TraceCommand(const TraceCommand&) = delete;
  TraceCommand& operator=(const TraceCommand&) = delete;

  bool parsed() const;
  CLI::App& app() noexcept { return *command_; }
  /// Returns the exit code: 0 it has been shown, 1 there is no record, or it could not be asked, 2 an argument is
  /// wrong.
  int run(const config::Config& config, std::FILE* out, std::FILE* errors) const;

 private:
  struct Question;
  Result<> ask_for_image(Question& question, const config::Config& config) const;

  CLI::App* command_ = nullptr;
  AdminOption admin_;
  std::string target_;
  std::string platform_;
  bool stripes_ = false;
  bool json_ = false;
};

}  // namespace oxbow::mirror
