#include "mirror/cluster_command.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/log.h"
#include "core/tls/safe_files.h"
#include "mirror/ring_options.h"

namespace oxbow::mirror {
namespace {

constexpr int kTries = 5;  // against others who change it at the same moment

constexpr const char* kHelp = R"(
What all nodes share is in etcd, or in a ConfigMap of Kubernetes; the configuration says where ([membership]).
Examples:
  oxbow cluster settings                                  what all nodes go by
  oxbow cluster settings --strategy ring --replicas 3     change it: a new epoch, which wins over the nodes' files
  oxbow cluster revoked                                   who is shut out
  oxbow cluster revoked --publish /root/oxbow-ca/revoked.json
A change is refused where somebody else was faster, and tried again on what is there then.
Exit codes: 0 done, 1 failed, 2 an argument is wrong.
)";

/// Errors: kInvalid. Its epoch cannot be told then, so another value might be an older one to nodes that can read it.
Result<std::optional<p2p::ClusterSettings>> parsed_settings(const std::optional<p2p::ClusterValue>& now) {
  if (!now) return std::nullopt;
  auto settings = p2p::parse_settings(now->value);
  if (!settings) return std::unexpected(std::move(settings.error()).in("the settings that are there"));
  return std::move(*settings);
}

std::string describe(const p2p::ClusterSettings& settings) {
  return fmt::format("epoch {}: strategy {}, replicas {}", settings.epoch, settings.strategy, settings.replicas);
}

/// What is there, changed by `next`, unless somebody else is faster each time.
template <typename Next>
Result<> swap(p2p::ClusterValues& values, std::string_view key, Next next) {
  for (int tries = 0;; ++tries) {
    const auto now = values.get(std::string(key));
    if (!now) return std::unexpected(now.error());
    auto value = next(*now);
    if (!value) return std::unexpected(std::move(value.error()));
    const auto expected = *now ? std::optional((*now)->revision) : std::nullopt;
    auto swapped = values.compare_and_swap(std::string(key), expected, std::move(*value));
    if (swapped) return {};
    if (swapped.error().code() != Errc::kBusy || tries + 1 == kTries)
      return std::unexpected(std::move(swapped.error()));
  }
}

}  // namespace

Result<std::optional<p2p::ClusterSettings>> shared_settings(p2p::ClusterValues& values) {
  const auto now = values.get(std::string(p2p::kSettingsKey));
  if (!now) return std::unexpected(now.error());
  return parsed_settings(*now);
}

Result<p2p::ClusterSettings> change_settings(p2p::ClusterValues& values, const SettingsChange& change) {
  p2p::ClusterSettings settings;
  auto swapped = swap(values, p2p::kSettingsKey, [&](const auto& now) -> Result<std::string> {
    const auto known = parsed_settings(now);
    if (!known) return std::unexpected(known.error());
    settings = known->value_or(p2p::ClusterSettings{0, std::string(p2p::to_string(p2p::StrategyKind::kSwarm)), 3});
    ++settings.epoch;
    if (change.strategy) settings.strategy = *change.strategy;
    if (change.replicas) settings.replicas = *change.replicas;
    return p2p::to_json(settings);
  });
  if (!swapped) return std::unexpected(std::move(swapped.error()));
  return settings;
}

Result<std::size_t> publish_revoked(p2p::ClusterValues& values, const std::string& json) {
  const auto names = p2p::parse_revoked(json);
  if (!names) return std::unexpected(names.error());
  auto swapped = swap(values, p2p::kRevokedKey, [&](const auto&) -> Result<std::string> {
    return nlohmann::json(*names).dump();  // serials as every node has compared them
  });
  if (!swapped) return std::unexpected(std::move(swapped.error()));
  return names->size();
}

ClusterCommand::ClusterCommand(CLI::App& app) {
  command_ = app.add_subcommand("cluster", "Show or change what all nodes of a cluster share");
  command_->require_subcommand(1);
  command_->footer(kHelp);
  settings_ = command_->add_subcommand("settings", "The strategy and the replicas that all nodes go by");
  settings_->add_option("--strategy", change_.strategy, "From now on")
      ->check(CLI::IsMember({"swarm", "ring", "fingers", "single"}));
  settings_->add_option("--replicas", change_.replicas, "From now on")->check(CLI::Range(1, 64));
  revoked_ = command_->add_subcommand("revoked", "Names and certificates that all nodes refuse");
  revoked_->add_option("--publish", publish_, "Replace the list by this file, as \"oxbow ca revoke\" writes it")
      ->check(CLI::ExistingFile);
  for (auto* command : {settings_, revoked_}) command->fallthrough();  // where the configuration is, is the parent's
}

bool ClusterCommand::parsed() const { return command_->parsed(); }

Result<std::string> ClusterCommand::settings(p2p::ClusterValues& values) const {
  if (change_.strategy || change_.replicas) {
    const auto changed = change_settings(values, change_);
    if (!changed) return std::unexpected(changed.error());
    return describe(*changed) + "\nall nodes go by it within seconds, for what they fetch from then on";
  }
  const auto now = shared_settings(values);
  if (!now) return std::unexpected(now.error());
  return *now ? describe(**now) : "none: each node goes by its own file ([routing])";
}

Result<std::string> ClusterCommand::revoked(p2p::ClusterValues& values) const {
  if (!publish_.empty()) {
    const auto text = tls::read_file(publish_, kMaxRevokedFileBytes);
    if (!text) return std::unexpected(text.error());
    auto count = publish_revoked(values, *text);
    if (!count) return std::unexpected(std::move(count.error()).in(publish_));
    return fmt::format("published: {} entries; all nodes refuse them within seconds", *count);
  }
  const auto now = values.get(std::string(p2p::kRevokedKey));
  if (!now) return std::unexpected(now.error());
  if (!*now) return "none";
  const auto names = p2p::parse_revoked((*now)->value);
  if (!names) return std::unexpected(names.error());
  return names->empty() ? "none" : fmt::to_string(fmt::join(*names, "\n"));
}

int ClusterCommand::run(const config::Config& config, std::FILE* out, std::FILE* errors) const {
  log::init(log::Level::kError, false);
  const auto values = make_cluster_values(config);
  if (!values) {
    std::fputs(
        "oxbow cluster: nothing is shared here: membership.provider is neither \"etcd\" nor \"kubernetes\". Each node "
        "goes by its own file: routing.strategy, routing.replicas and peer.revoked_file.\n",
        errors);
    return 1;
  }
  const auto said = settings_->parsed() ? settings(*values) : revoked(*values);
  if (!said) {
    std::fprintf(errors, "oxbow cluster: %s\n", said.error().what().c_str());
    return 1;
  }
  std::fprintf(out, "%s\n", said->c_str());
  return 0;
}

}  // namespace oxbow::mirror
