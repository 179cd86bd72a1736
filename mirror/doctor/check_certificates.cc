// Certificates and keys that this node shows: to peers, to clients, to registries and to etcd.
#include <fmt/format.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <algorithm>

#include "core/tls/certificate.h"
#include "mirror/doctor/checks.h"
#include "mirror/doctor/processes.h"
#include "mirror/ring_options.h"
#include "p2p/cluster_values.h"

namespace oxbow::mirror::doctor {
namespace {

using std::chrono::days;
constexpr days kWarnDays{30};
constexpr days kUrgentDays{7};

/// Who shows it, and how it is made anew.
struct Purpose {
  std::string key;      ///< "peer.tls"
  std::string meaning;  ///< when it does not work
  std::string renew;
};

std::optional<std::string> read(const Subject& subject, const Purpose& purpose, const std::string& file,
                                const char* what, Findings& out) {
  const auto facts = subject.system.look(file);
  auto text = subject.system.read(file);
  if (!text && text.error().code() == Errc::kDenied && subject.system.user() != 0) {
    out.skipped("certificates.hidden",
                fmt::format("{} {} may not be read by this user: sudo oxbow doctor", purpose.key, file));
    return std::nullopt;
  }
  if (!text) {
    out.fail("certificates.missing", fmt::format("{}: {}: {}", purpose.key, what, text.error().what()), purpose.meaning,
             fmt::format("put the file there, or correct {} in oxbow.toml", purpose.key));
    return std::nullopt;
  }
  const auto user = daemon_user(subject);
  if (facts && !may(user, *facts, 4)) {
    out.fail("certificates.unreadable",
             fmt::format("{}: {} {} may not be read by the daemon's user {}", purpose.key, what, file, user.name),
             purpose.meaning, fmt::format("chown root:{0} {1} && chmod 640 {1}", user.name, file));
    return std::nullopt;
  }
  return std::move(*text);
}

std::vector<tls::Certificate> read_certificates(const Subject& subject, const Purpose& purpose, const std::string& file,
                                                const char* what, Findings& out) {
  const auto text = read(subject, purpose, file, what, out);
  if (!text) return {};
  auto parsed = tls::parse_certificates(*text);
  if (parsed) return std::move(*parsed);
  out.fail("certificates.invalid", fmt::format("{}: {} {}: {}", purpose.key, what, file, parsed.error().what()),
           purpose.meaning, purpose.renew);
  return {};
}

void look_at_time(const Subject& subject, const Purpose& purpose, X509& certificate, const std::string& what,
                  Findings& out) {
  const auto [from, until] = tls::validity_of(certificate);
  const auto now = subject.system.now();
  if (now < from) {
    return out.fail("certificates.early",
                    fmt::format("{}: {} is not valid before {}", purpose.key, what, tls::format_time(from)),
                    purpose.meaning, "set this node's clock (timedatectl), or: " + purpose.renew);
  }
  if (now >= until) {
    return out.fail("certificates.expired",
                    fmt::format("{}: {} has expired {} ago, at {}", purpose.key, what, human_time(now - until),
                                tls::format_time(until)),
                    purpose.meaning, purpose.renew);
  }
  const auto left = human_time(until - now);
  if (until - now > kWarnDays)
    return out.ok("certificates.valid", fmt::format("{}: {} is valid for {}", purpose.key, what, left));
  out.warn(until - now > kUrgentDays ? "certificates.ending" : "certificates.urgent",
           fmt::format("{}: {} expires in {}{}", purpose.key, what, left,
                       until - now > kUrgentDays ? "" : ": now is the time"),
           "From then on: " + purpose.meaning, purpose.renew);
}

void look_at_key(const Subject& subject, const Purpose& purpose, const std::string& file, X509& certificate,
                 Findings& out) {
  const auto text = read(subject, purpose, file, "the key", out);
  if (!text) return;
  const auto key = tls::parse_key(*text);
  if (!key) {
    return out.fail("certificates.key", fmt::format("{}: the key {}: {}", purpose.key, file, key.error().what()),
                    purpose.meaning, purpose.renew);
  }
  if (!tls::belongs_to(**key, certificate)) {
    return out.fail("certificates.mismatch",
                    fmt::format("{}: the key {} is not that of the certificate", purpose.key, file), purpose.meaning,
                    "copy both files of one `oxbow ca issue` or `renew` again, key first");
  }
  const auto facts = subject.system.look(file);
  if (facts && (facts->mode & 0037U) != 0) {
    out.warn("certificates.open_key", fmt::format("{}: the key {} has mode {:04o}", purpose.key, file, facts->mode),
             "Whoever reads it can pass for this node.", "chmod 640 " + file);
  }
}

struct StoreDeleter {
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
};

/// Empty when the chain leads to one of the authorities, whatever the time.
std::string chain_trouble(const std::vector<tls::Certificate>& chain,
                          const std::vector<tls::Certificate>& authorities) {
  const std::unique_ptr<X509_STORE, StoreDeleter> store(X509_STORE_new());
  const std::unique_ptr<X509_STORE_CTX, StoreDeleter> context(X509_STORE_CTX_new());
  STACK_OF(X509)* further = sk_X509_new_null();
  for (const auto& one : authorities) X509_STORE_add_cert(store.get(), one.get());
  for (std::size_t i = 1; i < chain.size(); ++i) sk_X509_push(further, chain[i].get());
  X509_STORE_set_flags(store.get(), X509_V_FLAG_NO_CHECK_TIME);
  X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), further);
  const bool good = X509_verify_cert(context.get()) == 1;
  std::string out = good ? "" : X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
  sk_X509_free(further);
  return out;
}

