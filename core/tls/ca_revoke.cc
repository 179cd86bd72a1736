// ClusterCa: identities that the cluster must refuse. Needs no key.
#include "core/tls/ca.h"
#include "core/tls/ca_paths.h"

namespace oxbow::tls {
namespace {

/// The name, and the serials as well: a certificate may hold further names, under which the node would come back.
std::vector<std::string> revoke_name(CaIndex& index, const std::string& name, std::chrono::sys_seconds now) {
  index.revoked_names.try_emplace(name, now);
  std::vector<std::string> out{name};
  for (auto& certificate : index.certificates) {
    if (certificate.identity.name != name || certificate.expired(now)) continue;
    if (!certificate.revoked) certificate.revoked = now;
    out.push_back(serial_entry(certificate.serial));
  }
  return out;
}

}  // namespace

Result<std::vector<std::string>> ClusterCa::revoke(const std::string& name_or_serial, std::chrono::sys_seconds now) {
  if (!is_present(file("ca.crt"))) return std::unexpected(read_ca().error());
  const auto held = lock();
  if (!held) return std::unexpected(held.error());
  auto index = read_index();
  if (!index) return std::unexpected(std::move(index.error()));
  std::vector<std::string> out;
  if (index->latest(name_or_serial) != nullptr || index->revoked_names.contains(name_or_serial)) {
    out = revoke_name(*index, name_or_serial, now);
  } else if (auto* certificate = index->by_serial(plain_serial(name_or_serial)); certificate != nullptr) {
    if (!certificate->revoked) certificate->revoked = now;
    out.push_back(serial_entry(certificate->serial));
  } else {
    return fail(Errc::kNotFound,
                fmt::format("nothing that this CA has issued has the name or serial \"{}\": see \"oxbow ca list {}\"",
                            name_or_serial, directory_.string()));
  }
  if (auto stored = store(*index, now); !stored) return std::unexpected(std::move(stored.error()));
  return out;
}

Result<> ClusterCa::readmit(const std::string& name, std::chrono::sys_seconds now) {
  if (!is_present(file("ca.crt"))) return std::unexpected(read_ca().error());
  const auto held = lock();
  if (!held) return std::unexpected(held.error());
  auto index = read_index();
  if (!index) return std::unexpected(std::move(index.error()));
  if (index->revoked_names.erase(name) == 0) {
    return fail(Errc::kNotFound,
                fmt::format("the name {} is not revoked: see \"oxbow ca list {}\"", name, directory_.string()));
  }
  return store(*index, now);
}

}  // namespace oxbow::tls
