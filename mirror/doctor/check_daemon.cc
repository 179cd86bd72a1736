// The daemon: whether it answers its clients and its operator, is ready, and is this version.
#include <fmt/format.h>

#include "mirror/doctor/checks.h"
#include "mirror/doctor/json_reading.h"

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
  const auto running = text_at(status, {"version"});
  if (running.empty()) return;
  if (running == subject.options.version) return out.ok("daemon.version", "version " + running);
  out.warn("daemon.version",
           fmt::format("the daemon is version {}, this program is {}", running, subject.options.version),
           "It was not restarted after an upgrade, or there are two installations.",
           "systemctl restart oxbow   (with oxbow.socket no client is refused meanwhile)");
}

void look_at_admin(const Subject& subject, Findings& out) {
  const auto& daemon = subject.daemon;
  if (!daemon.ready)
    return out.skipped("daemon.admin",
                       "admin.listen and admin.socket are empty: what the daemon knows cannot be asked");
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

/// Through it alone something can be changed.
void look_at_socket(const Subject& subject, Findings& out) {
  const auto& reply = subject.daemon.socket;
  const auto& path = subject.config.admin.socket;
  if (!reply || !subject.daemon.answers()) return;
  if (reply->answered()) return out.ok("daemon.socket", "changes are taken at " + path);
  const auto there = subject.system.look(path);
  if (subject.system.user() != 0 && (there || there.error().code() == Errc::kDenied)) {
    return out.skipped("daemon.socket", path + " may not be opened by this user: sudo oxbow doctor");
  }
  const auto folder = std::filesystem::path(path).parent_path().string();
  out.warn("daemon.socket",
           fmt::format("the admin socket {} {}", path, there ? "does not answer: " + reply->error : "is not there"),
           "Nothing can be changed while the daemon runs: oxbow pull, oxbow cache pin and purge.",
           fmt::format("let the daemon's user write {} (RuntimeDirectory=oxbow in the unit); systemctl restart oxbow",
                       folder));
}

}  // namespace

void check_daemon(const Subject& subject, Findings& out) {
  look_at_client(subject, out);
  const auto& client = subject.daemon.client;
  const bool stopped = client && !client->answered() && subject.daemon.ready && !subject.daemon.ready->answered();
  if (!stopped) look_at_admin(subject, out);
  look_at_socket(subject, out);
  look_at_version(subject, out);
}

}  // namespace oxbow::mirror::doctor
