#include "tests/unit/p2p/membership_fake_etcd.h"

#include <nlohmann/json.hpp>

#include "core/encoding.h"

namespace oxbow::p2p::test {
namespace {

using Json = nlohmann::json;

std::int64_t number(const Json& json, const char* key) {
  return json.contains(key) ? std::stoll(json.at(key).get<std::string>()) : 0;
}
std::string bytes(const Json& json, const char* key) {
  return json.contains(key) ? base64_decode(json.at(key).get<std::string>()).value_or("") : "";
}
bool within(const std::string& key, const std::string& begin, const std::string& end) {
  return end.empty() ? key == begin : key >= begin && key < end;
}

constexpr const char* kTooOld = "etcdserver: revision of auth store is old";

}  // namespace

bool FakeEtcd::answer(int socket, const Request& request) {
  const auto& [path, body, authorization] = std::tie(request.path, request.body, request.authorization);
  bool too_old = false;
  {
    const std::lock_guard lock(mutex_);
    const bool refused = !name_.empty() && path != "/v3/auth/authenticate" && !tokens_.contains(authorization);
    too_old = refused && old_tokens_.contains(authorization);
    if (refused && !too_old) return send_all(socket, reply(401, error_text(16, "etcdserver: invalid auth token")));
    if (too_old && path != "/v3/watch") return send_all(socket, reply(400, error_text(3, kTooOld)));
  }
  if (path == "/v3/watch") {
    watch(socket, body, too_old);
    return false;
  }
  int status = 200;
  std::string text;
  {
    const std::lock_guard lock(mutex_);
    text = respond(path, body, status);
  }
  return send_all(socket, reply(status, text));
}

std::string FakeEtcd::respond(const std::string& path, const std::string& body, int& status) {
  const auto json = Json::parse(body);
  if (path == "/v3/auth/authenticate") {
    if (json.at("name") == name_ && json.at("password") == password_) {
      const auto token = "token." + std::to_string(++tokens_given_);
      tokens_.insert(token);
      return Json{{"token", token}}.dump();
    }
    status = 400;
    return error_text(3, "etcdserver: authentication failed, invalid user ID or password");
  }
  if (path == "/v3/lease/grant") {
    leases_.insert(++next_lease_);
    return Json{{"ID", std::to_string(next_lease_)}, {"TTL", json.at("TTL")}}.dump();
  }
  if (path == "/v3/lease/keepalive") {
    const auto id = number(json, "ID");
    if (!leases_.contains(id)) return Json{{"result", {{"ID", std::to_string(id)}}}}.dump();
    return Json{{"result", {{"ID", std::to_string(id)}, {"TTL", "3"}}}}.dump();
  }
  if (path == "/v3/lease/revoke") {
    const auto id = number(json, "ID");
    leases_.erase(id);
    std::vector<std::string> gone;
    for (const auto& [key, entry] : store_) {
      if (entry.lease == id) gone.push_back(key);
    }
    for (const auto& key : gone) erase(key);
    return "{}";
  }
  if (path == "/v3/kv/put") {
    const auto lease = number(json, "lease");
    if (lease != 0 && !leases_.contains(lease)) {
      status = 404;
      return error_text(5, "etcdserver: requested lease not found");
    }
    write(bytes(json, "key"), bytes(json, "value"), lease);
    return "{" + header() + "}";
  }
  if (path == "/v3/kv/range") {
    Json kvs = Json::array();
    for (const auto& [key, entry] : store_) {
      if (within(key, bytes(json, "key"), bytes(json, "range_end")))
        kvs.push_back({{"key", base64_encode(key)},
                       {"value", base64_encode(entry.value)},
                       {"mod_revision", std::to_string(entry.mod_revision)}});
    }
    return "{" + header() + ",\"kvs\":" + kvs.dump() + "}";
  }
  if (path == "/v3/kv/txn") {
    const auto& compare = json.at("compare").at(0);
    const auto key = bytes(compare, "key");
    const auto found = store_.find(key);
    const bool equal = (found == store_.end() ? 0 : found->second.mod_revision) == number(compare, "mod_revision");
    if (equal) write(key, bytes(json.at("success").at(0).at("request_put"), "value"), 0);
    return "{" + header() + (equal ? ",\"succeeded\":true}" : "}");
  }
  status = 404;
  return "not found";
}

void FakeEtcd::watch(int socket, const std::string& body, bool too_old) {
  const auto create = Json::parse(body).at("create_request");
  const auto key = bytes(create, "key");
  const auto end = bytes(create, "range_end");
  auto next = number(create, "start_revision");
  std::unique_lock lock(mutex_);
  starts_.push_back(next);
  const int generation = broken_;
  if (!send_all(socket, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")) return;
  if (!next_line_.empty()) {
    send_line(socket, std::exchange(next_line_, ""));
    return;
  }
  if (hold_watches_) {
    while (!stopping_ && !away_ && generation == broken_ && wait_for_news(lock, socket)) {
    }
    return;
  }
  if (too_old) {
    send_line(socket, fmt::format(R"({{"result":{{{},"created":true,"canceled":true,"cancel_reason":"{}"}}}})",
                                  header(), kTooOld));
    return;
  }
  send_line(socket, "{\"result\":{" + header() + ",\"created\":true}}");
  if (next <= compacted_) {
    send_line(socket,
              fmt::format(R"({{"result":{{{},"canceled":true,"compact_revision":"{}"}}}})", header(), compacted_ + 1));
    return;
  }
  ++standing_;
  changed_.notify_all();
  while (!stopping_ && !away_ && generation == broken_) {
    bool alive = true;
    for (const auto& change : history_) {
      if (change.revision >= next && within(change.key, key, end))
        alive = alive && send_line(socket, event_line(change));
    }
    next = std::max(next, revision_ + 1);
    if (!alive) break;
    if (!wait_for_news(lock, socket)) break;
  }
  --standing_;
}

std::string FakeEtcd::event_line(const Change& change) const {
  Json event{{"kv", {{"key", base64_encode(change.key)}, {"mod_revision", std::to_string(change.revision)}}}};
  if (change.removed) event["type"] = "DELETE";
  if (!change.removed) event["kv"]["value"] = base64_encode(change.value);
  return "{\"result\":{" + header() + ",\"events\":[" + event.dump() + "]}}";
}

void FakeEtcd::write(const std::string& key, const std::string& value, std::int64_t lease) {
  store_[key] = {value, ++revision_, lease};
  history_.push_back({revision_, key, false, value});
  changed_.notify_all();
}

void FakeEtcd::erase(const std::string& key) {
  if (store_.erase(key) == 0) return;
  history_.push_back({++revision_, key, true, ""});
  changed_.notify_all();
}

std::string FakeEtcd::error_text(int code, const std::string& words) const {
  switch (error_form_) {
    case ErrorForm::kUntil35:
      return fmt::format(R"({{"error":"{}","code":{},"message":"{}"}})", words, code, words);
    case ErrorForm::kSince36:
      return fmt::format(R"({{"code":{},"message":"{}","details":[]}})", code, words);
    case ErrorForm::kUnknown:
      break;
  }
  return R"({"failed":true})";
}

std::string FakeEtcd::header() const { return fmt::format(R"("header":{{"revision":"{}"}})", revision_); }

void FakeEtcd::put(const std::string& key, const std::string& value) {
  const std::lock_guard lock(mutex_);
  write(key, value, 0);
}
void FakeEtcd::remove(const std::string& key) {
  const std::lock_guard lock(mutex_);
  erase(key);
}
std::string FakeEtcd::value(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = store_.find(key);
  return found == store_.end() ? "" : found->second.value;
}
void FakeEtcd::compact() {
  const std::lock_guard lock(mutex_);
  compacted_ = revision_;
  history_.clear();
}
void FakeEtcd::drop_leases() {
  const std::lock_guard lock(mutex_);
  leases_.clear();
  std::vector<std::string> gone;
  for (const auto& [key, entry] : store_) {
    if (entry.lease != 0) gone.push_back(key);
  }
  for (const auto& key : gone) erase(key);
}
void FakeEtcd::lose_data() {
  const std::lock_guard lock(mutex_);
  ++broken_;
  leases_.clear();
  store_.clear();
  history_.clear();
  revision_ = 1;
  compacted_ = 0;
  changed_.notify_all();
}
void FakeEtcd::require(const std::string& name, const std::string& password) {
  const std::lock_guard lock(mutex_);
  name_ = name;
  password_ = password;
  tokens_.clear();
}
void FakeEtcd::end_tokens() {
  const std::lock_guard lock(mutex_);
  tokens_.clear();
  ++broken_;
  changed_.notify_all();
}
void FakeEtcd::change_users() {
  const std::lock_guard lock(mutex_);
  old_tokens_.merge(tokens_);
  tokens_.clear();
  ++broken_;
  changed_.notify_all();
}
void FakeEtcd::hold_watches(bool hold) {
  const std::lock_guard lock(mutex_);
  hold_watches_ = hold;
}
void FakeEtcd::say_errors(ErrorForm form) {
  const std::lock_guard lock(mutex_);
  error_form_ = form;
}
std::int64_t FakeEtcd::revision() {
  const std::lock_guard lock(mutex_);
  return revision_;
}
std::vector<std::int64_t> FakeEtcd::watch_starts() {
  const std::lock_guard lock(mutex_);
  return starts_;
}

}  // namespace oxbow::p2p::test
