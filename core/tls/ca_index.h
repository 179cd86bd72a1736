// What a cluster's CA has issued and revoked: the content of `index.json`, and the list that is made from it for the
// cluster. Thread rule: plain values and pure functions.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/tls/certificate.h"

namespace oxbow::tls {

struct IssuedCertificate {
  NodeIdentity identity;
  std::string serial;
  Validity validity;
  std::string directory;  ///< where its files were written, absolute; empty: the CA's own directory
  std::optional<std::chrono::sys_seconds> revoked;

  bool expired(std::chrono::sys_seconds now) const { return validity.not_after <= now; }
  bool usable(std::chrono::sys_seconds now) const { return !revoked && !expired(now); }
  /// Whether its owner may call itself `name`.
  bool speaks_for(std::string_view name) const;
};

struct CaIndex {
  std::vector<IssuedCertificate> certificates;                    ///< in the order of their making
  std::map<std::string, std::chrono::sys_seconds> revoked_names;  ///< with the time of it

  /// The last one made for this name; null if there is none.
  const IssuedCertificate* latest(std::string_view name) const;
  IssuedCertificate* by_serial(std::string_view serial);
  /// A usable certificate of another node that `name` stands in; null if there is none.
  const IssuedCertificate* claimed_by_another(const std::string& owner, const std::string& name,
                                              std::chrono::sys_seconds now) const;
  /// Drops what expired 90 days ago, so that the file does not grow for ever. The last one of each name stays: it can
  /// be renewed after any time.
  void forget_old(std::chrono::sys_seconds now);
};

/// Errors: kCorrupt, with what is wrong.
Result<CaIndex> parse_index(std::string_view json);
std::string to_json(const CaIndex& index);

/// The longest list that nodes take (p2p/membership). A longer one would be refused whole, and the last one kept.
inline constexpr std::size_t kRevokedLimit = 65'536;

/// `["node-7", "serial:0A1B…"]`: revoked names, and the serials of revoked certificates. An expired one is left out
/// once no clock of the cluster can still take it for valid.
/// Errors: kLimit (more than kRevokedLimit).
Result<std::string> revoked_list(const CaIndex& index, std::chrono::sys_seconds now);

}  // namespace oxbow::tls
