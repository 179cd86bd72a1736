// `oxbow cache`. Thread rule: main.
#pragma once

#include <functional>

#include "mirror/operator/daemon_command.h"

namespace oxbow::mirror {

class CacheCommand final : public DaemonCommand {
 public:
  explicit CacheCommand(CLI::App& parent);

 protected:
  Result<int> ask(const ApiClient& api, const Output& output) const override;

 private:
  CLI::App* add(const char* name, const char* help);
  CLI::App* add_change(const char* name, const char* help);

  Result<int> list(const ApiClient& api, const Output& output) const;
  Result<int> evictions(const ApiClient& api, const Output& output) const;
  Result<int> change(const ApiClient& api, const Output& output, const char* what) const;
  Result<int> scrub(const ApiClient& api, const Output& output) const;

  CLI::App* list_ = nullptr;
  CLI::App* evictions_ = nullptr;
  CLI::App* pin_ = nullptr;
  CLI::App* unpin_ = nullptr;
  CLI::App* purge_ = nullptr;
  CLI::App* scrub_ = nullptr;

  std::vector<std::string> digests_;
  std::string registry_, repository_;
  std::string sort_ = "stored";
  std::uint64_t limit_ = 50;
  std::uint64_t evictions_limit_ = 20;
  bool full_ = false;
  bool detach_ = false;
};

/// The digest that `text` means: itself if it is whole, else the only stored one that begins so (at least 6 hex digits,
/// "sha256:" may be left out). Errors: kInvalid (too short, no hex), kNotFound, kBusy (several begin so); as ApiClient.
Result<std::string> resolve_digest(const ApiClient& api, const std::string& text);

// What it prints.
std::string cache_text(const nlohmann::ordered_json& cache, const Terminal& terminal, bool full);
std::string evictions_text(const nlohmann::ordered_json& evictions, const Terminal& terminal, bool full);
std::string scrub_text(const nlohmann::ordered_json& report);

}  // namespace oxbow::mirror
