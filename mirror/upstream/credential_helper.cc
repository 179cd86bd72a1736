// Docker's credential helper protocol (docker/docker-credential-helpers, "Development").
#include <nlohmann/json.hpp>

#include "core/encoding.h"
#include "mirror/upstream/credential_files.h"
#include "mirror/upstream/credential_programs.h"
#include "mirror/upstream/program.h"

namespace oxbow::mirror::upstream {

Result<std::optional<Credential>> parse_helper_answer(std::string_view text) {
  const auto root = nlohmann::json::parse(text, nullptr, false);
  if (!root.is_object()) return fail(Errc::kInvalid, "the helper's answer is not a JSON object");
  const auto text_of = [&](const char* key) {
    const auto found = root.find(key);
    return found != root.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  Credential credential;
  credential.username = text_of("Username");
  auto secret = text_of("Secret");
  if (secret.empty()) return std::nullopt;
  if (credential.username == "<token>") {
    credential.username.clear();
    credential.identity_token = std::move(secret);
  } else {
    credential.password = std::move(secret);
  }
  return credential;
}

Result<CredentialAnswer> from_helper(const std::string& name, const CredentialQuery& query) {
  const auto program = name.contains('/') ? name : "docker-credential-" + name;
  const auto ran = run_program({program, "get"}, {}, docker_server_name(query.url), kProgramTimeout);
  if (!ran) return fail(Errc::kUnavailable, "credential helper: " + ran.error().what());
  CredentialAnswer answer{.credential = std::nullopt, .valid_for = kHelperAnswerLife};
  if (ran->exit_code != 0) {
    if (ran->output.contains("credentials not found")) return answer;
    return fail(Errc::kUnavailable, fmt::format("credential helper {} failed with {}", program, ran->exit_code));
  }
  auto credential = parse_helper_answer(ran->output);
  if (!credential) return std::unexpected(std::move(credential).error().in(program));
  answer.credential = std::move(*credential);
  return answer;
}

}  // namespace oxbow::mirror::upstream
