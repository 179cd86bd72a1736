// `oxbow doctor`: its command line.
// Thread rule: main. Lifetime: as long as the CLI::App that it joins, which keeps pointers into it.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "config/loader.h"
#include "mirror/doctor/doctor.h"

namespace CLI {
class App;
}

namespace oxbow::mirror {

class DoctorCommand {
 public:
  explicit DoctorCommand(CLI::App& app);
  DoctorCommand(const DoctorCommand&) = delete;
  DoctorCommand& operator=(const DoctorCommand&) = delete;

  /// The sub-command, for the options that say which configuration.
  CLI::App& app() { return *command_; }
  bool parsed() const;
  /// `file`: of the configuration, empty when there is none. Returns the exit code: 0 nothing failed, 1 something did,
  /// 2 an argument is wrong. Ends the process itself, with that code, where something hangs that cannot be waited for.
  int run(config::LoadResult loaded, const std::string& file, std::shared_ptr<const doctor::System> system,
          std::FILE* out, std::FILE* errors) const;

 private:
  CLI::App* command_ = nullptr;
  std::vector<std::string> only_;
  doctor::Options options_;
  bool json_ = false;
};

}  // namespace oxbow::mirror
