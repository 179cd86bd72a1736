#include "tests/unit/p2p/membership_fake_kube.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/encoding.h"

namespace oxbow::p2p::test {
namespace {

using Json = nlohmann::json;

bool send_all(int socket, const std::string& text) {
  return ::send(socket, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}
std::string reply(int status, const std::string& body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", status,
                     body.size(), body);
}
bool send_line(int socket, const std::string& line) {
  // In two chunks, as a stream may be cut anywhere.
  const auto text = line + "\n";
  const auto half = text.size() / 2;
  return send_all(socket, fmt::format("{:x}\r\n{}\r\n", half, text.substr(0, half))) &&
         send_all(socket, fmt::format("{:x}\r\n{}\r\n", text.size() - half, text.substr(half)));
}
std::string resource_of(const std::string& kind) {
  return kind == "EndpointSlice" ? "endpointslices" : kind == "ConfigMap" ? "configmaps" : "nodes";
}
std::string kind_of(const std::string& resource) {
  return resource == "endpointslices" ? "EndpointSlice" : resource == "configmaps" ? "ConfigMap" : "Node";
}

}  // namespace

std::string FakeKube::Request::parameter(const std::string& key) const { return query_value(query, key).value_or(""); }

bool FakeKube::Request::selects(const Json& object) const {
  const auto& metadata = object.at("metadata");
  const auto label = parameter("labelSelector");
  const auto field = parameter("fieldSelector");
  if (const auto equals = label.find('='); equals != std::string::npos) {
    const auto labels = metadata.value("labels", Json::object());
    if (labels.value(label.substr(0, equals), std::string()) != label.substr(equals + 1)) return false;
  }
  return field.empty() || field == "metadata.name=" + metadata.at("name").get<std::string>();
}

FakeKube::FakeKube(std::string token)
    : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), token_(std::move(token)) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(listener_, 64) != 0) std::abort();
  getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size);
  port_ = ntohs(at.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

FakeKube::~FakeKube() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& one : connections_) ::shutdown(one.socket, SHUT_RDWR);
    changed_.notify_all();
  }
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (auto& one : connections_) {
    one.thread.join();
    ::close(one.socket);
  }
  ::close(listener_);
}

void FakeKube::accept_loop() {
  for (;;) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const std::lock_guard lock(mutex_);
    if (socket < 0 || stopping_) {
      if (socket >= 0) ::close(socket);
      return;
    }
    connections_.push_back({socket, std::thread([this, socket] {
                              serve(socket);
                              ::shutdown(socket, SHUT_RDWR);
                            })});
  }
}

void FakeKube::serve(int socket) {
  std::string input;
  char buffer[65536];
  for (;;) {
    if (const auto head = input.find("\r\n\r\n"); head != std::string::npos) {
      Request request;
      std::size_t length = 0;
      for (std::size_t at = 0; at < head;) {
        const auto end = input.find("\r\n", at);
        const auto line = input.substr(at, end - at);
        const auto colon = line.find(": ");
        const auto name = line.substr(0, colon);
        if (iequals(name, "content-length")) length = std::stoul(line.substr(colon + 2));
        if (iequals(name, "authorization")) request.authorization = line.substr(colon + 2);
        if (iequals(name, "content-type")) request.content_type = line.substr(colon + 2);
        at = end + 2;
      }
      if (input.size() >= head + 4 + length) {
        const auto space = input.find(' ');
        const auto target = input.substr(space + 1, input.find(' ', space + 1) - space - 1);
        request.method = input.substr(0, space);
        request.path = target.substr(0, target.find('?'));
        if (target.contains('?')) request.query = target.substr(target.find('?') + 1);
        request.body = input.substr(head + 4, length);
        input.erase(0, head + 4 + length);
        if (!answer(socket, request)) return;
        continue;
      }
    }
    const auto got = ::recv(socket, buffer, sizeof buffer, 0);
    if (got <= 0) return;
    input.append(buffer, static_cast<std::size_t>(got));
  }
}

bool FakeKube::answer(int socket, const Request& asked) {
  Request request = asked;
  for (const std::string prefix : {"/apis/discovery.k8s.io/v1/namespaces/infra/endpointslices",
                                   "/api/v1/namespaces/infra/configmaps", "/api/v1/nodes"}) {
    if (!request.path.starts_with(prefix)) continue;
    request.resource = prefix.substr(prefix.rfind('/') + 1);
    if (request.path.size() > prefix.size()) request.name = request.path.substr(prefix.size() + 1);
  }
  const bool watching = request.parameter("watch") == "1";
  const auto verb = watching                    ? "watch"
                    : request.method == "POST"  ? "create"
                    : request.method == "PATCH" ? "patch"
                    : request.name.empty()      ? "list"
                                                : "get";
  int status = 200;
  Json body;
  {
    std::unique_lock lock(mutex_);
    ++calls_[fmt::format("{} {}", verb, request.resource)];
    changed_.wait(lock, [&] { return !silent_ || stopping_; });
    if (stopping_) return false;
    if (away_) return send_all(socket, reply(503, "busy elsewhere"));
    if (request.authorization != "Bearer " + token_) {
      body = status_of(status = 401, "Unauthorized", "Unauthorized");
    } else if (forbidden_.contains(request.resource)) {
      body = status_of(status = 403, "Forbidden",
                       fmt::format("{} is forbidden: User \"system:serviceaccount:infra:oxbow\" cannot {} resource",
                                   request.resource, verb));
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

FakeKube::Json FakeKube::respond(const Request& request, int& status) {
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

FakeKube::Json FakeKube::list(const Request& request, int& status) {
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

FakeKube::Json FakeKube::patch(const Request& request, int& status) {
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

void FakeKube::watch(int socket, const Request& request) {
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
    changed_.wait_for(lock, std::chrono::milliseconds(20));
    char byte;
    if (::recv(socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0) break;  // the client has left
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
void FakeKube::break_watches() {
  const std::lock_guard lock(mutex_);
  ++broken_;
  changed_.notify_all();
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
void FakeKube::go_away(bool away) {
  const std::lock_guard lock(mutex_);
  away_ = away;
  ++broken_;
  changed_.notify_all();
}
void FakeKube::fall_silent(bool silent) {
  const std::lock_guard lock(mutex_);
  silent_ = silent;
  ++broken_;
  changed_.notify_all();
}
void FakeKube::set_token(const std::string& token) {
  const std::lock_guard lock(mutex_);
  token_ = token;
}
void FakeKube::forbid(const std::string& resource) {
  const std::lock_guard lock(mutex_);
  forbidden_.insert(resource);
}
void FakeKube::say_next_watch(const std::string& line) {
  const std::lock_guard lock(mutex_);
  next_line_ = line;
}
long FakeKube::version() {
  const std::lock_guard lock(mutex_);
  return version_;
}
int FakeKube::calls(const std::string& what) {
  const std::lock_guard lock(mutex_);
  return calls_[what];
}
int FakeKube::watches() {
  const std::lock_guard lock(mutex_);
  return standing_;
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
