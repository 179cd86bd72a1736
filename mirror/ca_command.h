// `oxbow ca`: the command line of core/tls/ca.h.
// Thread rule: main. Lifetime: as long as the CLI::App that it joins, which keeps pointers into it.
#pragma once

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"

namespace CLI {
class App;
}

namespace oxbow::mirror {

class CaCommand {
 public:
  explicit CaCommand(CLI::App& app);
  CaCommand(const CaCommand&) = delete;
  CaCommand& operator=(const CaCommand&) = delete;

  bool parsed() const;
  /// Returns the exit code: 0 done, 1 failed, 2 an argument is wrong. Results go to `out`, errors to `errors`.
  int run(std::chrono::sys_seconds now, std::FILE* out, std::FILE* errors) const;

 private:
  void add_create();
  void add_issue();
  void add_renew();
  void add_revoke();
  void add_readmit();
  void add_list();
  CLI::App* add(const char* name, const char* help);

  Result<std::string> create(std::chrono::sys_seconds now) const;
  Result<std::string> issue(std::chrono::sys_seconds now) const;
  Result<std::string> renew(std::chrono::sys_seconds now) const;
  Result<std::string> revoke(std::chrono::sys_seconds now) const;
  Result<std::string> readmit(std::chrono::sys_seconds now) const;
  Result<std::string> list(std::chrono::sys_seconds now) const;

  CLI::App* command_ = nullptr;
  CLI::App* create_ = nullptr;
  CLI::App* issue_ = nullptr;
  CLI::App* renew_ = nullptr;
  CLI::App* revoke_ = nullptr;
  CLI::App* readmit_ = nullptr;
  CLI::App* list_ = nullptr;

  std::string directory_;
  std::string name_;  ///< of the node, or a serial
  std::string ca_name_ = "oxbow cluster";
  std::string out_;
  std::vector<std::string> dns_, ips_;
  int ca_days_ = 3650;
  int days_ = 365;
  std::optional<int> renew_days_;
  bool keep_key_ = false;
  bool unrecorded_ = false;
  bool json_ = false;
};

}  // namespace oxbow::mirror
