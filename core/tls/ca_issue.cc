// ClusterCa: certificates for nodes, new and once more.
#include <openssl/x509.h>

#include "core/tls/ca.h"
#include "core/tls/ca_paths.h"
#include "core/tls/node_name.h"

namespace oxbow::tls {

namespace fs = std::filesystem;

namespace {

constexpr fs::perms kNodeDirectoryMode = fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                                         fs::perms::others_read | fs::perms::others_exec;

/// The node's directory gets a copy of the CA's certificate, unless what is there already has it: during a change of CA
/// that file holds two, and neither may be lost.
Result<bool> needs_ca_file(const fs::path& target, X509& ca) {
  if (!is_present(target)) return true;
  auto text = read_file(target, kPemLimit);
  if (!text) return std::unexpected(std::move(text.error()));
  auto present = parse_certificates(*text);
  if (!present) return std::unexpected(std::move(present.error()).in(target.string()));
  for (const auto& one : *present)
    if (X509_cmp(one.get(), &ca) == 0) return false;
  return fail(Errc::kDenied, target.string() +
                                 " holds another CA: choose another --out, or append this CA's ca.crt to it if the "
                                 "cluster is changing its CA");
}

/// How long the certificate was asked for.
int days_of(const IssuedCertificate& certificate) {
  const auto length = certificate.validity.not_after - certificate.validity.not_before - kBackdate;
  return static_cast<int>(
      std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::days>(length).count(), 1, kDaysLimit));
}

/// The key that a node uses, from its certificate; its private half is looked at only if it is here.
Result<Key> key_in_use(const fs::path& directory, const std::string& name, CaIndex& index) {
  const auto certificate_file = directory / (name + ".crt");
  auto text = read_file(certificate_file, kPemLimit);
  if (!text) return std::unexpected(std::move(text.error()).in("--keep-key needs the current certificate"));
  auto chain = parse_certificates(*text);
  if (!chain) return std::unexpected(std::move(chain.error()).in(certificate_file.string()));
  X509& current = *chain->front();
  const auto* known = index.by_serial(serial_of(current));
  if (known == nullptr || known->identity.name != name) {
    return fail(Errc::kDenied,
                certificate_file.string() + " is none that this CA issued to " + name + ": renew without --keep-key");
  }
  if (known->revoked) {
    return fail(Errc::kDenied, "the key of " + name + " is revoked with its certificate: renew without --keep-key");
  }
  const auto key_file = directory / (name + ".key");
  if (is_present(key_file)) {
    auto key_text = read_file(key_file, kPemLimit);
    if (!key_text) return std::unexpected(std::move(key_text.error()));
    auto key = parse_key(*key_text);
    if (!key) return std::unexpected(std::move(key.error()).in(key_file.string()));
    if (!belongs_to(**key, current)) {
      return fail(Errc::kCorrupt, fmt::format("{} and {} do not belong together: renew without --keep-key",
                                              key_file.string(), certificate_file.string()));
    }
  }
  return public_key_of(current);
}

std::unexpected<Error> refuse_to_overwrite(const fs::path& present, const CaIndex& index, const std::string& name) {
  return fail(Errc::kDenied, fmt::format("{} exists and is not overwritten: {}", present.string(),
                                         index.latest(name) != nullptr
                                             ? "\"oxbow ca renew\" replaces it"
                                             : "this CA did not make it; move it away, or choose another --out"));
}

}  // namespace

