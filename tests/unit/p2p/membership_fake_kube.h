// As much of a Kubernetes API server as membership uses, in memory: EndpointSlices, ConfigMaps and Nodes; lists from
// the cache and from the store, chunked watches with bookmarks, one resourceVersion for everything, selectors, bearer
// tokens, Status answers. Faults on demand: broken and ended watches, versions that are compacted, a cache that lags, a
// store that was restored, tokens that end, rights that are missing, an API server that is away or silent.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/p2p/membership_fake_server.h"

namespace oxbow::p2p::test {

/// An endpoint as a test says it.
struct FakeEndpoint {
  std::string node;
  std::string address;
  std::string zone = {};
  bool ready = true;
  bool terminating = false;
};

class FakeKube final : public FakeServer {
 public:
  using Json = nlohmann::json;

  explicit FakeKube(std::string token) : token_(std::move(token)) {}
  ~FakeKube() override { stop(); }

  // Objects, in the namespace "infra":
  void put_slice(const std::string& name, const std::vector<FakeEndpoint>& endpoints,
                 const std::string& service = "oxbow", const std::string& type = "IPv4");
  void put_node(const std::string& name, const Json& labels);
  void put_config(const std::string& name, const Json& data);
  void remove(const std::string& kind, const std::string& name);  ///< "EndpointSlice", "ConfigMap", "Node"
  Json config(const std::string& name);                           ///< its data

  // Faults:
  void end_watches();  ///< in good order, as timeoutSeconds does
  void bookmark();     ///< to every watch that stands and allows it; waits until it is sent
  /// Versions up to now are gone. `by_status`: watches get HTTP 410; else an ERROR event in a stream.
  void compact(bool by_status);
  /// All versions begin again at 1, with the objects that are there.
  void restore();
  /// Lists of the cache are refused as too old, so that only the store answers.
  void lose_cache(bool lost);
  void set_token(const std::string& token);
  void forbid(const std::string& resource);  ///< "nodes", ...

  long version();
  std::vector<std::string> watch_starts();
  std::vector<std::string> list_versions();  ///< the resourceVersion of each list so far

 private:
  struct Change {
    long version;
    std::string type;
    Json object;
  };
  /// A request as the API server reads it; counted as "list endpointslices", "watch configmaps", "get nodes", ...
  struct Asked : Request {
    explicit Asked(const Request& request);
    std::string resource, name, verb;
    std::string parameter(const std::string& key) const;
    bool selects(const Json& object) const;
  };

  std::string call_of(const Request& request) const override;
  bool answer(int socket, const Request& request) override;
  Json respond(const Asked& request, int& status);
  Json list(const Asked& request, int& status);
  Json patch(const Asked& request, int& status);
  void watch(int socket, const Asked& request);
  void store(Json object, const std::string& kind, const std::string& name);
  static Json status_of(int code, const std::string& reason, const std::string& message);

  bool cache_lost_ = false;
  bool gone_by_status_ = false;
  int ended_ = 0;
  int bookmarks_ = 0;
  int bookmarks_due_ = 0;
  std::map<std::pair<std::string, std::string>, Json> objects_;  ///< by resource and name
  std::vector<Change> history_;
  long version_ = 1000;
  long compacted_ = 0;
  std::string token_;
  std::set<std::string> forbidden_;
  std::vector<std::string> starts_, lists_;
};

}  // namespace oxbow::p2p::test
