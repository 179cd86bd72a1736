// Credentials in files: Docker's config.json, and a password for one user. Blocking: on the WorkPool.
// Thread rule: pure but for reading files.
#pragma once

#include <string>
#include <string_view>

#include "mirror/upstream/credentials.h"

namespace oxbow::mirror::upstream {

/// How soon a changed file is noticed.
inline constexpr std::chrono::seconds kFileCheckInterval{5};

/// `credHelpers[host]`, then `auths[host]` (`auth`, or `username` and `password`; `identitytoken`; `registrytoken`),
/// then `credsStore`. Docker Hub's hosts share the key `https://index.docker.io/v1/`; keys may be hosts or URLs. A file
/// that does not exist holds no credential. Errors: kInvalid (not JSON), kIo, kDenied, and those of helpers.
Result<CredentialAnswer> from_docker_config(const DockerConfigSource& source, const CredentialQuery& query);
Result<CredentialAnswer> from_password_file(const PasswordFileSource& source);

/// What config.json says about a registry: a credential, or a helper to ask.
struct DockerConfigAnswer {
  std::optional<Credential> credential;
  std::string helper;
};
/// Errors: kInvalid.
Result<DockerConfigAnswer> parse_docker_config(std::string_view json, std::string_view url);

/// The name under which Docker's files and helpers know a registry: its host, or `https://index.docker.io/v1/`.
std::string docker_server_name(std::string_view url);

/// Whole, at most 1 MiB. Errors: as `errno_error`, kLimit.
Result<std::string> read_small_file(const std::string& path);

}  // namespace oxbow::mirror::upstream