Result<> ClusterCa::check_identity(const NodeIdentity& identity, const CaIndex& index,
                                   std::chrono::sys_seconds now) const {
  const auto check = [&](const std::string& name) -> Result<> {
    if (auto wrong = check_node_name(name); !wrong.empty())
      return fail(Errc::kInvalid, fmt::format("the name \"{}\" {}", name, wrong));
    if (index.revoked_names.contains(name)) {
      return fail(Errc::kDenied, fmt::format("the name {} is revoked, the cluster would refuse it: choose another, or "
                                             "\"oxbow ca readmit {} {}\"",
                                             name, directory_.string(), name));
    }
    if (const auto* other = index.claimed_by_another(identity.name, name, now); other != nullptr) {
      return fail(Errc::kDenied,
                  fmt::format("{} already stands in the certificate of {}: two nodes would be one to the "
                              "cluster",
                              name, other->identity.name));
    }
    return {};
  };
  if (auto good = check(identity.name); !good) return good;
  if (identity.name == "ca") return fail(Errc::kInvalid, "the name \"ca\" is taken by the CA's own files");
  for (const auto& name : identity.dns)
    if (auto good = check(name); !good) return good;
  for (const auto& address : identity.ips) {
    if (auto wrong = check_address(address); !wrong.empty())
      return fail(Errc::kInvalid, fmt::format("--ip \"{}\" {}", address, wrong));
  }
  return {};
}

Result<WrittenCertificate> ClusterCa::sign_and_write(const Signer& signer, CaIndex* index, const IssueOptions& options,
                                                     Key node_key, bool write_key, std::chrono::sys_seconds now) const {
  const auto own = absolute_path(directory_);
  if (!own) return std::unexpected(own.error());
  const auto target = options.directory.empty() ? own : absolute_path(options.directory);
  if (!target) return std::unexpected(target.error());
  const auto& name = options.identity.name;
  WrittenCertificate out;
  out.certificate.identity = options.identity;
  if (*target != *own) out.certificate.directory = target->string();
  out.ca_file = *target / "ca.crt";
  out.certificate_file = *target / (name + ".crt");
  out.key_file = *target / (name + ".key");
  out.key_written = write_key;
  const auto wanted_end = now + std::chrono::days(options.days);
  const auto ca_end = validity_of(*signer.certificate).not_after;
  out.shortened = ca_end < wanted_end;
  auto made = make_node_certificate(*node_key, options.identity, {now - kBackdate, std::min(wanted_end, ca_end)},
                                    *signer.certificate, *signer.key);
  if (!made) return std::unexpected(std::move(made.error()));
  out.certificate.serial = serial_of(**made);
  out.certificate.validity = validity_of(**made);

  const auto chain = to_pem(**made);
  const auto ca_pem = to_pem(*signer.certificate);
  if (!chain || !ca_pem) return fail(Errc::kIo, "cannot write a certificate");
  const auto believed = index != nullptr ? ca_pem : read_file(file("ca.crt"), kPemLimit);
  if (!believed) return std::unexpected(believed.error());
  if (auto ready = make_directory(*target, kNodeDirectoryMode); !ready)
    return std::unexpected(std::move(ready.error()));
  const auto ca_needed = index != nullptr ? needs_ca_file(out.ca_file, *signer.certificate) : true;
  if (!ca_needed) return std::unexpected(ca_needed.error());

  // All is staged before the index speaks of it: a directory that cannot be written leaves no trace.
  auto certificate_file = StagedFile::write(out.certificate_file, *chain + *ca_pem, Secrecy::kPublic);
  if (!certificate_file) return std::unexpected(std::move(certificate_file.error()));
  std::optional<StagedFile> key_file;
  if (write_key) {
    const auto key_pem = to_pem(*node_key);
    if (!key_pem) return std::unexpected(key_pem.error());
    auto staged = StagedFile::write(out.key_file, *key_pem, Secrecy::kPrivate);
    if (!staged) return std::unexpected(std::move(staged.error()));
    key_file.emplace(std::move(*staged));
  }
  if (index != nullptr) {
    index->certificates.push_back(out.certificate);
    if (auto stored = store(*index, now); !stored) return std::unexpected(std::move(stored.error()));
  }
  if (*ca_needed) {
    if (auto put = replace_file(out.ca_file, *believed, Secrecy::kPublic); !put) return std::unexpected(put.error());
  }
  if (key_file) {
    if (auto put = key_file->commit(); !put) return std::unexpected(std::move(put.error()));
  }
  if (auto put = certificate_file->commit(); !put) return std::unexpected(std::move(put.error()));
  // Only now: between the two files nothing waits for the disk.
  if (auto synced = sync_directory(*target); !synced) return std::unexpected(std::move(synced.error()));
  return out;
}

