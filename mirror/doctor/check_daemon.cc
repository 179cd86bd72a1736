// The daemon: whether it answers its clients and its operator, is ready, and is this version.
#include <fmt/format.h>

#include "mirror/doctor/checks.h"

namespace oxbow::mirror::doctor {
namespace {

constexpr const char* kStart = "systemctl start oxbow; why it stopped: journalctl -u oxbow -n 50";

bool is_oxbow(const HttpReply& reply) { return reply.header("server") == "oxbow"; }

void look_at_client(const Subject& subject, Findings& out) {
  const auto& daemon = subject.daemon;
  const auto& reply = daemon.client;
  if (!reply) return out.skipped("daemon.client", "client.listen names no address that can be asked");
  if (!reply->answered()) {
    return out.fail(
        "daemon.stopped", fmt::format("no daemon answers clients at {}: {}", daemon.client_url, reply->error),
        "Images are pulled from the registries themselves; what only the mirror has cannot be pulled.", kStart);
  }
  if (!is_oxbow(*reply)) {
    return out.fail("daemon.stranger", fmt::format("{} is answered by something that is not Oxbow", daemon.client_url),
                    "Clients that are pointed there get wrong answers.",
                    "see the group ports: stop that program, or set client.listen to another address");
  }
  if (reply->status == 200 || reply->status == 401)
    out.ok("daemon.client", fmt::format("answers clients at {}", daemon.client_url));
  else
    out.fail("daemon.client", fmt::format("answers {} to clients at {}", reply->status, daemon.client_url),
             "Clients take this mirror for broken and go to the registries.", "journalctl -u oxbow -n 50");
}

void look_at_version(const Subject& subject, Findings& out) {
  const auto& status = subject.daemon.status_json;
  if (!status.is_object()) return;
  const auto running = status.value("version", "");
  if (running == subject.options.version) return out.ok("daemon.version", "version " + running);
  out.warn("daemon.version",
           fmt::format("the daemon is version {}, this program is {}", running, subject.options.version),
           "It was not restarted after an upgrade, or there are two installations.",
           "systemctl restart oxbow   (with oxbow.socket no client is refused meanwhile)");
}

void look_at_admin(const Subject& subject, Findings& out) {
  const auto& daemon = subject.daemon;
  if (!daemon.ready) return out.skipped("daemon.admin", "admin.listen is empty: what the daemon knows cannot be asked");
  if (!daemon.ready->answered() || !is_oxbow(*daemon.ready)) {
    return out.fail("daemon.admin",
                    fmt::format("nothing of ours answers at the admin address {}{}{}", daemon.admin_url,
                                daemon.ready->error.empty() ? "" : ": ", daemon.ready->error),
                    "No metrics, no health, no page; what the daemon knows of itself is not checked below.",
                    "check admin.listen against: ss -ltnp; then systemctl restart oxbow");
  }
  if (daemon.ready->status == 200)
    out.ok("daemon.ready", fmt::format("ready, admin address {}", daemon.admin_url));
  else
    out.fail("daemon.ready", "the daemon is not ready", "It starts up, or it is stopping and takes no clients.",
             "wait for its end, or see why: journalctl -u oxbow -n 50");
}

}  // namespace

void check_daemon(const Subject& subject, Findings& out) {
  look_at_client(subject, out);
  const auto& client = subject.daemon.client;
  const bool stopped = client && !client->answered() && subject.daemon.ready && !subject.daemon.ready->answered();
  if (!stopped) look_at_admin(subject, out);
  look_at_version(subject, out);
}

}  // namespace oxbow::mirror::doctor
