// `oxbow prepare`: directories for the daemon's user. For init containers: the image has no shell, and the directory of
// a hostPath belongs to root. Thread rule: main; blocks on the disk. Lifetime: as long as the CLI::App that it joins,
// which keeps pointers into it.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace oxbow::mirror {

class PrepareCommand {
 public:
  explicit PrepareCommand(CLI::App& app);
  PrepareCommand(const PrepareCommand&) = delete;
  PrepareCommand& operator=(const PrepareCommand&) = delete;

  bool parsed() const;
  /// Returns the exit code: 0 done; 1 a directory could not be made or given; 2 an argument is wrong.
  int run(std::FILE* out, std::FILE* errors) const;

 private:
  CLI::App* command_ = nullptr;
  std::vector<std::string> directories_;
  std::string owner_;
};

}  // namespace oxbow::mirror
