#include "mirror/ca_report.h"

#include <nlohmann/json.hpp>

#include "p2p/cluster_values.h"
#include "p2p/membership.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;
using tls::format_time;

constexpr int kRenewShare = 3;  // with the last third of its time a certificate is due: two chances are left

/// Whole days, rounded down: -1 on the day after the end.
std::int64_t days_left(tls::Validity validity, std::chrono::sys_seconds now) {
  return std::chrono::floor<std::chrono::days>(validity.not_after - now).count();
}

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string how_to_tell(const std::filesystem::path& revoked_file) {
  return fmt::format(
      "Make it known to the cluster, in one of these ways:\n"
      "  copy {0} to every node, to the file that its option peer.revoked_file names; or,\n"
      "  with membership.provider = \"etcd\", for all at once: etcdctl put {1}values/{2} < {0}\n"
      "  ({1} is membership.prefix); or,\n"
      "  with membership.provider = \"kubernetes\", for all at once, in the namespace of the pods:\n"
      "  kubectl create configmap {3} --from-file={2}={0} --dry-run=client -o yaml |\n"
      "    kubectl apply --server-side --field-manager=oxbow-revoked -f -\n"
      "  ({3} is membership.config_map)\n",
      revoked_file.string(), p2p::EtcdOptions{}.prefix, p2p::kRevokedKey, p2p::KubernetesOptions{}.config_map);
}

}  // namespace

std::string report_created(const std::string& directory, const tls::CaFacts& ca) {
  return fmt::format(
      "made the CA \"{}\" in {}, valid until {}\n"
      "ca.key is what everything rests on: it stays here, and this directory is worth a backup.\n"
      "Next, for every node: oxbow ca issue {} NAME --out FOLDER\n",
      ca.name, directory, format_time(ca.validity.not_after), directory);
}

std::string report_written(const tls::WrittenCertificate& written) {
  const auto& certificate = written.certificate;
  std::string out = fmt::format("certificate of {}, serial {}, valid until {}\n", certificate.identity.name,
                                certificate.serial, format_time(certificate.validity.not_after));
  if (written.shortened) out += "  it ends with the CA, before the days asked for: time for a new CA\n";
  out += fmt::format("  {}\n", written.certificate_file.string());
  if (written.key_written) out += fmt::format("  {} (mode 0600)\n", written.key_file.string());
  return out + fmt::format("  {}\n", written.ca_file.string());
}

std::string configuration_lines(const tls::WrittenCertificate& written) {
  return fmt::format(
      "\n# For oxbow.toml, with the places that the files have on the node:\n"
      "[peer]\nname = {}\n\n[peer.tls]\nca = {}\ncertificate = {}\nkey = {}\n",
      toml_string(written.certificate.identity.name), toml_string(written.ca_file.string()),
      toml_string(written.certificate_file.string()), toml_string(written.key_file.string()));
}

std::string report_revoked(const std::vector<std::string>& entries, const std::filesystem::path& revoked_file) {
  std::string out = "revoked:\n";
  for (const auto& entry : entries) out += "  " + entry + "\n";
  return out + how_to_tell(revoked_file);
}

std::string report_readmitted(const std::string& directory, const std::string& name,
                              const std::filesystem::path& revoked_file) {
  return fmt::format("{} may be used again; the certificates it had stay revoked\n", name) + how_to_tell(revoked_file) +
         fmt::format("Then: oxbow ca renew {} {}\n", directory, name);
}

std::string_view state_of(const tls::IssuedCertificate& certificate, const tls::CaIndex& index,
                          std::chrono::sys_seconds now) {
  if (certificate.revoked) return "revoked";
  if (certificate.expired(now)) return "expired";
  if (index.latest(certificate.identity.name)->serial != certificate.serial) return "replaced";
  const auto& [from, until] = certificate.validity;
  return (until - now) * kRenewShare < until - from ? "renew" : "valid";
}

std::string listing_table(const tls::ClusterCa::Listing& listing, std::chrono::sys_seconds now) {
  const auto& [ca, index] = listing;
  const auto left = days_left(ca.validity, now);
  std::string out = fmt::format("CA \"{}\", serial {}, {} {} ({} days)\n", ca.name, ca.serial,
                                left < 0 ? "EXPIRED at" : "valid until", format_time(ca.validity.not_after), left);
  std::size_t width = 4;
  for (const auto& one : index.certificates) width = std::max(width, one.identity.name.size());
  constexpr auto kRow = "{:<{}}  {:<32}  {:<20}  {:<20}  {:>9}  {}\n";
  out += fmt::format(kRow, "NAME", width, "SERIAL", "NOT BEFORE", "NOT AFTER", "DAYS LEFT", "STATE");
  for (const auto& one : index.certificates) {
    out += fmt::format(kRow, one.identity.name, width, one.serial, format_time(one.validity.not_before),
                       format_time(one.validity.not_after), days_left(one.validity, now), state_of(one, index, now));
  }
  if (!index.revoked_names.empty()) {
    out += "revoked names:";
    for (const auto& [name, time] : index.revoked_names) out += " " + name;
    out += "\n";
  }
  return out;
}

std::string listing_json(const tls::ClusterCa::Listing& listing, std::chrono::sys_seconds now) {
  const auto& [ca, index] = listing;
  Json out{{"ca",
            {{"name", ca.name},
             {"serial", ca.serial},
             {"not_before", format_time(ca.validity.not_before)},
             {"not_after", format_time(ca.validity.not_after)},
             {"days_left", days_left(ca.validity, now)}}},
           {"certificates", Json::array()},
           {"revoked_names", Json::array()}};
  for (const auto& one : index.certificates) {
    Json row{{"name", one.identity.name},
             {"serial", one.serial},
             {"not_before", format_time(one.validity.not_before)},
             {"not_after", format_time(one.validity.not_after)},
             {"days_left", days_left(one.validity, now)},
             {"dns", one.identity.dns},
             {"ips", one.identity.ips},
             {"revoked", one.revoked.has_value()},
             {"state", state_of(one, index, now)}};
    if (one.revoked) row["revoked_at"] = format_time(*one.revoked);
    out["certificates"].push_back(std::move(row));
  }
  for (const auto& [name, time] : index.revoked_names) out["revoked_names"].push_back(name);
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace oxbow::mirror
