// What `oxbow ca` prints. Thread rule: pure functions.
#pragma once

#include <string>

#include "core/tls/ca.h"

namespace oxbow::mirror {

std::string report_created(const std::string& directory, const tls::CaFacts& ca);
std::string report_written(const tls::WrittenCertificate& written);
/// The lines of oxbow.toml that use what was written.
std::string configuration_lines(const tls::WrittenCertificate& written);
/// What is refused from now on, and the ways to make it known to the cluster.
std::string report_revoked(const std::vector<std::string>& entries, const std::filesystem::path& revoked_file);
std::string report_readmitted(const std::string& directory, const std::string& name,
                              const std::filesystem::path& revoked_file);

/// "valid", "renew", "replaced", "expired", "revoked"
std::string_view state_of(const tls::IssuedCertificate& certificate, const tls::CaIndex& index,
                          std::chrono::sys_seconds now);
std::string listing_table(const tls::ClusterCa::Listing& listing, std::chrono::sys_seconds now);
std::string listing_json(const tls::ClusterCa::Listing& listing, std::chrono::sys_seconds now);

}  // namespace oxbow::mirror
