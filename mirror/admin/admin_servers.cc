#include "mirror/admin/admin_servers.h"

#include "core/log.h"

namespace oxbow::mirror {
namespace {

/// A change is a digest or the name of an image.
constexpr std::size_t kRequestBytes = 64UL * 1024;

}  // namespace

Result<AdminServers::Address> AdminServers::open(std::string name, const std::string& address,
                                                 const http::ServerLimits& limits, const Parts& parts) {
  const auto door = admin_door(address);
  http::ServerConfig server{std::move(name), {address}, std::nullopt, limits, door == AdminDoor::kSocket};
  server.limits.request_body_bytes = std::min(limits.request_body_bytes, kRequestBytes);
  Address opened;
  opened.service = std::make_unique<AdminService>(door, parts.routes, parts.metrics, parts.pool, parts.ready);
  auto made = http::Server::create(std::move(server), parts.loops, *opened.service, parts.metrics);
  if (!made) return std::unexpected(std::move(made.error()));
  opened.server = std::move(*made);
  return opened;
}

Result<AdminServers> AdminServers::create(const config::Admin& config, const http::ServerLimits& limits, Parts parts) {
  AdminServers servers;
  if (!config.listen.empty()) {
    auto opened = open("admin", config.listen, limits, parts);
    if (!opened) return std::unexpected(std::move(opened.error()).in("admin.listen"));
    servers.addresses_.push_back(std::move(*opened));
  }
  if (!config.socket.empty()) {
    auto opened = open("admin-socket", "unix:" + config.socket, limits, parts);
    if (opened) {
      servers.addresses_.push_back(std::move(*opened));
    } else if (opened.error().code() == Errc::kInvalid || opened.error().code() == Errc::kBusy) {
      return std::unexpected(std::move(opened.error()).in("admin.socket"));
    } else {
      log::warn(
          "no admin socket: nothing can be changed while this runs. Let this user write its directory, or set "
          "admin.socket to a path where it can; an empty one says that none is wanted",
          {{"socket", config.socket}, log::Field(opened.error())});
    }
  }
  return servers;
}

void AdminServers::start() {
  for (const auto& one : addresses_) {
    one.server->start();
    for (const auto& address : one.server->addresses())
      log::info("listening", {{"for", "admin"}, {"address", address}});
  }
}

void AdminServers::drain(std::chrono::milliseconds timeout) {
  for (const auto& one : addresses_) one.server->drain(timeout);
}

}  // namespace oxbow::mirror
