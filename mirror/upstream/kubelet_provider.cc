// Kubelet's exec credential providers (Kubernetes docs, "Configure a kubelet image credential provider").
#include <fnmatch.h>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/encoding.h"
#include "core/log.h"
#include "mirror/upstream/credential_files.h"
#include "mirror/upstream/credential_programs.h"
#include "mirror/upstream/http_values.h"
#include "mirror/upstream/program.h"
#include "mirror/upstream/simple_yaml.h"
#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {
namespace {

using nlohmann::json;
using std::chrono::seconds;

constexpr seconds kLongestCache{24 * 3600};

std::string text_of(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::vector<std::string> texts_of(const json& object, const char* key) {
  std::vector<std::string> texts;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return texts;
  for (const auto& item : *found) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

/// Go's form of durations: "12h", "5m0s", "1h30m", "0". Nothing for anything else.
std::optional<seconds> parse_go_duration(std::string_view text) {
  if (text == "0") return seconds(0);
  std::uint64_t total = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const auto unit_at = text.find_first_not_of("0123456789");
    if (unit_at == std::string_view::npos || unit_at > 9) return std::nullopt;
    const auto count = parse_number(text.substr(0, unit_at));
    text.remove_prefix(unit_at);
    if (!count) return std::nullopt;
    if (text.starts_with("ms")) {
      text.remove_prefix(2);
      continue;
    }
    const char unit = text.front();
    if (unit != 'h' && unit != 'm' && unit != 's') return std::nullopt;
    total += *count * (unit == 'h' ? 3600 : unit == 'm' ? 60 : 1);
    text.remove_prefix(1);
  }
  return seconds(static_cast<std::int64_t>(std::min<std::uint64_t>(total, kLongestCache.count())));
}

struct ImageParts {
  std::vector<std::string> labels;
  std::string port;
  std::string path;
};

ImageParts split_image(std::string_view image) {
  ImageParts parts;
  if (const auto scheme = image.find("://"); scheme != std::string_view::npos) image.remove_prefix(scheme + 3);
  const auto slash = std::min(image.find('/'), image.size());
  auto host = image.substr(0, slash);
  parts.path = image.substr(slash);
  while (parts.path.ends_with('/')) parts.path.pop_back();
  if (const auto colon = host.rfind(':'); colon != std::string_view::npos) {
    parts.port = host.substr(colon + 1);
    host = host.substr(0, colon);
  }
  while (true) {
    const auto dot = host.find('.');
    parts.labels.push_back(to_lower(host.substr(0, dot)));
    if (dot == std::string_view::npos) return parts;
    host.remove_prefix(dot + 1);
  }
}

std::string image_of(const CredentialQuery& query) {
  const auto parts = split_url(query.url);
  const auto host = parts ? parts->host_port() : query.url;
  return query.repository.empty() ? host : host + "/" + query.repository;
}

Result<CredentialAnswer> ask_provider(const KubeletProvider& provider, const std::string& bin_dir,
                                      const std::string& image) {
  const json request{{"apiVersion", provider.api_version}, {"kind", "CredentialProviderRequest"}, {"image", image}};
  std::vector<std::string> command{bin_dir + "/" + provider.name};
  command.insert(command.end(), provider.arguments.begin(), provider.arguments.end());
  const auto ran = run_program(command, provider.environment, request.dump(), kProgramTimeout);
  if (!ran) return fail(Errc::kUnavailable, "credential provider: " + ran.error().what());
  if (ran->exit_code != 0) {
    return fail(Errc::kUnavailable,
                fmt::format("credential provider {} failed with {}", provider.name, ran->exit_code));
  }
  auto answer = parse_kubelet_answer(ran->output, image, provider.default_cache);
  if (!answer) return std::unexpected(std::move(answer).error().in(provider.name));
  return answer;
}

}  // namespace

bool matches_image(std::string_view pattern, std::string_view image) {
  const auto wanted = split_image(pattern);
  const auto given = split_image(image);
  if (wanted.labels.size() != given.labels.size() || wanted.port != given.port) return false;
  for (std::size_t i = 0; i < wanted.labels.size(); ++i) {
    if (fnmatch(wanted.labels[i].c_str(), given.labels[i].c_str(), 0) != 0) return false;
  }
  return given.path.starts_with(wanted.path);
}

Result<std::vector<KubeletProvider>> parse_kubelet_config(std::string_view text) {
  auto root = json::parse(text, nullptr, false);
  if (root.is_discarded()) {
    auto yaml = parse_simple_yaml(text);
    if (!yaml) return std::unexpected(std::move(yaml).error());
    root = std::move(*yaml);
  }
  if (!root.is_object() || text_of(root, "kind") != "CredentialProviderConfig") {
    return fail(Errc::kInvalid, "not a CredentialProviderConfig");
  }
  std::vector<KubeletProvider> providers;
  const auto listed = root.find("providers");
  if (listed == root.end() || !listed->is_array()) return providers;
  for (const auto& entry : *listed) {
    KubeletProvider provider;
    provider.name = text_of(entry, "name");
    if (provider.name.empty() || provider.name.contains('/') || provider.name == "..") {
      return fail(Errc::kInvalid, "a provider's name is missing or holds a path");
    }
    provider.api_version = text_of(entry, "apiVersion");
    provider.match_images = texts_of(entry, "matchImages");
    provider.arguments = texts_of(entry, "args");
    if (const auto variables = entry.find("env"); variables != entry.end() && variables->is_array()) {
      for (const auto& variable : *variables) {
        const auto name = text_of(variable, "name");
        if (!name.empty()) provider.environment.push_back(name + "=" + text_of(variable, "value"));
      }
    }
    const auto cache = text_of(entry, "defaultCacheDuration");
    const auto parsed = cache.empty() ? seconds(0) : parse_go_duration(cache);
    if (!parsed) return fail(Errc::kInvalid, provider.name + ": defaultCacheDuration is no duration");
    provider.default_cache = *parsed;
    providers.push_back(std::move(provider));
  }
  return providers;
}

Result<CredentialAnswer> parse_kubelet_answer(std::string_view text, std::string_view image, seconds default_cache) {
  const auto root = json::parse(text, nullptr, false);
  if (!root.is_object() || text_of(root, "kind") != "CredentialProviderResponse") {
    return fail(Errc::kInvalid, "not a CredentialProviderResponse");
  }
  CredentialAnswer answer;
  const auto life = text_of(root, "cacheDuration");
  answer.valid_for = life.empty() ? default_cache : parse_go_duration(life).value_or(seconds(0));
  if (text_of(root, "cacheKeyType") == "Image") answer.scope = CredentialAnswer::Scope::kRepository;
  const auto auth = root.find("auth");
  if (auth == root.end() || !auth->is_object()) return answer;
  // Kubelet takes the longest pattern first; reverse order of the names comes to the same.
  std::vector<std::string> patterns;
  for (const auto& [pattern, entry] : auth->items()) patterns.push_back(pattern);
  std::ranges::sort(patterns, std::greater<>());
  for (const auto& pattern : patterns) {
    if (!matches_image(pattern, image)) continue;
    Credential credential;
    credential.username = text_of(auth->at(pattern), "username");
    credential.password = text_of(auth->at(pattern), "password");
    if (!credential.username.empty()) answer.credential = std::move(credential);
    break;
  }
  return answer;
}

Result<CredentialAnswer> from_kubelet(const KubeletProviderSource& source, const CredentialQuery& query) {
  const auto text = read_small_file(source.config_file);
  if (!text) return std::unexpected(text.error());
  const auto providers = parse_kubelet_config(*text);
  if (!providers) return std::unexpected(providers.error().in(source.config_file));
  const auto image = image_of(query);
  for (const auto& provider : *providers) {
    const bool fits =
        std::ranges::any_of(provider.match_images, [&](const auto& pattern) { return matches_image(pattern, image); });
    if (fits) return ask_provider(provider, source.bin_dir, image);
  }
  return CredentialAnswer{.credential = std::nullopt, .valid_for = kFileCheckInterval};
}

}  // namespace oxbow::mirror::upstream
