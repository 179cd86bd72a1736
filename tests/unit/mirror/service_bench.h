// The whole mirror but its sockets: RegistryService over real storage and the real upstream client, in front of two
// registries of the test. Requests go in as the HTTP server would give them; bodies are read to their end.
#pragma once

#include "config/config.h"
#include "mirror/own_knowledge.h"
#include "mirror/preheat_job.h"
#include "mirror/registry_service.h"
#include "scratch.h"
#include "site.h"

namespace oxbow::mirror {

struct Answer {
  int status = 0;
  http::Headers headers;
  std::optional<std::uint64_t> length;
  bool has_body = false;
  std::string body;
  std::optional<Error> cut;

  std::string header(std::string_view name) const { return std::string(headers.find(name).value_or("")); }
  /// Whether it is an OCI error with that code.
  bool is(int expected, std::string_view code) const {
    return status == expected && body.contains("\"code\":\"" + std::string(code) + '"');
  }
};

class ServiceBench {
 public:
  ServiceBench();
  ~ServiceBench();

  /// Everything but the sites is closed and built again over the same directory, as after a restart.
  void restart();
  /// The mirror as a member of a ring; before requests.
  void join(FetchPeers& peers);
  /// Makes and sets the registries anew from `config`.
  void apply();

  using Fields = std::vector<std::pair<std::string, std::string>>;
  std::future<Answer> start(const std::string& target, Fields fields = {}, http::Method method = http::Method::kGet,
                            std::size_t loop = 0);
  Answer get(const std::string& target, Fields fields = {}, std::size_t loop = 0) {
    return start(target, std::move(fields), http::Method::kGet, loop).get();
  }
  Answer head(const std::string& target, Fields fields = {}) {
    return start(target, std::move(fields), http::Method::kHead).get();
  }

  /// `reg.test`, also known as `alias.test`: the default. `other.test` is the second one.
  Site site;
  Site other;
  config::Config config = config::defaults();
  Scratch scratch{false};

  /// Until that many answers did not come in time.
  void await_late(int count) {
    while (std::atoi(scratch.metric("oxbow_limit_hits_total{limit=\"answer_time\"}").c_str()) < count)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }

  ManualClock& clock() { return scratch.clock(); }
  config::Registry& registry() { return config.registries[0]; }
  PreheatJob::Parts preheat_parts() {
    return {joined_->blobs, joined_->access, joined_->contents, curls_,
            [this] { return joined_->service.registries(); }};
  }
  DigestMemory& memory() { return joined_->memory; }
  RegistryService& service() { return joined_->service; }
  /// What it tells a peer.
  Result<p2p::KnownFacts> known(std::string registry, std::string repository, std::string reference,
                                bool may_ask = false) {
    return scratch.start(joined_->knowledge.known(registry, repository, reference, may_ask)).get();
  }

 private:
  struct Joined {
    explicit Joined(ServiceBench& bench);
    Blobs blobs;
    Grants grants;
    DigestMemory memory;
    std::optional<PeerKnowledge> peers;
    Access access;
    SmallContents contents;
    Tags tags;
    RegistryService service;
    OwnKnowledge knowledge;
  };
  std::shared_ptr<Registries> registries();

  SystemClock system_clock_;  ///< of the fetches, whose waits are real
  CurlLoops curls_{scratch.loops()};
  FetchPeers* peers_ = nullptr;
  std::unique_ptr<Joined> joined_;
};

inline ServiceBench::Fields with(std::string authorization) { return {{"Authorization", std::move(authorization)}}; }
inline ServiceBench::Fields range(std::string bytes) { return {{"Range", "bytes=" + std::move(bytes)}}; }

}  // namespace oxbow::mirror
