#include "mirror/registries.h"

#include <algorithm>

#include "core/log.h"
#include "mirror/upstream_options.h"

namespace oxbow::mirror {
namespace {

std::vector<registry_api::RegistryName> names_of(const config::Config& config) {
  std::vector<registry_api::RegistryName> names;
  for (const auto& registry : config.registries) names.push_back({registry.name, registry.aliases});
  return names;
}

}  // namespace

CurlLoops::CurlLoops(Loops& loops) {
  for (std::size_t i = 0; i < loops.size(); ++i) {
    curls_.emplace_back(&loops.at(i), std::make_unique<upstream::CurlLoop>(loops.at(i)));
  }
}

upstream::CurlLoop& CurlLoops::at(Loop& loop) {
  for (auto& [known, curl] : curls_) {
    if (known == &loop) return *curl;
  }
  invariant_failed("every loop has a curl loop", __FILE__, __LINE__);
}

void CurlLoops::close() {
  for (auto& [loop, curl] : curls_) curl->close();
}

Registries::Registries(const config::Config& config, upstream::Services services)
    : services_(std::move(services)),
      upstream_bandwidth_(config.limits.upstream_bandwidth),
      preheat_bandwidth_(config.limits.preheat_bandwidth),
      names_(names_of(config), config.client.default_registry, config.client.allow_any_registry) {}

Result<std::shared_ptr<Registries>> Registries::create(const config::Config& config, upstream::Services services) {
  std::shared_ptr<Registries> registries(new Registries(config, std::move(services)));
  for (const auto& registry : config.registries) {
    auto made = registries->make(registry, true);
    if (!made) return std::unexpected(std::move(made.error()).in("registry " + registry.name));
    if (registry.credentials == config::Credentials::kNode) {
      log::info("every client of this mirror may read what the node's credentials read",
                {{"registry", registry.name}, {"credentials", "node"}});
    }
    registries->configured_.push_back(std::move(*made));
  }
  return registries;
}

Result<std::shared_ptr<MirroredRegistry>> Registries::make(const config::Registry& registry, bool configured) const {
  auto upstream = upstream_options(registry);
  if (registry.bandwidth == 0) upstream.bandwidth_bytes_per_s = upstream_bandwidth_;
  upstream.class_bandwidth_bytes_per_s[static_cast<std::size_t>(upstream::FetchClass::kPreheat)] = preheat_bandwidth_;
  upstream.allow_private_addresses = configured;
  auto client = upstream::Registry::create(std::move(upstream), services_);
  if (!client) return std::unexpected(std::move(client.error()));
  return std::make_shared<MirroredRegistry>(registry, registry_api::RepositoryFilter(registry.allow, registry.deny),
                                            std::move(*client));
}

Registries::Found Registries::resolve(registry_api::RegistryChoice choice) {
  using How = registry_api::RegistryChoice::How;
  if (choice.how == How::kUnspecified) return {nullptr, std::move(choice.repository), true};
  if (choice.how == How::kUnknown) return {};
  if (choice.registry) return {configured_[*choice.registry], std::move(choice.repository)};
  const std::lock_guard lock(mutex_);
  if (const auto known = dynamic_.find(choice.host); known != dynamic_.end()) {
    return {known->second, std::move(choice.repository)};
  }
  auto made = make(config::default_registry_entry(choice.host), false);
  if (!made) return {};
  // Anybody can name any host: what is kept of them is bounded.
  if (dynamic_.size() >= kMaxDynamic) dynamic_.clear();
  dynamic_.emplace(choice.host, *made);
  return {std::move(*made), std::move(choice.repository)};
}

Registries::Found Registries::find(std::optional<std::string_view> ns, std::string_view prefix, std::string_view name) {
  return resolve(names_.choose(ns, prefix, name));
}

Registries::Found Registries::by_default(std::string_view name) { return resolve(names_.default_choice(name)); }

std::shared_ptr<MirroredRegistry> Registries::named(std::string_view registry) const {
  const auto index = names_.find(registry);
  return index ? configured_[*index] : nullptr;
}

std::vector<std::shared_ptr<MirroredRegistry>> Registries::all() {
  auto out = configured_;
  const std::lock_guard lock(mutex_);
  for (const auto& [host, registry] : dynamic_) out.push_back(registry);
  std::sort(out.begin() + static_cast<std::ptrdiff_t>(configured_.size()), out.end(),
            [](const auto& a, const auto& b) { return a->config.name < b->config.name; });
  return out;
}

std::string Registries::repository_at(const MirroredRegistry& registry, std::string_view name) const {
  const auto index = names_.find(registry.config.name);
  return index ? names_.repository_at(*index, name) : std::string(name);
}

}  // namespace oxbow::mirror
