#include <cctype>
#include <nlohmann/json.hpp>

#include "core/tls/certificate.h"
#include "p2p/cluster_values.h"

namespace oxbow::p2p {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxReplicas = 64;
constexpr std::size_t kMaxStrategyBytes = 32;
constexpr std::size_t kMaxRevoked = 65'536;
constexpr std::size_t kMaxRevokedBytes = 253;  // a name; a serial has 40 digits

bool printable(const std::string& text, std::size_t max_bytes) {
  return !text.empty() && text.size() <= max_bytes &&
         std::ranges::all_of(text, [](unsigned char c) { return c > 0x20 && c != 0x7f; });
}

}  // namespace

Result<ClusterSettings> parse_settings(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(Errc::kInvalid, "settings: not a JSON object");
  // A newer node may say more; what is known has to be right.
  const auto whole = [&](const char* key, std::uint64_t most) -> Result<std::uint64_t> {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_number_unsigned() || found->get<std::uint64_t>() > most)
      return fail(Errc::kInvalid, fmt::format("settings: {} must be a whole number up to {}", key, most));
    return found->get<std::uint64_t>();
  };
  const auto epoch = whole("epoch", std::numeric_limits<std::int64_t>::max());
  if (!epoch) return std::unexpected(epoch.error());
  const auto replicas = whole("replicas", kMaxReplicas);
  if (!replicas) return std::unexpected(replicas.error());
  if (*replicas == 0) return fail(Errc::kInvalid, "settings: replicas must be at least 1");
  const auto strategy = json.find("strategy");
  if (strategy == json.end() || !strategy->is_string() || !printable(strategy->get<std::string>(), kMaxStrategyBytes))
    return fail(Errc::kInvalid, "settings: strategy must be a name");
  return ClusterSettings{*epoch, strategy->get<std::string>(), static_cast<std::uint32_t>(*replicas)};
}

std::string to_json(const ClusterSettings& settings) {
  const Json json{{"epoch", settings.epoch}, {"strategy", settings.strategy}, {"replicas", settings.replicas}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::vector<std::string>> parse_revoked(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  if (!json.is_array()) return fail(Errc::kInvalid, "revoked: not a JSON list");
  if (json.size() > kMaxRevoked) return fail(Errc::kLimit, fmt::format("revoked: more than {} entries", kMaxRevoked));
  std::vector<std::string> out;
  for (const auto& one : json) {
    // An entry that is not understood must not be passed over: it was meant to keep somebody out.
    if (!one.is_string() || !printable(one.get<std::string>(), kMaxRevokedBytes))
      return fail(Errc::kInvalid, fmt::format("revoked[{}] must be a name or a serial", out.size()));
    auto entry = one.get<std::string>();
    if (tls::is_serial_entry(entry)) {
      const auto serial = tls::plain_serial(entry);
      if (serial.empty() || !std::ranges::all_of(serial, [](unsigned char c) { return std::isxdigit(c) != 0; }))
        return fail(Errc::kInvalid, fmt::format("revoked[{}]: \"{}\" is not a serial in hex", out.size(), entry));
      entry = tls::serial_entry(serial);
    }
    out.push_back(std::move(entry));
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

}  // namespace oxbow::p2p
