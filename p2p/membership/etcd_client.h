// Calls to etcd's JSON gateway: several endpoints with failover, authentication by name and password, TLS.
// A password or token never appears in an error or a log line.
// Thread rule: one thread at a time, and it blocks. Lifetime: ends before `owner`, whose stop ends a call at once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "p2p/membership.h"
#include "p2p/membership/http_sinks.h"

namespace oxbow::p2p {

/// What cannot work whatever the servers do, and `/` at the end of the prefix. Errors: kInvalid.
Result<EtcdOptions> check_etcd_options(EtcdOptions options);

/// How long a stream may say nothing before it counts as hung: until its first line, and from each line to the next.
struct StreamLimits {
  std::chrono::milliseconds first_line, next_line;
};

class EtcdClient {
 public:
  EtcdClient(const EtcdOptions& options, StoppableThread* owner);

  struct CallOptions {
    std::chrono::milliseconds timeout{3'000};  ///< at each endpoint
    bool repeatable = true;                    ///< false: no second endpoint once the first may have got it
    bool finish_when_stopping = false;
  };
  /// The body of a 200. Errors: as etcd_json.h; kUnavailable when no endpoint answers, kTimeout, kCancelled, kLimit.
  Result<std::string> call(const std::string& path, const std::string& body, CallOptions options);
  Result<std::string> call(const std::string& path, const std::string& body) { return call(path, body, CallOptions()); }

  /// Until the stream ends, which is always an error (kTimeout: it hung). The next one goes to the next endpoint.
  Error stream(const std::string& path, const std::string& body, const StreamSink& sink, const StreamLimits& limits);

 private:
  CallRequest make_request(const std::string& path, const std::string& body) const;
  Result<std::string> call_one(const std::string& path, const std::string& body, const CallOptions& options);
  Result<std::string> call_all(const std::string& path, const std::string& body, const CallOptions& options);
  Error stream_once(const std::string& path, const std::string& body, const StreamSink& sink,
                    const StreamLimits& limits);
  Result<> authenticate(const CallOptions& options);
  void connect_anew() {
    const TlsFiles tls{options_.ca_file, options_.certificate_file, options_.key_file};
    http_ = std::make_unique<HttpCall>(tls, owner_);
  }
  void next_endpoint() { endpoint_ = (endpoint_ + 1) % options_.endpoints.size(); }

  const EtcdOptions options_;
  StoppableThread* const owner_;
  std::unique_ptr<HttpCall> http_;
  std::size_t endpoint_ = 0;
  std::string token_;
};

}  // namespace oxbow::p2p
