// Docker: dockerd asks "registry-mirrors" for images of Docker Hub, and Docker Hub itself when they cannot help. It
// trusts plaintext mirrors on loopback addresses only; other hosts need "insecure-registries".
#include <fmt/format.h>

#include <algorithm>

#include "mirror/install/daemon_json.h"
#include "mirror/install/runtimes.h"

namespace oxbow::mirror::install {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFile = "/etc/docker/daemon.json";
constexpr const char* kHub = "docker.io";

/// Files in which dockerd's flags stand. dockerd refuses to start when a flag and daemon.json say the same.
std::vector<fs::path> files_with_flags(const View& view) {
  std::vector<fs::path> out{"/etc/default/docker", "/etc/sysconfig/docker"};
  for (const auto* folder :
       {"/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}) {
    out.push_back(fs::path(folder) / "docker.service");
    const auto drop_ins = fs::path(folder) / "docker.service.d";
    for (const auto& name : view.list(drop_ins)) out.push_back(drop_ins / name);
  }
  return out;
}

bool is_said(std::string_view text, std::string_view flag) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    const auto word = line.find_first_not_of(" \t");
    if (word != std::string_view::npos && line[word] != '#' && line.contains(flag)) return true;
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return false;
}

void look_at_flags(const View& view, Plan& plan) {
  for (const auto& path : files_with_flags(view)) {
    const auto read = view.read(path);
    if (!read) continue;
    const auto& text = *read;
    if (!text) continue;
    if (is_said(*text, "--registry-mirror")) {
      plan.error(fmt::format(
          "{} starts dockerd with --registry-mirror, beside which dockerd refuses to start with {} saying the "
          "same: move that mirror into \"registry-mirrors\" there, and remove the flag",
          path.string(), kFile));
    }
    if (is_said(*text, "--config-file"))
      plan.warn(fmt::format("{} starts dockerd with --config-file: it may not read {}", path.string(), kFile));
  }
}

bool is_loopback(std::string_view address) {
  return address.starts_with("127.") || address.starts_with("[::1]") || address.starts_with("localhost:");
}

void change_file(const std::optional<std::string>& text, const std::string& mirror, Plan& plan) {
  const auto before = text.value_or("");
  if (before.find_first_not_of(" \t\r\n") == std::string::npos) {
    Edited edited{before, {}};
    edited.replace(0, 0, new_daemon_json(mirror));
    plan.changes.push_back({kFile, text, std::move(edited)});
    return;
  }
  const auto added = add_docker_mirror(before, mirror);
  if (!added) return plan.error(fmt::format("{}: {}", kFile, added.error().what()));
  const auto& edited = *added;
  if (edited)
    plan.changes.push_back({kFile, text, *edited});
  else
    plan.already.emplace_back(kFile);
}

}  // namespace

Plan plan_docker(const View& view, const Target& target) {
  Plan plan;
  const bool has_hub = std::ranges::find(target.registries, kHub, &Target::Registry::name) != target.registries.end();
  if (!has_hub || target.default_registry != kHub) {
    plan.error(
        "Docker asks a mirror for Docker Hub only, and does not say so in the request: set client.default_registry = "
        "\"docker.io\" in oxbow.toml, and have docker.io among its registries");
    return plan;
  }
  if (target.plaintext() && !is_loopback(target.address())) {
    plan.error(
        fmt::format("dockerd talks plaintext to mirrors on loopback addresses only, and {} is none: let the mirror "
                    "listen on 127.0.0.1",
                    target.address()));
    return plan;
  }
  look_at_flags(view, plan);
  const auto read = view.read(kFile);
  if (!read) {
    plan.error(read.error().what());
    return plan;
  }
  change_file(*read, target.mirror, plan);
  const std::string reload = "dockerd reads its mirrors again, without a restart, on: systemctl reload docker";
  plan.after = {reload};
  plan.after_undo = {reload};
  plan.note("Docker asks a mirror for images of Docker Hub only; others are named through it: docker pull " +
            target.address() + "/ghcr.io/…");
  return plan;
}

}  // namespace oxbow::mirror::install
