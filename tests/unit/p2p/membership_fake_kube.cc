#include "tests/unit/p2p/membership_fake_kube.h"

#include "core/encoding.h"

namespace oxbow::p2p::test {
namespace {

using Json = nlohmann::json;

std::string resource_of(const std::string& kind) {
  return kind == "EndpointSlice" ? "endpointslices" : kind == "ConfigMap" ? "configmaps" : "nodes";
}
std::string kind_of(const std::string& resource) {
  return resource == "endpointslices" ? "EndpointSlice" : resource == "configmaps" ? "ConfigMap" : "Node";
}

}  // namespace

std::string FakeKube::Asked::parameter(const std::string& key) const { return query_value(query, key).value_or(""); }

bool FakeKube::Asked::selects(const Json& object) const {
  const auto& metadata = object.at("metadata");
  const auto label = parameter("labelSelector");
  const auto field = parameter("fieldSelector");
  if (const auto equals = label.find('='); equals != std::string::npos) {
    const auto labels = metadata.value("labels", Json::object());
    if (labels.value(label.substr(0, equals), std::string()) != label.substr(equals + 1)) return false;
  }
  return field.empty() || field == "metadata.name=" + metadata.at("name").get<std::string>();
}

FakeKube::Asked::Asked(const Request& request) : Request(request) {
  for (const std::string prefix : {"/apis/discovery.k8s.io/v1/namespaces/infra/endpointslices",
                                   "/api/v1/namespaces/infra/configmaps", "/api/v1/nodes"}) {
    if (!path.starts_with(prefix)) continue;
    resource = prefix.substr(prefix.rfind('/') + 1);
    if (path.size() > prefix.size()) name = path.substr(prefix.size() + 1);
  }
  verb = parameter("watch") == "1" ? "watch"
         : method == "POST"        ? "create"
         : method == "PATCH"       ? "patch"
         : name.empty()            ? "list"
                                   : "get";
}

std::string FakeKube::call_of(const Request& request) const {
  const Asked asked(request);
  return asked.verb + " " + asked.resource;
}

bool FakeKube::answer(int socket, const Request& said) {
  const Asked request(said);
  const bool watching = request.verb == "watch";
  int status = 200;
  Json body;
  {
    const std::lock_guard lock(mutex_);
    if (request.authorization != "Bearer " + token_) {
      body = status_of(status = 401, "Unauthorized", "Unauthorized");
    } else if (forbidden_.contains(request.resource)) {
      body = status_of(status = 403, "Forbidden",
                       fmt::format("{} is forbidden: User \"system:serviceaccount:infra:oxbow\" cannot {} resource",
                                   request.resource, request.verb));
    } else if (!watching) {
      body = respond(request, status);
    }
  }
  if (!watching || status != 200) return send_all(socket, reply(status, body.dump()));
  watch(socket, request);
  return false;
}

FakeKube::Json FakeKube::status_of(int code, const std::string& reason, const std::string& message) {
  return {{"kind", "Status"},    {"apiVersion", "v1"}, {"metadata", Json::object()},
          {"status", "Failure"}, {"message", message}, {"reason", reason},
          {"code", code}};
}

FakeKube::Json FakeKube::respond(const Asked& request, int& status) {
  if (request.method == "GET" && request.name.empty()) return list(request, status);
  if (request.method == "PATCH") return patch(request, status);
  if (request.method == "POST") {
    auto object = Json::parse(request.body);
    const auto name = object.at("metadata").at("name").get<std::string>();
    if (objects_.contains({request.resource, name}))
      return status_of(status = 409, "AlreadyExists", fmt::format("{} \"{}\" already exists", request.resource, name));
    status = 201;
    store(std::move(object), kind_of(request.resource), name);
    return objects_.at({request.resource, name});
  }
  const auto found = objects_.find({request.resource, request.name});
  if (found == objects_.end())
    return status_of(status = 404, "NotFound", fmt::format("{} \"{}\" not found", request.resource, request.name));
  return found->second;
}

FakeKube::Json FakeKube::list(const Asked& request, int& status) {
  const auto version = request.parameter("resourceVersion");
  lists_.push_back(version);
  if (!version.empty()) {  // of the cache
    if (cache_lost_) return status_of(status = 410, "Expired", "too old resource version");
    if (std::stol(version) > version_)
      return status_of(status = 504, "Timeout",
                       fmt::format("Too large resource version: {}, current: {}", version, version_));
  }
  Json items = Json::array();
  for (const auto& [key, object] : objects_) {
    if (key.first != request.resource || !request.selects(object)) continue;
    auto item = object;
    item.erase("kind");  // as the items of a list come
    item.erase("apiVersion");
    items.push_back(std::move(item));
  }
  return {{"kind", kind_of(request.resource) + "List"},
          {"metadata", {{"resourceVersion", std::to_string(version_)}}},
          {"items", std::move(items)}};
}

FakeKube::Json FakeKube::patch(const Asked& request, int& status) {
  const auto found = objects_.find({request.resource, request.name});
  if (found == objects_.end())
    return status_of(status = 404, "NotFound", fmt::format("{} \"{}\" not found", request.resource, request.name));
  if (request.content_type != "application/merge-patch+json")
    return status_of(status = 415, "UnsupportedMediaType", "the body of the request was in an unknown format");
  const auto change = Json::parse(request.body);
  const auto& wanted = change.at("metadata").at("resourceVersion");
  if (wanted != found->second.at("metadata").at("resourceVersion"))
    return status_of(status = 409, "Conflict",
                     "the object has been modified; please apply your changes to the latest version and try again");
  auto object = found->second;
  object.merge_patch(change);
  store(std::move(object), kind_of(request.resource), request.name);
  return objects_.at({request.resource, request.name});
}

void FakeKube::watch(int socket, const Asked& request) {
  std::unique_lock lock(mutex_);
  const auto text = request.parameter("resourceVersion");
  long seen = std::stol(text);
  starts_.push_back(text);
  const int broken = broken_;
  const int ended = ended_;
  int bookmarks = bookmarks_;
  const auto gone = status_of(410, "Expired", fmt::format("too old resource version: {} ({})", seen, compacted_));
  if (seen > version_) {
    const auto words = fmt::format("Too large resource version: {}, current: {}", seen, version_);
    send_all(socket, reply(504, status_of(504, "Timeout", words).dump()));
    return;
  }
  if (seen < compacted_ && gone_by_status_) {
    send_all(socket, reply(410, gone.dump()));
    return;
  }
  if (!send_all(socket, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"))
    return;
  if (!next_line_.empty()) {
    send_line(socket, std::exchange(next_line_, ""));
    return;
  }
  if (seen < compacted_) {
    send_line(socket, Json{{"type", "ERROR"}, {"object", gone}}.dump());
    send_all(socket, "0\r\n\r\n");
    return;
  }
  ++standing_;
  changed_.notify_all();
  while (!stopping_ && !away_ && broken == broken_ && ended == ended_) {
    bool alive = true;
    for (const auto& change : history_) {
      if (change.version <= seen || resource_of(change.object.at("kind")) != request.resource) continue;
      if (request.selects(change.object))
        alive = alive && send_line(socket, Json{{"type", change.type}, {"object", change.object}}.dump());
    }
    seen = version_;
    if (bookmarks != bookmarks_ && request.parameter("allowWatchBookmarks") == "true") {
      const Json object{{"kind", kind_of(request.resource)},
                        {"metadata", {{"resourceVersion", std::to_string(version_)}, {"creationTimestamp", nullptr}}}};
      alive = alive && send_line(socket, Json{{"type", "BOOKMARK"}, {"object", object}}.dump());
    }
    if (std::exchange(bookmarks, bookmarks_) != bookmarks_ && --bookmarks_due_ == 0) changed_.notify_all();
    if (!alive) break;
    if (!wait_for_news(lock, socket)) break;
  }
  if (ended != ended_) send_all(socket, "0\r\n\r\n");
  --standing_;
}

void FakeKube::store(Json object, const std::string& kind, const std::string& name) {
  const std::pair key(resource_of(kind), name);
  const bool known = objects_.contains(key);
  object["kind"] = kind;
  object["metadata"]["name"] = name;
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  objects_[key] = object;
  history_.push_back({version_, known ? "MODIFIED" : "ADDED", std::move(object)});
  changed_.notify_all();
}

void FakeKube::put_slice(const std::string& name, const std::vector<FakeEndpoint>& endpoints,
                         const std::string& service, const std::string& type) {
  Json list = Json::array();
  for (const auto& one : endpoints) {
    Json endpoint{
        {"addresses", {one.address}},
        {"conditions",
         {{"ready", one.ready && !one.terminating}, {"serving", one.ready}, {"terminating", one.terminating}}}};
    if (!one.node.empty()) endpoint["nodeName"] = one.node;
    if (!one.zone.empty()) endpoint["zone"] = one.zone;
    list.push_back(std::move(endpoint));
  }
  const Json ports = {{{"name", "metrics"}, {"port", 5052}, {"protocol", "TCP"}},
                      {{"name", "peers"}, {"port", 5051}, {"protocol", "TCP"}}};
  const std::lock_guard lock(mutex_);
  store({{"apiVersion", "discovery.k8s.io/v1"},
         {"metadata", {{"labels", {{"kubernetes.io/service-name", service}}}}},
         {"addressType", type},
         {"endpoints", std::move(list)},
         {"ports", ports}},
        "EndpointSlice", name);
}
void FakeKube::put_node(const std::string& name, const Json& labels) {
  const std::lock_guard lock(mutex_);
  store({{"metadata", {{"labels", labels}}}}, "Node", name);
}
void FakeKube::put_config(const std::string& name, const Json& data) {
  const std::lock_guard lock(mutex_);
  store({{"data", data}}, "ConfigMap", name);
}
void FakeKube::remove(const std::string& kind, const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find({resource_of(kind), name});
  if (found == objects_.end()) return;
  auto object = found->second;
  objects_.erase(found);
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  history_.push_back({version_, "DELETED", std::move(object)});
  changed_.notify_all();
}
FakeKube::Json FakeKube::config(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find({"configmaps", name});
  return found == objects_.end() ? Json() : found->second.value("data", Json::object());
}
void FakeKube::end_watches() {
  const std::lock_guard lock(mutex_);
  ++ended_;
  changed_.notify_all();
}
void FakeKube::bookmark() {
  std::unique_lock lock(mutex_);
  ++bookmarks_;
  bookmarks_due_ = standing_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return bookmarks_due_ == 0 || stopping_; });
}
void FakeKube::compact(bool by_status) {
  const std::lock_guard lock(mutex_);
  compacted_ = version_;
  gone_by_status_ = by_status;
  history_.clear();
}
void FakeKube::restore() {
  const std::lock_guard lock(mutex_);
  history_.clear();
  compacted_ = 0;
  version_ = 1;
  for (auto& [key, object] : objects_) object["metadata"]["resourceVersion"] = std::to_string(++version_);
  ++broken_;
  changed_.notify_all();
}
void FakeKube::lose_cache(bool lost) {
  const std::lock_guard lock(mutex_);
  cache_lost_ = lost;
}
void FakeKube::set_token(const std::string& token) {
  const std::lock_guard lock(mutex_);
  token_ = token;
}
void FakeKube::forbid(const std::string& resource) {
  const std::lock_guard lock(mutex_);
  forbidden_.insert(resource);
}
long FakeKube::version() {
  const std::lock_guard lock(mutex_);
  return version_;
}
std::vector<std::string> FakeKube::watch_starts() {
  const std::lock_guard lock(mutex_);
  return starts_;
}
std::vector<std::string> FakeKube::list_versions() {
  const std::lock_guard lock(mutex_);
  return lists_;
}

}  // namespace oxbow::p2p::test
