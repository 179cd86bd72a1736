// Membership pushes views of who is in the cluster and knows nothing of what is done with them. A provider keeps its
// last view when its source fails, and says so; a node serves before the first view has come.
// Thread rule: `start`, `stop` from main; the callback comes from a thread of the provider (of `static`: from within
// `start`), one at a time, and never after `stop` has returned. Lifetime: stopped before
// what the callback uses ends.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/metrics.h"
#include "core/task.h"
#include "p2p/member.h"

namespace oxbow::p2p {

struct MembershipView {
  std::vector<Member> members;  ///< names may be empty where a source knows addresses only: the hello tells the name
};

class Membership {
 public:
  virtual ~Membership() = default;
  using OnView = std::function<void(MembershipView)>;
  /// Errors: kInvalid (the options cannot work); a source that is down is no error.
  virtual Result<> start(OnView on_view) = 0;
  virtual void stop() = 0;
  virtual std::string_view provider() const noexcept = 0;
  /// Why the last view is old; nothing while the source answers.
  virtual std::string trouble() const = 0;
};

struct StaticOptions {
  std::vector<std::string> peers;  ///< host:port
};
struct FileOptions {
  std::string path;  ///< JSON: {"members": [{"name", "addresses", "location", "weight"}]}, or one host:port a line
  std::chrono::milliseconds poll{30'000};  ///< besides inotify, for file systems that do not tell (NFS)
};
struct DnsOptions {
  std::string name;  ///< A/AAAA with `port`, or SRV when it begins with `_`
  std::uint16_t port = 5051;
  std::chrono::milliseconds interval{10'000};  ///< sooner (not under 1 s) where the answer's TTL says so
  std::string server = {};                     ///< ip:port of one name server; empty: the system's resolver
};
struct EtcdOptions {
  std::vector<std::string> endpoints;  ///< http(s)://host:port of the v3 JSON gateway
  std::string prefix = "/oxbow/";
  std::string ca_file, certificate_file, key_file;
  std::string username, password_file;
  std::chrono::milliseconds lease_ttl{15'000};
};
/// Empty `api_server` and `namespace_name`: those of the pod that this process is in.
struct KubernetesOptions {
  std::string api_server;      ///< http(s)://host:port
  std::string namespace_name;  ///< of the Service and of the ConfigMap
  std::string service = "oxbow";
  std::string port_name = "peers";  ///< of the Service; empty: the one without a name
  std::string config_map = "oxbow-cluster";
  /// Labels of nodes that make a location, from wide to narrow.
  std::vector<std::string> location_labels{"topology.kubernetes.io/region", "topology.kubernetes.io/zone"};
  std::string account_directory = "/var/run/secrets/kubernetes.io/serviceaccount";  ///< with token, ca.crt, namespace
};

std::unique_ptr<Membership> make_static_membership(StaticOptions options);
std::unique_ptr<Membership> make_file_membership(FileOptions options, MetricsRegistry& metrics);
std::unique_ptr<Membership> make_dns_membership(DnsOptions options, MetricsRegistry& metrics);
/// Registers `self` under a lease and watches the others.
std::unique_ptr<Membership> make_etcd_membership(EtcdOptions options, Member self, MetricsRegistry& metrics);
/// Watches the EndpointSlices of a Service, in which the node that a pod runs on is the member's name. `self` needs no
/// location: where it has none, that of its node is in the view.
std::unique_ptr<Membership> make_kubernetes_membership(KubernetesOptions options, Member self,
                                                       MetricsRegistry& metrics);

}  // namespace oxbow::p2p
