// Credentials that programs give: Docker's credential helpers and kubelet's exec credential providers.
// Blocking, at most kProgramTimeout a program: on the WorkPool. What a program says on stderr is not logged; it may
// hold secrets.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mirror/upstream/credentials.h"

namespace oxbow::mirror::upstream {

inline constexpr std::chrono::seconds kProgramTimeout{10};
inline constexpr std::chrono::minutes kHelperAnswerLife{5};

/// `docker-credential-<name> get`, the server's name on stdin. "credentials not found" is no credential.
/// Errors: kUnavailable (cannot run, failed, too slow), kInvalid (not the JSON it should be).
Result<CredentialAnswer> from_helper(const std::string& name, const CredentialQuery& query);
/// The answer of a helper. Errors: kInvalid.
Result<std::optional<Credential>> parse_helper_answer(std::string_view json);

/// The first provider of the CredentialProviderConfig whose matchImages fit is run with a CredentialProviderRequest.
/// Errors: as above.
Result<CredentialAnswer> from_kubelet(const KubeletProviderSource& source, const CredentialQuery& query);

/// One entry of a CredentialProviderConfig (YAML or JSON).
struct KubeletProvider {
  std::string name;
  std::string api_version;
  std::vector<std::string> match_images;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  ///< NAME=value
  std::chrono::seconds default_cache{0};
};
/// Errors: kInvalid.
Result<std::vector<KubeletProvider>> parse_kubelet_config(std::string_view text);
/// Errors: kInvalid.
Result<CredentialAnswer> parse_kubelet_answer(std::string_view json, std::string_view image,
                                              std::chrono::seconds default_cache);
/// Kubernetes' rule: as many host labels as the pattern's, `*` inside a label, equal ports, a prefix of the path.
bool matches_image(std::string_view pattern, std::string_view image);

}  // namespace oxbow::mirror::upstream
