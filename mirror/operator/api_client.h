// Asks a daemon's admin API, for the sub-commands of `oxbow`: over its Unix socket, and for what only reads over TCP
// where the socket does not answer.
// Thread rule: one thread at a time; calls block, at most for the time-out. Lifetime: plain value.
#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"
#include "core/error.h"

namespace CLI {
class App;
}

namespace oxbow::mirror {

/// Where a daemon may answer. At least one of the two is set.
struct AdminAddress {
  std::string socket;  ///< a path
  std::string url;     ///< "http://127.0.0.1:5052"

  static AdminAddress from(const config::Admin& config);
  /// "/run/oxbow/admin.sock" (anything with a slash but no scheme), "unix:/…", "http://host:port", "host:port".
  /// Errors: kInvalid.
  static Result<AdminAddress> parse(std::string_view text);
  /// For messages.
  std::string text() const;
};

class ApiClient {
 public:
  explicit ApiClient(AdminAddress address, std::chrono::milliseconds timeout = std::chrono::seconds(30))
      : address_(std::move(address)), timeout_(timeout) {}

  /// `path` with query, "/api/v1/status"; parts of it are percent-encoded by the caller (core/encoding.h).
  /// Errors: kUnavailable (no daemon answers; says what to do), kTimeout, kDenied (this user may not open the socket,
  /// or the address is for reading), kInvalid (the daemon calls the request wrong, or what answers is no daemon),
  /// kNotFound, kBusy, kLimit (answer above 64 MiB), kIo. `what` is meant for people as it is.
  Result<nlohmann::ordered_json> get(const std::string& path) const;
  Result<nlohmann::ordered_json> post(const std::string& path, const nlohmann::ordered_json& body) const;
  Result<nlohmann::ordered_json> remove(const std::string& path) const;

  const AdminAddress& address() const noexcept { return address_; }

 private:
  struct Question;
  Result<nlohmann::ordered_json> ask(const Question& question) const;
  Error no_answer(const Question& question) const;

  AdminAddress address_;
  std::chrono::milliseconds timeout_;
};

/// `--admin PATH|URL` of a sub-command; without it the configuration says where the daemon is.
class AdminOption {
 public:
  void add_to(CLI::App& app);
  /// `load` is called only where the option is not given; nothing: it has told its errors. Errors: kInvalid.
  Result<std::optional<AdminAddress>> address(const std::function<std::optional<config::Config>()>& load) const;

 private:
  std::string text_;
};

}  // namespace oxbow::mirror