void look_at_revoked(const Subject& subject, const std::string& name, X509& certificate, Findings& out) {
  const auto& file = subject.config.peer.revoked_file;
  if (file.empty()) return;
  const auto text = subject.system.read(file);
  const auto list = text ? p2p::parse_revoked(*text) : std::unexpected(text.error());
  if (!list) {
    return out.warn("certificates.revoked_file", fmt::format("peer.revoked_file: {}", list.error().what()),
                    "A daemon keeps the last list that it has read, and does not start without one.",
                    "copy revoked.json from the CA to " + file);
  }
  const auto serial = tls::serial_entry(tls::serial_of(certificate));
  if (std::ranges::find(*list, name) == list->end() && std::ranges::find(*list, serial) == list->end()) return;
  out.fail("certificates.revoked", fmt::format("this node's own certificate is revoked in {}", file),
           "No peer talks to it.", fmt::format("at the CA: oxbow ca readmit DIR {0}; oxbow ca renew DIR {0}", name));
}

void check_peer(const Subject& subject, Findings& out) {
  const auto& tls_files = subject.config.peer.tls;
  if (!config::has_peers(subject.config)) return;
  if (tls_files.insecure) {
    return out.warn("certificates.insecure", "peer.tls.insecure: peers are spoken to without TLS",
                    "Whoever reaches the port is taken for a peer, and gets what this node holds: private images, too.",
                    "oxbow ca create DIR; oxbow ca issue DIR NAME …; then [peer.tls] as it prints");
  }
  const auto name = self_member(subject.config).name;
  const Purpose purpose{
      "peer.tls", "Peers refuse this node, or it them: every byte comes from the registry.",
      fmt::format("at the CA: oxbow ca renew DIR {}; copy its files here (no restart is needed)", name)};
  if (tls_files.ca.empty()) {
    return out.fail("certificates.missing", "peer.tls is not set", purpose.meaning,
                    "oxbow ca create DIR; oxbow ca issue DIR " + name + "; then [peer.tls] as it prints");
  }
  const auto authorities = read_certificates(subject, purpose, tls_files.ca, "the CA", out);
  const auto chain = read_certificates(subject, purpose, tls_files.certificate, "the certificate", out);
  for (const auto& one : authorities)
    look_at_time(
        subject,
        {"peer.tls.ca", purpose.meaning, "make a new CA and give every node a certificate of it: oxbow ca create"},
        *one, fmt::format("the CA \"{}\"", tls::common_name_of(*one)), out);
  if (chain.empty()) return;
  auto& own = *chain.front();
  look_at_time(subject, purpose, own, "this node's certificate", out);
  look_at_key(subject, purpose, tls_files.key, own, out);
  const auto names = tls::dns_names_of(own);
  if (std::ranges::find(names, name) == names.end()) {
    out.fail(
        "certificates.name",
        fmt::format("peer.name is \"{}\", the certificate is for {}", name, names.empty() ? "nobody" : joined(names)),
        purpose.meaning,
        fmt::format("peer.name = \"{}\" in oxbow.toml, or at the CA: oxbow ca issue DIR {}",
                    names.empty() ? name : names.front(), name));
  }
  if (!authorities.empty()) {
    if (const auto trouble = chain_trouble(chain, authorities); !trouble.empty()) {
      out.fail("certificates.chain", fmt::format("the certificate was not signed by {}: {}", tls_files.ca, trouble),
               purpose.meaning, "copy the certificate, its key and ca.crt of one and the same `oxbow ca` here");
    }
  }
  look_at_revoked(subject, name, own, out);
}

void check_pair(const Subject& subject, const Purpose& purpose, const std::string& certificate, const std::string& key,
                Findings& out) {
  if (certificate.empty()) return;
  const auto chain = read_certificates(subject, purpose, certificate, "the certificate", out);
  if (chain.empty()) return;
  look_at_time(subject, purpose, *chain.front(), "the certificate", out);
  look_at_key(subject, purpose, key, *chain.front(), out);
}

void check_authority(const Subject& subject, const Purpose& purpose, const std::string& file, Findings& out) {
  if (file.empty()) return;
  for (const auto& one : read_certificates(subject, purpose, file, "the CA", out)) {
    const auto until = tls::validity_of(*one).not_after;
    if (subject.system.now() + kWarnDays >= until) look_at_time(subject, purpose, *one, "a CA in " + file, out);
  }
}

}  // namespace

void check_certificates(const Subject& subject, Findings& out) {
  const auto& config = subject.config;
  check_peer(subject, out);
  check_pair(subject,
             {"client.tls", "Clients refuse this mirror and go to the registries.",
              "get a new one from who issued it, and replace both files"},
             config.client.tls.certificate, config.client.tls.key, out);
  const Purpose membership{"membership.tls", "The list of peers cannot be had.", "get a new one from who issued it"};
  check_pair(subject, membership, config.membership.tls.certificate, config.membership.tls.key, out);
  check_authority(subject, membership, config.membership.tls.ca, out);
  for (const auto& registry : config.registries) {
    const Purpose purpose{"registry " + registry.name, "The registry cannot be reached.",
                          "get a new one from who issued it"};
    check_pair(subject, purpose, registry.client_certificate, registry.client_key, out);
    check_authority(subject, purpose, registry.ca, out);
  }
  if (out.empty()) out.ok("certificates.none", "none are configured, none are needed");
}

}  // namespace oxbow::mirror::doctor
