#include "mirror/own_asker.h"

#include "registry-api/reference.h"

namespace oxbow::mirror {

Result<Asker> own_asker(const Registries& registries, std::string_view registry, std::string repository) {
  Asker asker;
  asker.registry = registries.named(registry);
  if (!asker.registry) return fail(Errc::kNotFound, "no such registry here");
  if (!registry_api::is_lenient_repository_name(repository)) return fail(Errc::kInvalid, "not a repository name");
  if (!asker.registry->filter.allows(repository)) return fail(Errc::kDenied, "the repository is not served here");
  asker.repository = {asker.registry->config.name, std::move(repository)};
  if (asker.registry->config.credentials == config::Credentials::kNode)
    asker.identity.kind = upstream::IdentityKind::kNode;
  return asker;
}

}  // namespace oxbow::mirror