Result<WrittenCertificate> ClusterCa::issue(const IssueOptions& options, std::chrono::sys_seconds now) {
  if (auto good = check_days(options.days); !good) return std::unexpected(std::move(good.error()));
  if (!is_present(file("ca.crt"))) return std::unexpected(read_ca().error());
  if (options.unrecorded) return issue_unrecorded(options, now);
  const auto held = lock();
  if (!held) return std::unexpected(held.error());
  const auto signer = open_signer(now);
  if (!signer) return std::unexpected(signer.error());
  auto index = read_index();
  if (!index) return std::unexpected(std::move(index.error()));
  if (auto good = check_identity(options.identity, *index, now); !good) return std::unexpected(std::move(good.error()));
  const auto& name = options.identity.name;
  if (const auto* before = index->latest(name); before != nullptr && before->usable(now)) {
    return fail(Errc::kDenied, fmt::format("{} has a certificate until {}: \"oxbow ca renew {} {}\"", name,
                                           format_time(before->validity.not_after), directory_.string(), name));
  }
  const auto target = options.directory.empty() ? directory_ : options.directory;
  for (const char* const ending : {".crt", ".key"}) {
    if (const auto present = target / (name + ending); is_present(present))
      return refuse_to_overwrite(present, *index, name);
  }
  auto key = generate_key();
  if (!key) return std::unexpected(std::move(key.error()));
  return sign_and_write(*signer, &*index, options, std::move(*key), true, now);
}

Result<WrittenCertificate> ClusterCa::issue_unrecorded(const IssueOptions& options,
                                                       std::chrono::sys_seconds now) const {
  const auto from = absolute_path(directory_), to = absolute_path(options.directory);
  if (options.directory.empty() || !from || !to || *from == *to)
    return fail(Errc::kInvalid, "--unrecorded needs --out, another directory than the CA's");
  const auto signer = open_signer(now);
  if (!signer) return std::unexpected(signer.error());
  if (auto good = check_identity(options.identity, {}, now); !good) return std::unexpected(std::move(good.error()));
  auto key = generate_key();
  if (!key) return std::unexpected(std::move(key.error()));
  return sign_and_write(*signer, nullptr, options, std::move(*key), true, now);
}

Result<WrittenCertificate> ClusterCa::renew(const RenewOptions& options, std::chrono::sys_seconds now) {
  if (options.days) {
    if (auto good = check_days(*options.days); !good) return std::unexpected(std::move(good.error()));
  }
  if (!is_present(file("ca.crt"))) return std::unexpected(read_ca().error());
  const auto held = lock();
  if (!held) return std::unexpected(held.error());
  const auto signer = open_signer(now);
  if (!signer) return std::unexpected(signer.error());
  auto index = read_index();
  if (!index) return std::unexpected(std::move(index.error()));
  const auto* before = index->latest(options.name);
  if (before == nullptr) {
    return fail(Errc::kNotFound, fmt::format("{} has no certificate of this CA: \"oxbow ca issue {} {}\"", options.name,
                                             directory_.string(), options.name));
  }
  IssueOptions next{before->identity, options.days.value_or(days_of(*before)), options.directory};
  if (auto good = check_identity(next.identity, *index, now); !good) return std::unexpected(std::move(good.error()));
  if (next.directory.empty() && !before->directory.empty()) {
    next.directory = before->directory;
    if (!is_present(next.directory)) {
      return fail(Errc::kNotFound, fmt::format("{}, where the files of {} were written, is gone: say where by --out",
                                               before->directory, options.name));
    }
  }
  auto key = options.keep_key ? key_in_use(next.directory.empty() ? directory_ : next.directory, options.name, *index)
                              : generate_key();
  if (!key) return std::unexpected(std::move(key.error()));
  return sign_and_write(*signer, &*index, next, std::move(*key), !options.keep_key, now);
}

}  // namespace oxbow::tls
