#include "core/tls/ca.h"

#include <sys/stat.h>

#include "core/tls/ca_paths.h"

namespace oxbow::tls {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::seconds kLockPatience{10};
constexpr std::size_t kIndexLimit = 256 << 20;

}  // namespace

Result<Certificate> ClusterCa::read_ca() const {
  const auto path = file("ca.crt");
  auto text = read_file(path, kPemLimit);
  if (!text && text.error().code() == Errc::kNotFound) {
    return fail(Errc::kNotFound, fmt::format("there is no CA in {}: make one with \"oxbow ca create {}\"",
                                             directory_.string(), directory_.string()));
  }
  if (!text) return std::unexpected(std::move(text.error()));
  auto certificates = parse_certificates(*text);
  if (!certificates) return fail(Errc::kCorrupt, path.string() + ": " + certificates.error().what());
  return std::move(certificates->front());
}

Result<ExclusiveLock> ClusterCa::lock() const { return ExclusiveLock::take(file("lock"), kLockPatience); }

Result<ClusterCa::Signer> ClusterCa::open_signer(std::chrono::sys_seconds now) const {
  auto certificate = read_ca();
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  const auto path = file("ca.key");
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & 0077) != 0) {
    return fail(Errc::kDenied,
                fmt::format("{} can be read by others: chmod 600 it, and if somebody may have copied it, "
                            "make a new CA",
                            path.string()));
  }
  auto text = read_file(path, kPemLimit);
  if (!text) return std::unexpected(std::move(text.error()).in("the CA's key"));
  auto key = parse_key(*text);
  if (!key) return fail(Errc::kCorrupt, path.string() + ": " + key.error().what());
  if (!belongs_to(**key, **certificate)) {
    return fail(
        Errc::kCorrupt,
        fmt::format("ca.key and ca.crt in {} do not belong together: restore them from a backup", directory_.string()));
  }
  if (const auto end = validity_of(**certificate).not_after; end <= now) {
    return fail(Errc::kDenied, fmt::format("the CA expired at {}: make a new one in another directory and change over "
                                           "(docs/certificates.md)",
                                           format_time(end)));
  }
  return Signer{std::move(*certificate), std::move(*key)};
}

Result<CaIndex> ClusterCa::read_index() const {
  const auto path = file("index.json");
  auto text = read_file(path, kIndexLimit);
  if (!text && text.error().code() == Errc::kNotFound) {
    return fail(Errc::kCorrupt, fmt::format("{} is missing: restore it from a backup; without it this CA does not know "
                                            "what it has issued",
                                            path.string()));
  }
  if (!text) return std::unexpected(std::move(text.error()));
  auto index = parse_index(*text);
  if (!index) return std::unexpected(std::move(index.error()).in(path.string()));
  return index;
}

Result<> ClusterCa::store(CaIndex& index, std::chrono::sys_seconds now) const {
  index.forget_old(now);
  const auto revoked = revoked_list(index, now);
  if (!revoked) return std::unexpected(revoked.error());
  if (auto written = replace_file(file("index.json"), to_json(index), Secrecy::kPrivate); !written) return written;
  return replace_file(revoked_file(), *revoked, Secrecy::kPublic);
}

Result<CaFacts> ClusterCa::create(const std::string& name, int days, std::chrono::sys_seconds now) {
  if (auto good = check_days(days); !good) return std::unexpected(std::move(good.error()));
  if (name.empty() || name.size() > 64) return fail(Errc::kInvalid, "--name must have 1 to 64 characters");
  if (auto made = make_directory(directory_, fs::perms::owner_all); !made)
    return std::unexpected(std::move(made.error()));
  const auto held = lock();
  if (!held) return std::unexpected(held.error());
  for (const char* const present : {"ca.key", "ca.crt", "index.json"}) {
    if (!is_present(file(present))) continue;
    return fail(Errc::kDenied, fmt::format("{} exists: a CA is never overwritten. Choose another directory, or remove "
                                           "this one if no node uses it",
                                           file(present).string()));
  }
  auto key = generate_key();
  if (!key) return std::unexpected(std::move(key.error()));
  auto certificate = make_ca_certificate(**key, name, {now - kBackdate, now + std::chrono::days(days)});
  if (!certificate) return std::unexpected(std::move(certificate.error()));
  const auto key_pem = to_pem(**key);
  if (!key_pem) return std::unexpected(key_pem.error());
  const auto certificate_pem = to_pem(**certificate);
  if (!certificate_pem) return std::unexpected(certificate_pem.error());
  // The certificate last: where it is, the rest is too.
  CaIndex empty;
  if (auto put = replace_file(file("ca.key"), *key_pem, Secrecy::kPrivate); !put) return std::unexpected(put.error());
  if (auto put = store(empty, now); !put) return std::unexpected(put.error());
  if (auto put = replace_file(file("ca.crt"), *certificate_pem, Secrecy::kPublic); !put)
    return std::unexpected(put.error());
  return CaFacts{name, serial_of(**certificate), validity_of(**certificate)};
}

Result<ClusterCa::Listing> ClusterCa::list() const {
  const auto certificate = read_ca();
  if (!certificate) return std::unexpected(certificate.error());
  auto index = read_index();
  if (!index) return std::unexpected(std::move(index.error()));
  X509& ca = **certificate;
  return Listing{{common_name_of(ca), serial_of(ca), validity_of(ca)}, std::move(*index)};
}

}  // namespace oxbow::tls
