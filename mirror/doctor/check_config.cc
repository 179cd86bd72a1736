// The configuration: whether it loads, and whether the running daemon has the same.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mirror/doctor/checks.h"
#include "mirror/doctor/json_reading.h"
#include "mirror/ring_options.h"

namespace oxbow::mirror::doctor {
namespace {

constexpr const char* kReload = "systemctl reload oxbow   (or restart, for what a reload cannot change)";

bool is_hidden(const System& system, const std::string& file) {
  if (file.empty() || system.user() == 0) return false;
  const auto text = system.read(file);
  return !text && text.error().code() == Errc::kDenied;
}

void explain(const config::Diagnostic& diagnostic, const std::string& file, const System& system, Findings& out) {
  const auto text = config::to_string(diagnostic);
  if (is_hidden(system, file)) {
    return out.fail("config.unreadable", text, "This user may not read it, so nothing else can be checked.",
                    "sudo oxbow doctor" + (file.empty() ? "" : " --config " + file));
  }
  const auto place = diagnostic.line > 0 ? fmt::format("edit {}, line {}", diagnostic.file, diagnostic.line)
                     : file.empty()      ? fmt::format("change it where it comes from: {}", diagnostic.file)
                                         : "edit " + file;
  out.fail("config.invalid", text, "The daemon does not start with it, and does not take it on a reload.",
           place + "; then: oxbow config check" + (file.empty() ? "" : " --config " + file));
}

template <typename Value>
void compare(std::vector<std::string>& out, const nlohmann::json& running, const char* key, const Value& wanted) {
  const auto* found = value_at(running, {key});
  if (!found || found->is_null()) return;
  const nlohmann::json expected = wanted;
  if (*found != expected)
    out.push_back(fmt::format("{}: runs with {}, the file says {}", key, found->dump(), expected.dump()));
}

void compare_registries(std::vector<std::string>& out, const nlohmann::json& running, const config::Config& config) {
  if (!value_at(running, {"registries"})) return;  // of a version that does not say
  std::set<std::string> names;
  for (const auto& one : list_at(running, {"registries"})) {
    const auto name = text_at(one, {"name"});
    if (name.empty()) continue;
    names.insert(name);
    const auto mine = std::ranges::find(config.registries, name, &config::Registry::name);
    if (mine == config.registries.end()) {
      out.push_back(fmt::format("registry {}: runs with it, the file has it not", name));
      continue;
    }
    std::vector<std::string> differences;
    auto upstreams = mine->upstreams;  // as the daemon keeps them
    for (auto& url : upstreams) {
      while (url.ends_with('/')) url.pop_back();
    }
    compare(differences, one, "upstreams", upstreams);
    compare(differences, one, "credentials", mine->credentials == config::Credentials::kNode ? "node" : "client");
    for (const auto& difference : differences) out.push_back(fmt::format("registry {}: {}", name, difference));
  }
  for (const auto& registry : config.registries) {
    if (!names.contains(registry.name)) out.push_back(fmt::format("registry {}: it does not have it", registry.name));
  }
}

void compare_with_daemon(const Subject& subject, Findings& out) {
  const auto& status = subject.daemon.status_json;
  std::vector<std::string> differences;
  compare(differences, status, "node", self_member(subject.config).name);
  compare_registries(differences, status, subject.config);
  if (const auto* storage = value_at(status, {"storage"}); storage && !subject.config.storage.budget.is_percent)
    compare(differences, *storage, "budget_bytes", subject.config.storage.budget.bytes);
  const auto& peers = subject.daemon.peers_json;
  using enum config::MembershipProvider;
  const auto provider = subject.config.membership.provider;
  const bool cluster_decides = provider == kEtcd || provider == kKubernetes;  // its settings win over the file's
  if (config::has_peers(subject.config) && !cluster_decides) {
    compare(differences, peers, "strategy",
            std::string(p2p::to_string(strategy_kind(subject.config.routing.strategy))));
    compare(differences, peers, "replicas", subject.config.routing.replicas);
  }
  if (differences.empty()) return;
  out.warn("config.differs", "the running daemon has other settings than the file: " + joined(differences, 4),
           "The file was changed and not reloaded, or the daemon runs with another file, variables or flags.", kReload);
}

}  // namespace

void check_config(const config::LoadResult& loaded, const std::string& file, const System& system,
                  const Subject* subject, Findings& out) {
  if (!loaded) {
    for (const auto& diagnostic : loaded.error()) explain(diagnostic, file, system, out);
    return out.skipped("config.rest", "everything else: it is looked at once the configuration loads");
  }
  for (const auto& warning : loaded->warnings) {
    out.warn("config.warning", config::to_string(warning), "The daemon starts with it; it may not do what you meant.",
             "oxbow config check" + (file.empty() ? "" : " --config " + file));
  }
  if (loaded->warnings.empty()) {
    const auto registries = loaded->config.registries.size();
    out.ok("config.good", fmt::format("{}, {} registr{}", file.empty() ? "no file: the defaults hold" : file,
                                      registries, registries == 1 ? "y" : "ies"));
  }
  if (subject) compare_with_daemon(*subject, out);
}

}  // namespace oxbow::mirror::doctor
