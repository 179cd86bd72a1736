// A cluster's certificate authority in a directory: `ca.crt`, `ca.key` (0600), `index.json` (what was issued),
// `revoked.json` (what the cluster must refuse) and `lock`. Every change takes the lock, so that two runs do not mix,
// and replaces whole files, so that a reader never sees half of one.
//
// The order of writes: the index first, so that no certificate is anywhere that the index does not know and a
// revocation would miss; then the key; then the certificate. A node's two files cannot change in one step. A reader
// that loads a pair only if key and certificate match, and else keeps the pair it has, is right at every moment; and
// one that wakes up when the certificate changes finds the key already there.
//
// Thread rule: one thread an object; blocks on the disk. Times are the caller's. Errors: kInvalid (an argument),
// kDenied (would overwrite, is revoked, is expired, is readable by others), kNotFound, kBusy (another run), kCorrupt,
// kNoSpace, kIo; each says what to do.
#pragma once

#include <filesystem>

#include "core/tls/ca_index.h"
#include "core/tls/safe_files.h"

namespace oxbow::tls {

/// A certificate is valid from a day before it is made. An hour of skew between two nodes is then harmless even when
/// the machine of the CA is itself ahead; and the commonest large error, a hardware clock in local time (up to 14 h)
/// before the first synchronisation, does not keep a node out. It costs nothing: the key did not exist in that day.
inline constexpr std::chrono::hours kBackdate{24};
inline constexpr int kDaysLimit = 36'500;

struct IssueOptions {
  NodeIdentity identity;
  int days = 365;
  std::filesystem::path directory;  ///< where the files go; empty: the CA's directory
  /// From `ca.key` and `ca.crt` alone, which may be in a directory that cannot be written, as a Secret in a pod is.
  /// Nothing is recorded: `list` does not show the certificate, and files in `directory` are replaced, because a
  /// container that makes its own certificate may run again. The node's ca.crt becomes the whole of the CA's, which
  /// may hold further CAs.
  bool unrecorded = false;
};

struct RenewOptions {
  std::string name;
  std::optional<int> days;          ///< nothing: as long as the one before
  std::filesystem::path directory;  ///< empty: where the last ones went
  /// Certifies the key in the current NAME.crt once more; the private key need not be here.
  bool keep_key = false;
};

struct WrittenCertificate {
  IssuedCertificate certificate;
  std::filesystem::path ca_file, certificate_file, key_file;  ///< absolute
  bool key_written = true;
  bool shortened = false;  ///< ends with the CA, before the days asked for
};

struct CaFacts {
  std::string name, serial;
  Validity validity;
};

class ClusterCa {
 public:
  explicit ClusterCa(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// Makes the directory (0700) if need be. Never overwrites.
  Result<CaFacts> create(const std::string& name, int days, std::chrono::sys_seconds now);
  Result<WrittenCertificate> issue(const IssueOptions& options, std::chrono::sys_seconds now);
  /// With the names and addresses that the certificate before has.
  Result<WrittenCertificate> renew(const RenewOptions& options, std::chrono::sys_seconds now);

  /// A name: the node and all its certificates. A serial (as `list` or openssl print it): that certificate alone.
  /// Returns what is refused from now on, as it stands in revoked.json.
  Result<std::vector<std::string>> revoke(const std::string& name_or_serial, std::chrono::sys_seconds now);
  /// Lets a revoked name be used again; the certificates it had stay revoked.
  Result<> readmit(const std::string& name, std::chrono::sys_seconds now);

  struct Listing {
    CaFacts ca;
    CaIndex index;
  };
  /// Needs neither the lock nor the CA's key.
  Result<Listing> list() const;

  std::filesystem::path revoked_file() const { return directory_ / "revoked.json"; }

 private:
  /// The CA's two files, seen to belong together and to be valid.
  struct Signer {
    Certificate certificate;
    Key key;
  };

  std::filesystem::path file(const char* name) const { return directory_ / name; }
  Result<ExclusiveLock> lock() const;
  Result<Signer> open_signer(std::chrono::sys_seconds now) const;
  Result<Certificate> read_ca() const;
  Result<CaIndex> read_index() const;
  Result<> store(CaIndex& index, std::chrono::sys_seconds now) const;
  Result<> check_identity(const NodeIdentity& identity, const CaIndex& index, std::chrono::sys_seconds now) const;
  Result<WrittenCertificate> issue_unrecorded(const IssueOptions& options, std::chrono::sys_seconds now) const;
  /// `index`: null when nothing is recorded.
  Result<WrittenCertificate> sign_and_write(const Signer& signer, CaIndex* index, const IssueOptions& options,
                                            Key node_key, bool write_key, std::chrono::sys_seconds now) const;

  const std::filesystem::path directory_;
};

}  // namespace oxbow::tls
