#include "mirror/upstream/credential_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "core/encoding.h"
#include "mirror/upstream/credential_programs.h"
#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxFileBytes = 1 << 20;
constexpr std::string_view kHubKey = "https://index.docker.io/v1/";

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// Keys of config.json come as host, host/v1/, and URL with or without a path.
std::string host_of_key(std::string_view key) {
  if (const auto scheme = key.find("://"); scheme != std::string_view::npos) key.remove_prefix(scheme + 3);
  return to_lower(key.substr(0, key.find('/')));
}

bool is_hub(std::string_view host) {
  return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io" ||
         host == "registry.hub.docker.com";
}

bool same_registry(std::string_view key, std::string_view host) {
  const auto named = host_of_key(key);
  return named == host || (is_hub(named) && is_hub(host));
}

std::optional<Credential> credential_of(const json& entry) {
  if (!entry.is_object()) return std::nullopt;
  Credential credential{.username = text_of(entry, "username"),
                        .password = text_of(entry, "password"),
                        .identity_token = text_of(entry, "identitytoken"),
                        .registry_token = text_of(entry, "registrytoken")};
  if (const auto decoded = base64_decode(text_of(entry, "auth")); decoded && decoded->contains(':')) {
    const auto colon = decoded->find(':');
    credential.username = decoded->substr(0, colon);
    credential.password = decoded->substr(colon + 1);
    while (credential.password.ends_with('\0')) credential.password.pop_back();
  }
  if (credential.username == "<token>") {
    credential.identity_token = std::exchange(credential.password, {});
    credential.username.clear();
  }
  if (credential == Credential{}) return std::nullopt;
  return credential;
}

}  // namespace

std::string docker_server_name(std::string_view url) {
  const auto parts = split_url(url);
  if (!parts) return std::string(url);
  return is_hub(parts->host) ? std::string(kHubKey) : parts->host_port();
}

Result<DockerConfigAnswer> parse_docker_config(std::string_view text, std::string_view url) {
  const auto root = json::parse(text, nullptr, false);
  if (!root.is_object()) return fail(Errc::kInvalid, "not a JSON object");
  const auto parts = split_url(url);
  const auto host = parts ? parts->host_port() : std::string(url);

  if (const auto helpers = root.find("credHelpers"); helpers != root.end() && helpers->is_object()) {
    for (const auto& [key, name] : helpers->items()) {
      if (same_registry(key, host) && name.is_string()) {
        return DockerConfigAnswer{.credential = std::nullopt, .helper = name.get<std::string>()};
      }
    }
  }
  DockerConfigAnswer answer{.credential = std::nullopt, .helper = text_of(root, "credsStore")};
  if (const auto auths = root.find("auths"); auths != root.end() && auths->is_object()) {
    for (const auto& [key, entry] : auths->items()) {
      if (!same_registry(key, host)) continue;
      answer.credential = credential_of(entry);
      if (answer.credential) return answer;  // an empty entry says that the store has it
    }
  }
  return answer;
}

Result<CredentialAnswer> from_docker_config(const DockerConfigSource& source, const CredentialQuery& query) {
  const auto text = read_small_file(source.path);
  if (!text && text.error().code() == Errc::kNotFound) {
    return CredentialAnswer{.credential = std::nullopt, .valid_for = kFileCheckInterval};
  }
  if (!text) return std::unexpected(text.error());
  auto found = parse_docker_config(*text, query.url);
  if (!found) return std::unexpected(std::move(found).error().in(source.path));
  if (!found->credential && !found->helper.empty()) return from_helper(found->helper, query);
  return CredentialAnswer{.credential = std::move(found->credential), .valid_for = kFileCheckInterval};
}

Result<CredentialAnswer> from_password_file(const PasswordFileSource& source) {
  auto text = read_small_file(source.password_file);
  if (!text) return std::unexpected(std::move(text).error());
  while (text->ends_with('\n') || text->ends_with('\r')) text->pop_back();
  return CredentialAnswer{
      .credential =
          Credential{
              .username = source.username, .password = std::move(*text), .identity_token = {}, .registry_token = {}},
      .valid_for = kFileCheckInterval};
}

Result<std::string> read_small_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::unexpected(errno_error(errno, "open " + path));
  std::string content;
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const auto got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    const int failed = got < 0 ? errno : 0;
    if (got > 0) content.append(buffer.data(), static_cast<std::size_t>(got));
    if (got > 0 && content.size() <= kMaxFileBytes) continue;
    close(fd);
    if (failed != 0) return std::unexpected(errno_error(failed, "read " + path));
    if (content.size() > kMaxFileBytes) return fail(Errc::kLimit, path + " is too long");
    return content;
  }
}

}  // namespace oxbow::mirror::upstream
