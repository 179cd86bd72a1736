#include "mirror/admin/preheat_routes.h"

#include <map>
#include <nlohmann/json.hpp>

#include "mirror/admin/api_answer.h"
#include "mirror/own_asker.h"
#include "registry-api/image_name.h"
#include "registry-api/image_walk.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;
using NodeState = Preheats::NodeState;

constexpr std::size_t kMaxNames = 20'000;

/// Bounds of what one caller may name; the API's body is bounded too.
Result<NodeChoice> nodes_of(const Json& body) {
  const auto found = body.find("nodes");
  if (found != body.end() && found->is_string()) return parse_node_share(found->get_ref<const std::string&>());
  if (found == body.end() || !found->is_array() || found->empty() || found->size() > kMaxNames)
    return parse_node_share({});
  NodeChoice choice;
  for (const auto& name : *found) {
    if (!name.is_string()) return parse_node_share({});
    choice.names.push_back(name.get<std::string>());
  }
  return choice;
}

Result<std::string> platform_of(const Json& body) {
  const auto found = body.find("platform");
  if (found == body.end() || found->is_null()) return std::string();
  if (!found->is_string()) return fail(Errc::kInvalid, "platform: a string like \"linux/arm64\", or \"all\"");
  auto text = found->get<std::string>();
  if (auto good = registry_api::parse_platform_choice(text); !good)
    return std::unexpected(std::move(good.error()).in("platform"));
  return text;
}

Json summary_json(const std::vector<Preheats::Node>& nodes) {
  std::map<std::string_view, std::size_t> counts;
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  for (const auto& node : nodes) {
    ++counts[to_string(node.state)];
    done += node.bytes_done;
    total += node.bytes_total;
  }
  Json json{{"total", nodes.size()}};
  for (const auto state : {NodeState::kWaiting, NodeState::kRunning, NodeState::kUnreachable, NodeState::kDone,
                           NodeState::kFailed, NodeState::kCancelled})
    json[std::string(to_string(state))] = counts[to_string(state)];
  json["bytes_done"] = done;
  json["bytes_total"] = total;
  return json;
}

Json view_json(const Preheats::View& view, bool with_nodes) {
  Json json{{"id", view.id},
            {"image", view.image},
            {"digest", view.digest},
            {"platform", view.platform.empty() ? Json(nullptr) : Json(view.platform)},
            {"started", api_time(view.started)},
            {"ended", view.ended ? Json(api_time(*view.ended)) : Json(nullptr)},
            {"state", view.state},
            {"summary", summary_json(view.nodes)}};
  if (!with_nodes) return json;
  Json nodes = Json::array();
  for (const auto& node : view.nodes) {
    nodes.push_back({{"name", node.name},
                     {"state", to_string(node.state)},
                     {"bytes_done", node.bytes_done},
                     {"bytes_total", node.bytes_total},
                     {"error", node.error.empty() ? Json(nullptr) : Json(node.error)}});
  }
  json["nodes"] = std::move(nodes);
  return json;
}

/// What an image means now: the same digest for all nodes.
Task<Result<Preheats::Request>> resolve(PreheatRouteParts parts, std::string image) {
  const auto name = registry_api::parse_image_name(image);
  if (!name) co_return std::unexpected(name.error().in("image"));
  const auto registries = parts.registries();
  const auto found = registries->find(name->registry, {}, name->repository);
  if (!found.registry)
    co_return fail(Errc::kInvalid, "image: " + name->registry + " is no configured registry of this mirror");
  auto asker = own_asker(*registries, found.registry->config.name, found.repository);
  if (!asker) co_return std::unexpected(std::move(asker.error()).in("image"));
  Preheats::Request request{.image = name->text(),
                            .registry = asker->repository.registry,
                            .repository = asker->repository.repository,
                            .digest = name->digest.value_or(Digest::sha256(std::string_view())),
                            .platform = {},
                            .nodes = {}};
  if (!name->digest) {
    auto resolved = co_await parts.tags.resolve(std::move(*asker), name->tag);
    if (!resolved) {
      co_return std::unexpected(
          std::move(resolved.error().error)
              .in("the tag cannot be resolved with this node's own right (a digest, image@sha256:…, needs none)"));
    }
    request.digest = resolved->digest;
  }
  co_return request;
}

Task<http::Response> start(PreheatRouteParts parts, const ApiCall& call) {
  const auto image = call.field("image");
  if (!image) co_return api_error(image.error());
  auto nodes = nodes_of(*call.json);
  if (!nodes) co_return api_error(nodes.error());
  auto platform = platform_of(*call.json);
  if (!platform) co_return api_error(platform.error());
  auto request = co_await resolve(parts, *image);
  if (!request) co_return api_error(request.error());
  request->platform = std::move(*platform);
  request->nodes = std::move(*nodes);
  const auto id = parts.preheats.start(std::move(*request));
  if (!id) co_return api_error(id.error());
  co_return api_json(200, Json{{"id", *id}});
}

}  // namespace

void add_preheat_routes(ApiRoutes& routes, PreheatRouteParts parts) {
  routes.add(http::Method::kPost, "/api/v1/preheats", ApiAccess::kChange,
             [parts](const ApiCall& call) { return start(parts, call); });
  routes.get("/api/v1/preheats", [&preheats = parts.preheats](const ApiCall&) -> Result<Json> {
    Json list = Json::array();
    for (const auto& view : preheats.all()) list.push_back(view_json(view, false));
    return Json{{"preheats", std::move(list)}};
  });
  // `?nodes=0` leaves the nodes out: of 10,000 they are a megabyte, and who follows it wants the summary.
  routes.get("/api/v1/preheats/{id}", [&preheats = parts.preheats](const ApiCall& call) -> Result<Json> {
    const auto view = preheats.one(call.parameter);
    if (!view) return std::unexpected(view.error());
    return view_json(*view, call.option("nodes") != "0");
  });
  routes.add(http::Method::kDelete, "/api/v1/preheats/{id}", ApiAccess::kChange,
             [&preheats = parts.preheats](const ApiCall& call) -> Task<http::Response> {
               const auto view = preheats.cancel(call.parameter);
               co_return view ? api_json(200, view_json(*view, false)) : api_error(view.error());
             });
}

}  // namespace oxbow::mirror
