// What an upstream registry is, as the operator configures it. Filled from `[[registry]]`.
// Thread rule: plain values. Durations and sizes have their unit in the type or the name; 0 means "no limit".
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace oxbow::mirror::upstream {

/// Docker's `config.json`: `auths`, `credHelpers`, `credsStore`. Read again when the file changes.
struct DockerConfigSource {
  std::string path;
};
/// A Docker credential helper: `docker-credential-<name> get`, found in PATH unless `name` holds a slash (then it is
/// the program itself).
struct HelperSource {
  std::string name;
};
/// Kubelet's exec credential providers: the directory of the programs and the CredentialProviderConfig file.
struct KubeletProviderSource {
  std::string bin_dir;
  std::string config_file;
};
/// One user; the password is the file's content without its final newline. Read again when the file changes.
struct PasswordFileSource {
  std::string username;
  std::string password_file;
};
using CredentialSource =
    std::variant<std::monostate, DockerConfigSource, HelperSource, KubeletProviderSource, PasswordFileSource>;

/// Who a fetch is for; limits and priorities go by it.
enum class FetchClass : std::uint8_t { kPull, kPreheat };
inline constexpr std::size_t kFetchClasses = 2;

struct UpstreamConfig {
  /// The registry's name as clients say it: "docker.io". Label of metrics and log lines.
  std::string name;
  /// `https://host[:port][/prefix]` in order of preference; `http://` only where the operator writes it.
  std::vector<std::string> urls;
  CredentialSource credentials;

  /// PEM files; empty: the system's authorities, no client certificate.
  std::string ca_file;
  std::string client_certificate;
  std::string client_key;
  /// `http://[user:password@]host:port`; empty: direct. Environment variables are not read.
  std::string proxy;

  /// Exchanges at a time, over all loops. A waiting one gives up after `queue_timeout`.
  std::uint32_t max_connections = 64;
  std::chrono::milliseconds queue_timeout{30'000};
  /// Body bytes a second for the whole registry, and for each FetchClass.
  std::uint64_t bandwidth_bytes_per_s = 0;
  std::array<std::uint64_t, kFetchClasses> class_bandwidth_bytes_per_s{};

  std::chrono::milliseconds connect_timeout{5'000};
  /// Between two bytes of an exchange that is not paused.
  std::chrono::milliseconds no_progress_timeout{30'000};

  /// False for registries that nobody configured (`allow_any_registry`): private, loopback, link-local, CGNAT and
  /// unique-local addresses are refused after resolution, for redirects and token realms too.
  bool allow_private_addresses = true;
  /// An https registry may send us to an http:// location only with this.
  bool allow_redirect_to_http = false;
};

}  // namespace oxbow::mirror::upstream
