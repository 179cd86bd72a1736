// The command line's side of a preheat: starts it over the admin API, shows its progress until it ends, and lets it go
// on alone when it is interrupted. Thread rule: main, before other threads. Lifetime: the files outlive it.
#pragma once

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "mirror/operator/api_client.h"

namespace oxbow::mirror {

/// What `--nodes` says, as the API takes it: "all", "25%" or a list of names. Errors: kInvalid.
Result<nlohmann::ordered_json> parse_nodes(const std::string& text);

/// A preheat as the API gives it: a table of its nodes, or one line and those that failed when there are many.
std::string preheat_table(const nlohmann::ordered_json& preheat, std::size_t width);
/// "12 of 40 nodes done, 3 running, 1 failed, 4.2 GiB of 12.0 GiB".
std::string preheat_line(const nlohmann::ordered_json& preheat);

class PreheatWatch {
 public:
  struct Options {
    ApiClient api;
    bool json = false;
    bool quiet = false;
    std::FILE* out = nullptr;
    std::FILE* errors = nullptr;
    std::chrono::milliseconds every{1'000};
  };
  explicit PreheatWatch(Options options) : options_(std::move(options)) {}

  // Each gives the exit code: 0 good, 1 it failed (for some node), 2 the daemon calls the request wrong.
  int start(const std::string& image, const nlohmann::ordered_json& nodes, const std::string& platform);
  int show(const std::string& id);
  int list();
  int cancel(const std::string& id);

 private:
  int follow(const std::string& id);
  int print(const nlohmann::ordered_json& preheat);
  int failed(const Error& error);

  const Options options_;
};

}  // namespace oxbow::mirror
