#include "mirror/admin/admin_service.h"

#include "core/bounded_json.h"
#include "core/encoding.h"
#include "mirror/admin/api_answer.h"

namespace oxbow::mirror {
namespace {

constexpr JsonLimits kBodyLimits{.bytes = 64UL * 1024, .depth = 8, .values = 4096};

/// "127.0.0.1:5052" → "127.0.0.1"; "[::1]:5052" → "[::1]".
std::string_view without_port(std::string_view address) {
  const auto colon = address.rfind(':');
  if (colon == std::string_view::npos || address.ends_with(']')) return address;
  return address.substr(0, colon);
}

bool is_this_machine(std::string_view host) {
  if (iequals(host, "localhost") || host == "[::1]") return true;
  // 127.0.0.0/8; a name that begins so ("127.0.0.1.example.com") has letters.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

/// The body as an object. Errors: kInvalid, kLimit.
Result<std::shared_ptr<const nlohmann::ordered_json>> parse_body(const std::string& body) {
  if (trim(body).empty()) return std::make_shared<const nlohmann::ordered_json>(nlohmann::ordered_json::object());
  auto json = parse_json_object(body, kBodyLimits);
  if (!json) return std::unexpected(std::move(json.error()).in("the body"));
  return std::make_shared<const nlohmann::ordered_json>(std::move(*json));
}

}  // namespace

AdminDoor admin_door(std::string_view address) {
  if (address.starts_with("unix:")) return AdminDoor::kSocket;
  return is_this_machine(without_port(address)) ? AdminDoor::kLoopback : AdminDoor::kNetwork;
}

Task<http::Response> AdminService::handle(http::Request request) {
  const bool reads = request.method == http::Method::kGet || request.method == http::Method::kHead;
  if (reads && request.path == "/healthz") co_return http::Response::text(200, "text/plain", "ok\n");
  if (reads && request.path == "/readyz") {
    co_return ready_ ? http::Response::text(200, "text/plain", "ready\n")
                     : http::Response::text(503, "text/plain", "not ready\n");
  }
  if (reads && request.path == "/metrics") {
    auto text = co_await pool_.run([this] { return render_metrics(metrics_); });
    co_return http::Response::text(200, "text/plain; version=0.0.4", std::move(text));
  }
  // A web page elsewhere may have its name resolve to 127.0.0.1 and read what stands here with the user's browser.
  if (door_ == AdminDoor::kLoopback) {
    const auto host = request.headers.find("Host");
    if (host && !is_this_machine(without_port(*host))) {
      co_return api_error(403, fmt::format("this address answers to localhost, 127.0.0.1 and [::1], not to \"{}\"; "
                                           "only /metrics, /healthz and /readyz are for other names. To serve the rest "
                                           "to other machines, set admin.listen to an address of the network",
                                           *host));
    }
  }
  co_return co_await route(std::move(request));
}

Task<http::Response> AdminService::route(http::Request request) {
  const auto match = routes_.find(request.method, request.path);
  if (match.route == nullptr && match.allowed.empty())
    co_return api_error(404, "there is nothing here; try /metrics, /healthz, /readyz or /api/v1/status");
  if (match.route == nullptr) {
    auto refused = api_error(405, "this path takes " + match.allowed);
    refused.headers.add("Allow", match.allowed);
    co_return refused;
  }
  ApiCall call;
  call.may_change = door_ == AdminDoor::kSocket;
  if (match.route->access == ApiAccess::kChange && !call.may_change) {
    co_return api_error(403,
                        "this address is for reading; changes go through the Unix socket that admin.socket names "
                        "(curl --unix-socket /run/oxbow/admin.sock http://localhost" +
                            request.path + ", or the oxbow command)");
  }
  auto parameter = percent_decode(match.parameter);
  if (!parameter) co_return api_error(400, "the path has a broken escape");
  call.parameter = std::move(*parameter);
  call.query = std::move(request.query);
  call.if_none_match = request.headers.find("If-None-Match").value_or("");
  auto body = parse_body(request.body);
  if (!body) co_return api_error(body.error());
  call.json = std::move(*body);
  co_return co_await match.route->function(call);
}

}  // namespace oxbow::mirror
