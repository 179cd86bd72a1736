// `oxbow pull`: an image into the cache of this node, through the local mirror, with progress and sources; or into the
// caches of other nodes (`--nodes`, a preheat), through the daemon's admin socket.
// Thread rule: main, before other threads. Lifetime: as long as the CLI::App that it joins.
#pragma once

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/error.h"
#include "mirror/operator/api_client.h"
#include "mirror/upstream/credentials.h"
#include "registry-api/image_name.h"

namespace CLI {
class App;
}

namespace oxbow::mirror {

class PullCommand {
 public:
  explicit PullCommand(CLI::App& app);
  PullCommand(const PullCommand&) = delete;
  PullCommand& operator=(const PullCommand&) = delete;

  bool parsed() const;
  CLI::App& app() noexcept { return *command_; }
  /// Returns the exit code: 0 done, 1 it failed or was interrupted, 2 an argument is wrong. `in`: for --password-stdin.
  int run(const config::Config& config, std::FILE* in, std::FILE* out, std::FILE* errors) const;

 private:
  Result<> check_arguments() const;
  int pull(const config::Config& config, std::FILE* in, std::FILE* out, std::FILE* errors) const;
  int preheat(const config::Config& config, std::FILE* out, std::FILE* errors) const;
  Result<std::optional<upstream::Credential>> credential(const registry_api::ImageName& image, std::FILE* in) const;

  CLI::App* command_ = nullptr;
  AdminOption admin_;
  std::string image_;
  std::string platform_;
  std::string username_;
  std::string nodes_;
  std::string status_;
  std::string cancel_;
  bool password_stdin_ = false;
  bool json_ = false;
  bool quiet_ = false;
};

}  // namespace oxbow::mirror
