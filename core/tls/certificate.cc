#include "core/tls/certificate.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "core/tls/openssl_error.h"

namespace oxbow::tls {
namespace {

constexpr int kSerialBits = 128;
constexpr std::size_t kCommonNameLimit = 64;  // ub-common-name, RFC 5280, appendix A.1

struct Extension {
  int id;
  std::string value;
};

Result<> set_serial(X509& certificate) {
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(BN_new(), BN_free);
  if (!number || BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(&certificate)) == nullptr) {
    return openssl_failure(Errc::kIo, "make a serial number");
  }
  return {};
}

Result<> set_validity(X509& certificate, Validity validity) {
  if (ASN1_TIME_set(X509_getm_notBefore(&certificate), validity.not_before.time_since_epoch().count()) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(&certificate), validity.not_after.time_since_epoch().count()) == nullptr) {
    return openssl_failure(Errc::kInvalid, "set the times of a certificate");
  }
  return {};
}

Result<> set_common_name(X509& certificate, const std::string& name) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(name.data());
  if (X509_NAME_add_entry_by_NID(X509_get_subject_name(&certificate), NID_commonName, MBSTRING_UTF8, bytes,
                                 static_cast<int>(name.size()), -1, 0) != 1) {
    return openssl_failure(Errc::kInvalid, "set a certificate's name to \"" + name + "\"");
  }
  return {};
}

Result<> add_extensions(X509& certificate, X509& issuer, const std::vector<Extension>& extensions) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  for (const auto& [id, value] : extensions) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
    const bool added = extension != nullptr && X509_add_ext(&certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    if (!added) return openssl_failure(Errc::kInvalid, fmt::format("add {} \"{}\"", OBJ_nid2sn(id), value));
  }
  return {};
}

/// All but what differs between a CA and a node: version, serial, times, key.
Result<Certificate> blank(EVP_PKEY& key, Validity validity) {
  ERR_clear_error();
  Certificate out(X509_new());
  if (!out || X509_set_version(out.get(), X509_VERSION_3) != 1 || X509_set_pubkey(out.get(), &key) != 1)
    return openssl_failure(Errc::kIo, "make a certificate");
  if (auto set = set_serial(*out); !set) return std::unexpected(std::move(set.error()));
  if (auto set = set_validity(*out, validity); !set) return std::unexpected(std::move(set.error()));
  return out;
}

Result<Certificate> finish(Certificate certificate, X509& issuer, EVP_PKEY& issuer_key,
                           const std::vector<Extension>& extensions) {
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(&issuer)) != 1)
    return openssl_failure(Errc::kIo, "set a certificate's issuer");
  if (auto added = add_extensions(*certificate, issuer, extensions); !added)
    return std::unexpected(std::move(added.error()));
  if (X509_sign(certificate.get(), &issuer_key, EVP_sha256()) == 0)
    return openssl_failure(Errc::kIo, "sign a certificate");
  return certificate;
}

std::string alternative_names(const NodeIdentity& identity) {
  std::string out = "DNS:" + identity.name;
  for (const auto& name : identity.dns) out += ",DNS:" + name;
  for (const auto& address : identity.ips) out += ",IP:" + address;
  return out;
}

std::chrono::sys_seconds time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace

void CertificateDeleter::operator()(X509* certificate) const noexcept { X509_free(certificate); }

Result<Certificate> make_ca_certificate(EVP_PKEY& key, const std::string& name, Validity validity) {
  auto out = blank(key, validity);
  if (!out) return out;
  if (auto set = set_common_name(**out, name); !set) return std::unexpected(std::move(set.error()));
  X509& issuer = **out;
  return finish(std::move(*out), issuer, key,
                {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                 {NID_key_usage, "critical,keyCertSign,cRLSign"},
                 {NID_subject_key_identifier, "hash"}});
}

Result<Certificate> make_node_certificate(EVP_PKEY& node_key, const NodeIdentity& identity, Validity validity, X509& ca,
                                          EVP_PKEY& ca_key) {
  auto out = blank(node_key, validity);
  if (!out) return out;
  // A name too long for the subject leaves it empty; then the alternative names must be critical (RFC 5280, 4.2.1.6).
  const bool in_subject = identity.name.size() <= kCommonNameLimit;
  if (in_subject) {
    if (auto set = set_common_name(**out, identity.name); !set) return std::unexpected(std::move(set.error()));
  }
  // The key identifiers tell two CAs of the same name apart while a cluster changes from one to the other.
  return finish(std::move(*out), ca, ca_key,
                {{NID_basic_constraints, "critical,CA:FALSE"},
                 {NID_key_usage, "critical,digitalSignature"},
                 {NID_ext_key_usage, "serverAuth,clientAuth"},
                 {NID_subject_key_identifier, "hash"},
                 {NID_authority_key_identifier, "keyid:always"},
                 {NID_subject_alt_name, (in_subject ? "" : "critical,") + alternative_names(identity)}});
}

std::string serial_of(X509& certificate) {
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(&certificate), nullptr), BN_free);
  char* digits = number ? BN_bn2hex(number.get()) : nullptr;
  std::string out = digits == nullptr ? "" : digits;
  OPENSSL_free(digits);
  return out;
}

bool is_serial_entry(std::string_view entry) noexcept {
  return entry.starts_with("serial:") || entry.starts_with("serial=");
}

std::string serial_entry(std::string_view serial) { return std::string("serial:").append(serial); }

std::string plain_serial(std::string_view text) {
  if (is_serial_entry(text)) text.remove_prefix(std::string_view("serial:").size());
  std::string out;
  for (const char c : text) {
    if (c == ':') continue;
    out += c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return out;
}

Validity validity_of(X509& certificate) {
  return {time_of(X509_get0_notBefore(&certificate)), time_of(X509_get0_notAfter(&certificate))};
}

std::vector<std::string> dns_names_of(const X509& certificate) {
  std::vector<std::string> out;
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  if (names == nullptr) return out;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const auto* entry = sk_GENERAL_NAME_value(names, i);
    if (entry->type != GEN_DNS) continue;
    out.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(entry->d.dNSName)),
                     static_cast<std::size_t>(ASN1_STRING_length(entry->d.dNSName)));
  }
  GENERAL_NAMES_free(names);
  return out;
}

std::string common_name_of(X509& certificate) {
  X509_NAME* subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  std::string out =
      size < 0 ? std::string() : std::string(reinterpret_cast<char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return out;
}

std::string format_time(std::chrono::sys_seconds time) {
  const std::time_t seconds = time.time_since_epoch().count();
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

Result<std::chrono::sys_seconds> parse_time(const std::string& text) {
  std::tm parts{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  if (end == nullptr || *end != '\0') return fail(Errc::kInvalid, "\"" + text + "\" is no time");
  return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace oxbow::tls
