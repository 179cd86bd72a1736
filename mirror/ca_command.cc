#include "mirror/ca_command.h"

#include <CLI/CLI.hpp>

#include "core/tls/ca.h"
#include "mirror/ca_report.h"

namespace oxbow::mirror {
namespace {

constexpr const char* kExample = R"(
A cluster of three nodes, from nothing:
  oxbow ca create /root/oxbow-ca
  oxbow ca issue /root/oxbow-ca node-1 --out /root/for-node-1 --ip 10.0.0.1
  oxbow ca issue /root/oxbow-ca node-2 --out /root/for-node-2 --ip 10.0.0.2
  oxbow ca issue /root/oxbow-ca node-3 --out /root/for-node-3 --ip 10.0.0.3
Copy each folder (node-1.crt, node-1.key, ca.crt) to its node, to /etc/oxbow/tls say, and write into its oxbow.toml:
  [peer]
  name = "node-1"
  [peer.tls]
  ca = "/etc/oxbow/tls/ca.crt"
  certificate = "/etc/oxbow/tls/node-1.crt"
  key = "/etc/oxbow/tls/node-1.key"
Later: see what ends soon, renew it, and shut out a node that was stolen:
  oxbow ca list /root/oxbow-ca
  oxbow ca renew /root/oxbow-ca node-1
  oxbow ca revoke /root/oxbow-ca node-3
ca.key never leaves its directory: who has it can be any node. Keep a backup of that directory.
More: docs/certificates.md
)";

}  // namespace

CaCommand::CaCommand(CLI::App& app) {
  command_ =
      app.add_subcommand("ca", "The cluster's own certificate authority: certificates by which peers know each other");
  command_->require_subcommand(1);
  command_->footer(kExample);
  add_create();
  add_issue();
  add_renew();
  add_revoke();
  add_readmit();
  add_list();
}

CLI::App* CaCommand::add(const char* name, const char* help) {
  auto* out = command_->add_subcommand(name, help);
  out->add_option("DIR", directory_, "The CA's directory")->required();
  return out;
}

void CaCommand::add_create() {
  create_ = add("create", "Make a CA: its key (mode 0600) and its certificate. Never overwrites one");
  create_->add_option("--name", ca_name_, "The CA's name, as it stands in its certificate")->capture_default_str();
  create_->add_option("--days", ca_days_, "How long it is valid; no node certificate outlives it")
      ->capture_default_str();
  create_->footer("\nExample: oxbow ca create /root/oxbow-ca\n");
}

void CaCommand::add_issue() {
  issue_ = add("issue", "Make the first certificate of a node");
  issue_->add_option("NAME", name_, "The node's peer.name: lower case letters, digits, hyphens, dots")->required();
  issue_->add_option("--days", days_, "How long it is valid")->capture_default_str();
  issue_->add_option("--out", out_, "Where NAME.crt, NAME.key and ca.crt are written. Default: DIR");
  // One value an option: else `--dns x NAME` would swallow the name.
  issue_
      ->add_option("--dns", dns_,
                   "A further DNS name of this node, after NAME, by which it calls itself; may be given many times")
      ->allow_extra_args(false);
  issue_->add_option("--ip", ips_, "An IP address of this node; may be given many times")->allow_extra_args(false);
  issue_->add_flag("--unrecorded", unrecorded_,
                   "Keep no record, and replace what --out holds: for an init container that has ca.key and ca.crt of "
                   "a Secret as DIR");
  issue_->footer("\nExample: oxbow ca issue /root/oxbow-ca node-1 --out /root/for-node-1 --ip 10.0.0.1\n");
}

