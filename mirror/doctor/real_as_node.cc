// The node's credentials at each registry, with the daemon's own upstream client: what it is told is what the daemon
// would be told.
#include "core/clock.h"
#include "core/metrics.h"
#include "mirror/doctor/real_system.h"
#include "mirror/upstream/credentials.h"
#include "mirror/upstream/curl_loop.h"
#include "mirror/upstream/upstream.h"

namespace oxbow::mirror::doctor {
namespace {

/// Fills `out` on the loop. References outlive the loop's run.
Task<> ask(upstream::Registry& registry, upstream::CurlLoop& curl, std::chrono::milliseconds timeout, NodeAnswer& out) {
  upstream::FetchRequest request;
  request.path = "/v2/";
  request.identity.kind = upstream::IdentityKind::kNode;
  request.head_timeout = timeout;
  auto response = co_await registry.get(curl, std::move(request));
  if (response)
    out.status = response->head.status;
  else
    out.status = std::unexpected(std::move(response.error()));
}

void look_for_credential(const upstream::UpstreamConfig& config, NodeAnswer& out) {
  auto found = upstream::read_credential(config.credentials, {config.urls.front(), ""});
  if (!found)
    out.source_error = std::move(found.error());
  else
    out.has_credential = found->credential.has_value();
}

}  // namespace

std::vector<NodeAnswer> RealSystem::ask_as_node(const std::vector<upstream::UpstreamConfig>& registries,
                                                std::chrono::milliseconds timeout) const {
  SystemClock clock;
  MetricsRegistry metrics;
  WorkPool pool(4);
  Loop loop;
  upstream::CurlLoop curl(loop);
  std::vector<NodeAnswer> answers(registries.size());
  std::vector<std::unique_ptr<upstream::Registry>> clients;
  std::size_t left = registries.size();
  for (std::size_t i = 0; i < registries.size(); ++i) {
    auto config = registries[i];
    pool.submit([config, &answer = answers[i]] { look_for_credential(config, answer); });
    config.connect_timeout = std::min(config.connect_timeout, timeout);
    auto client = upstream::Registry::create(std::move(config), {clock, pool, metrics, version_});
    if (!client) {
      answers[i].status = std::unexpected(std::move(client.error()));
      --left;
      continue;
    }
    clients.push_back(std::move(*client));
    asio::co_spawn(loop, ask(*clients.back(), curl, timeout, answers[i]), [&](const std::exception_ptr&) {
      if (--left == 0) curl.close();
    });
  }
  if (left > 0) loop.run_for(timeout + std::chrono::seconds(1));
  curl.close();
  loop.restart();
  loop.run_for(std::chrono::milliseconds(100));
  pool.join();
  return answers;
}

}  // namespace oxbow::mirror::doctor
