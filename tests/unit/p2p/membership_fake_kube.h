// As much of a Kubernetes API server as membership uses, in memory: EndpointSlices, ConfigMaps and Nodes; lists from
// the cache and from the store, chunked watches with bookmarks, one resourceVersion for everything, selectors, bearer
// tokens, Status answers. Faults on demand: broken and ended watches, versions that are compacted, a cache that lags, a
// store that was restored, tokens that end, rights that are missing, an API server that is away or silent.
#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace oxbow::p2p::test {

/// An endpoint as a test says it.
struct FakeEndpoint {
  std::string node;
  std::string address;
  std::string zone = {};
  bool ready = true;
  bool terminating = false;
};

class FakeKube {
 public:
  using Json = nlohmann::json;

  explicit FakeKube(std::string token);
  FakeKube(const FakeKube&) = delete;
  FakeKube& operator=(const FakeKube&) = delete;
  ~FakeKube();

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  // Objects, in the namespace "infra":
  void put_slice(const std::string& name, const std::vector<FakeEndpoint>& endpoints,
                 const std::string& service = "oxbow", const std::string& type = "IPv4");
  void put_node(const std::string& name, const Json& labels);
  void put_config(const std::string& name, const Json& data);
  void remove(const std::string& kind, const std::string& name);  ///< "EndpointSlice", "ConfigMap", "Node"
  Json config(const std::string& name);                           ///< its data

  // Faults:
  void break_watches();  ///< in the middle of the stream
  void end_watches();    ///< in good order, as timeoutSeconds does
  void bookmark();       ///< to every watch that stands and allows it; waits until it is sent
  /// Versions up to now are gone. `by_status`: watches get HTTP 410; else an ERROR event in a stream.
  void compact(bool by_status);
  /// All versions begin again at 1, with the objects that are there.
  void restore();
  /// Lists of the cache are refused as too old, so that only the store answers.
  void lose_cache(bool lost);
  void go_away(bool away);
  void fall_silent(bool silent);
  void set_token(const std::string& token);
  void forbid(const std::string& resource);  ///< "nodes", ...
  void say_next_watch(const std::string& line);

  long version();
  int calls(
      const std::string& what);  ///< "list endpointslices", "watch configmaps", "get nodes", "patch configmaps", ...
  int watches();                 ///< that stand now
  std::vector<std::string> watch_starts();
  std::vector<std::string> list_versions();  ///< the resourceVersion of each list so far

 private:
  struct Change {
    long version;
    std::string type;
    Json object;
  };
  struct Connection {
    int socket;
    std::thread thread;
  };
  struct Request {
    std::string method, path, query, authorization, content_type, body;
    std::string resource, name;
    std::string parameter(const std::string& key) const;
    bool selects(const Json& object) const;
  };

  void accept_loop();
  void serve(int socket);
  bool answer(int socket, const Request& request);
  Json respond(const Request& request, int& status);
  Json list(const Request& request, int& status);
  Json patch(const Request& request, int& status);
  void watch(int socket, const Request& request);
  void store(Json object, const std::string& kind, const std::string& name);
  static Json status_of(int code, const std::string& reason, const std::string& message);

  int listener_ = -1;
  int port_ = 0;
  std::thread acceptor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool away_ = false;
  bool silent_ = false;
  bool cache_lost_ = false;
  bool gone_by_status_ = false;
  int broken_ = 0;
  int ended_ = 0;
  int bookmarks_ = 0;
  int bookmarks_due_ = 0;
  int standing_ = 0;
  std::list<Connection> connections_;
  std::map<std::pair<std::string, std::string>, Json> objects_;  ///< by resource and name
  std::vector<Change> history_;
  long version_ = 1000;
  long compacted_ = 0;
  std::string token_, next_line_;
  std::set<std::string> forbidden_;
  std::map<std::string, int> calls_;
  std::vector<std::string> starts_, lists_;
};

}  // namespace oxbow::p2p::test