void CaCommand::add_renew() {
  renew_ =
      add("renew", "Replace a node's certificate by one with the same names and addresses; the old one stays valid");
  renew_->add_option("NAME", name_, "The node")->required();
  renew_->add_option("--days", renew_days_, "How long it is valid. Default: as long as the one before");
  renew_->add_option("--out", out_, "Where the files are written. Default: where they were the last time");
  renew_->add_flag("--keep-key", keep_key_,
                   "Certify the key that the node has once more: only NAME.crt changes, and the key need not be here");
  renew_->footer(
      "\nA running daemon notices the new files by itself. The key is replaced first, then the certificate; a reader "
      "that "
      "loads the two only when they match is safe at every moment.\n");
}

void CaCommand::add_revoke() {
  revoke_ = add("revoke", "Shut a node out (by its name), or one certificate (by its serial), and write revoked.json");
  revoke_->add_option("NAME|SERIAL", name_, "The node, or the serial as \"oxbow ca list\" prints it")->required();
  revoke_->footer("\nA key was stolen and its node stays: renew the node first, then revoke the old serial.\n");
}

void CaCommand::add_readmit() {
  readmit_ = add("readmit", "Let a revoked name be used again, by a new certificate; the old ones stay revoked");
  readmit_->add_option("NAME", name_, "The node")->required();
}

void CaCommand::add_list() {
  list_ = add("list", "Show the CA and what it has issued");
  list_->add_flag("--json", json_, "For programs");
  list_->footer(
      "\nStates: valid; renew (less than a third of its time is left); replaced (valid, and there is a newer one); "
      "expired; revoked.\n");
}

bool CaCommand::parsed() const { return command_->parsed(); }

int CaCommand::run(std::chrono::sys_seconds now, std::FILE* out, std::FILE* errors) const {
  Result<std::string> done = create_->parsed()    ? create(now)
                             : issue_->parsed()   ? issue(now)
                             : renew_->parsed()   ? renew(now)
                             : revoke_->parsed()  ? revoke(now)
                             : readmit_->parsed() ? readmit(now)
                                                  : list(now);
  if (!done) {
    std::fprintf(errors, "oxbow ca: %s\n", done.error().what().c_str());
    return done.error().code() == Errc::kInvalid ? 2 : 1;
  }
  std::fputs(done->c_str(), out);
  return std::fflush(out) == 0 ? 0 : 1;
}

Result<std::string> CaCommand::create(std::chrono::sys_seconds now) const {
  const auto made = tls::ClusterCa(directory_).create(ca_name_, ca_days_, now);
  if (!made) return std::unexpected(made.error());
  return report_created(directory_, *made);
}

Result<std::string> CaCommand::issue(std::chrono::sys_seconds now) const {
  const auto made = tls::ClusterCa(directory_).issue({{name_, dns_, ips_}, days_, out_, unrecorded_}, now);
  if (!made) return std::unexpected(made.error());
  return report_written(*made) + configuration_lines(*made);
}

Result<std::string> CaCommand::renew(std::chrono::sys_seconds now) const {
  const auto made = tls::ClusterCa(directory_).renew({name_, renew_days_, out_, keep_key_}, now);
  if (!made) return std::unexpected(made.error());
  return report_written(*made);
}

Result<std::string> CaCommand::revoke(std::chrono::sys_seconds now) const {
  tls::ClusterCa ca(directory_);
  const auto revoked = ca.revoke(name_, now);
  if (!revoked) return std::unexpected(revoked.error());
  return report_revoked(*revoked, ca.revoked_file());
}

Result<std::string> CaCommand::readmit(std::chrono::sys_seconds now) const {
  tls::ClusterCa ca(directory_);
  if (const auto done = ca.readmit(name_, now); !done) return std::unexpected(done.error());
  return report_readmitted(directory_, name_, ca.revoked_file());
}

Result<std::string> CaCommand::list(std::chrono::sys_seconds now) const {
  const auto listing = tls::ClusterCa(directory_).list();
  if (!listing) return std::unexpected(listing.error());
  return json_ ? listing_json(*listing, now) : listing_table(*listing, now);
}

}  // namespace oxbow::mirror
