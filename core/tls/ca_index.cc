#include "core/tls/ca_index.h"

#include <nlohmann/json.hpp>

namespace oxbow::tls {
namespace {

using Json = nlohmann::json;  // ordered_json looks keys up one by one: minutes for a long list of names

constexpr int kFormat = 1;
constexpr std::chrono::days kForgetAfter{90};
constexpr std::chrono::days kClockDoubt{7};  // how far behind a node's clock may be and still be refused

Json to_value(const IssuedCertificate& certificate) {
  Json out{{"name", certificate.identity.name},
           {"serial", certificate.serial},
           {"not_before", format_time(certificate.validity.not_before)},
           {"not_after", format_time(certificate.validity.not_after)},
           {"dns", certificate.identity.dns},
           {"ips", certificate.identity.ips},
           {"directory", certificate.directory}};
  if (certificate.revoked) out["revoked"] = format_time(*certificate.revoked);
  return out;
}

std::chrono::sys_seconds time_of(const Json& value) {
  auto time = parse_time(value.get<std::string>());
  if (!time) throw std::invalid_argument(time.error().what());
  return *time;
}

IssuedCertificate certificate_of(const Json& value) {
  IssuedCertificate out;
  out.identity = {value.at("name"), value.at("dns"), value.at("ips")};
  out.serial = value.at("serial");
  out.validity = {time_of(value.at("not_before")), time_of(value.at("not_after"))};
  out.directory = value.at("directory");
  if (const auto at = value.find("revoked"); at != value.end()) out.revoked = time_of(*at);
  return out;
}

}  // namespace

bool IssuedCertificate::speaks_for(std::string_view name) const {
  return identity.name == name || std::ranges::find(identity.dns, name) != identity.dns.end();
}

const IssuedCertificate* CaIndex::latest(std::string_view name) const {
  for (auto at = certificates.rbegin(); at != certificates.rend(); ++at)
    if (at->identity.name == name) return &*at;
  return nullptr;
}

IssuedCertificate* CaIndex::by_serial(std::string_view serial) {
  for (auto& certificate : certificates)
    if (certificate.serial == serial) return &certificate;
  return nullptr;
}

const IssuedCertificate* CaIndex::claimed_by_another(const std::string& owner, const std::string& name,
                                                     std::chrono::sys_seconds now) const {
  for (const auto& certificate : certificates) {
    if (certificate.identity.name != owner && certificate.usable(now) && certificate.speaks_for(name))
      return &certificate;
  }
  return nullptr;
}

void CaIndex::forget_old(std::chrono::sys_seconds now) {
  std::map<std::string, std::string> latest_serials;
  for (const auto& one : certificates) latest_serials[one.identity.name] = one.serial;
  std::erase_if(certificates, [&](const auto& one) {
    return one.validity.not_after + kForgetAfter < now && latest_serials.at(one.identity.name) != one.serial;
  });
}

Result<CaIndex> parse_index(std::string_view json) {
  try {
    const auto root = Json::parse(json);
    if (const int format = root.at("format"); format != kFormat)
      return fail(Errc::kCorrupt, fmt::format("the index has format {}, this program reads {}", format, kFormat));
    CaIndex out;
    for (const auto& value : root.at("certificates")) out.certificates.push_back(certificate_of(value));
    for (const auto& [name, time] : root.at("revoked_names").items()) out.revoked_names[name] = time_of(time);
    return out;
  } catch (const std::exception& wrong) {
    return fail(Errc::kCorrupt, std::string("the index cannot be read: ") + wrong.what());
  }
}

std::string to_json(const CaIndex& index) {
  Json certificates = Json::array();
  for (const auto& certificate : index.certificates) certificates.push_back(to_value(certificate));
  Json names = Json::object();
  for (const auto& [name, time] : index.revoked_names) names[name] = format_time(time);
  return Json{{"format", kFormat}, {"certificates", certificates}, {"revoked_names", names}}.dump(1) + "\n";
}

Result<std::string> revoked_list(const CaIndex& index, std::chrono::sys_seconds now) {
  Json out = Json::array();
  for (const auto& [name, time] : index.revoked_names) out.push_back(name);
  for (const auto& certificate : index.certificates) {
    if (certificate.revoked && certificate.validity.not_after + kClockDoubt > now)
      out.push_back(serial_entry(certificate.serial));
  }
  if (out.size() > kRevokedLimit) {
    return fail(Errc::kLimit,
                fmt::format("more than {} identities would be revoked, which no node takes: change the CA "
                            "(docs/certificates.md)",
                            kRevokedLimit));
  }
  return out.dump() + "\n";
}

}  // namespace oxbow::tls
