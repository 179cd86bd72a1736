// An AdminService in front of a route table, asked without a connection; and one behind a real server on a Unix socket.
#pragma once

#include <nlohmann/json.hpp>

#include "../scratch.h"
#include "core/http/server.h"
#include "mirror/admin/admin_service.h"

namespace oxbow::mirror {

struct AdminAnswer {
  int status = 0;
  std::string type, allow, body;

  nlohmann::ordered_json json() const { return nlohmann::ordered_json::parse(body); }
  std::string error() const { return json().at("error").get<std::string>(); }
};

class AdminSite {
 public:
  AdminAnswer ask(const std::string& target, http::Method method = http::Method::kGet, const std::string& body = "",
                  AdminDoor door = AdminDoor::kSocket, const std::string& host = "localhost",
                  const std::vector<http::Headers::Field>& headers = {}) {
    http::Request request;
    request.method = method;
    request.target = target;
    const auto mark = target.find('?');
    request.path = target.substr(0, mark);
    if (mark != std::string::npos) request.query = target.substr(mark + 1);
    request.body = body;
    if (!host.empty()) request.headers.add("Host", host);
    for (const auto& [name, value] : headers) request.headers.add(name, value);
    AdminService service(door, routes, scratch.metrics(), scratch.pool(), ready);
    return scratch.run(answer(service, std::move(request)));
  }
  AdminAnswer post(const std::string& path, const std::string& body) { return ask(path, http::Method::kPost, body); }

  Scratch scratch;
  std::atomic<bool> ready = false;
  ApiRoutes routes{scratch.pool()};

 private:
  static Task<AdminAnswer> answer(AdminService& service, http::Request request) {
    auto response = co_await service.handle(std::move(request));
    AdminAnswer got{response.status,
                    std::string(response.headers.find("Content-Type").value_or("")),
                    std::string(response.headers.find("Allow").value_or("")),
                    {}};
    while (response.body) {
      auto piece = response.body->next(65'536);
      const auto* memory = std::get_if<http::MemoryPiece>(&piece);
      if (memory == nullptr) break;
      got.body += memory->bytes;
    }
    co_return got;
  }
};

/// Serves the routes of `site` on `address`, which may be "unix:/path", until it goes.
class AdminServer {
 public:
  AdminServer(AdminSite& site, const std::string& address)
      : service_(admin_door(address), site.routes, site.scratch.metrics(), site.scratch.pool(), site.ready) {
    http::ServerConfig config{"admin", {address}, std::nullopt, {}, true};
    auto made = http::Server::create(std::move(config), site.scratch.loops(), service_, site.scratch.metrics());
    EXPECT_TRUE(made) << made.error().what();
    server_ = std::move(*made);
    server_->start();
  }
  ~AdminServer() { server_->drain(std::chrono::milliseconds(100)); }
  std::string address() const { return server_->addresses().front(); }

 private:
  AdminService service_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace oxbow::mirror
