// Calls to the Kubernetes API server: as a pod makes them (service account, its CA bundle) or at a given address. The
// token is read anew for each call, as the kubelet replaces it; it never appears in an error or a log line.
// Thread rule: one thread at a time, and it blocks. Lifetime: ends before `owner`, whose stop ends a call at once.
#pragma once

#include <functional>
#include <string>

#include "core/error.h"
#include "p2p/membership.h"
#include "p2p/membership/http_sinks.h"

namespace oxbow::p2p {

/// What cannot work whatever the API server does; address and namespace of the pod where none are given. Errors:
/// kInvalid.
Result<KubernetesOptions> check_kubernetes_options(KubernetesOptions options);

class KubeClient {
 public:
  /// `options`: checked ones.
  KubeClient(const KubernetesOptions& options, StoppableThread* owner);

  struct Call {
    std::string path;  ///< with its query
    std::string method = "GET";
    std::string body = {};
    std::string content_type = "application/json";
    std::chrono::milliseconds timeout{10'000};
  };
  /// The body of a 2xx. Errors: as kube_json.h; kUnavailable when nobody answers, kTimeout, kCancelled, kLimit.
  Result<std::string> call(const Call& call);
  /// Until the stream ends, which is an error unless the server has ended it in good order.
  Result<> stream(const std::string& path, std::chrono::milliseconds timeout, const StreamSink& sink);

 private:
  Result<CallRequest> make_request(const Call& call) const;

  const KubernetesOptions options_;
  HttpCall http_;
};

}  // namespace oxbow::p2p
