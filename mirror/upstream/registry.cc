#include <algorithm>

#include "mirror/upstream/fetch.h"
#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {
namespace {

using std::chrono::milliseconds;

// A manifest whose body was cut short is asked for again, whole.
constexpr int kWholeAttempts = 3;
constexpr milliseconds kWholeRetryDelay{100};

class RunningTransfer final : public Transfer {
 public:
  explicit RunningTransfer(std::shared_ptr<Fetch> fetch) : fetch_(std::move(fetch)) {}
  ~RunningTransfer() override { fetch_->cancel(); }
  void resume() override { fetch_->resume(); }

 private:
  std::shared_ptr<Fetch> fetch_;
};

class Collecting final : public Observer {
 public:
  Collecting(const asio::any_io_executor& executor, const FetchRequest& request)
      : done(executor), max_body_bytes_(request.max_body_bytes), expects_body_(request.method != http::Method::kHead) {}

  void on_head(const Head& head) override {
    response.head = head;
    if (expects_body_ && head.content_length.value_or(0) > max_body_bytes_) too_long();
  }
  std::size_t on_data(std::span<const std::byte> bytes) override {
    if (response.body.size() + bytes.size() > max_body_bytes_) {
      too_long();
      return 0;
    }
    response.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return bytes.size();
  }
  void on_done(Result<> how) override {
    if (result) result = std::move(how);
    done.notify();
  }

  Signal done;
  WholeResponse response;
  Result<> result;

 private:
  void too_long() {
    result = fail(Errc::kLimit, fmt::format("the body is longer than {} bytes", max_body_bytes_));
    done.notify();
  }

  std::size_t max_body_bytes_;
  bool expects_body_;
};

Transport transport_of(const UpstreamConfig& config, const std::string& version) {
  return {.user_agent = "oxbow/" + version,
          .ca_file = config.ca_file,
          .client_certificate = config.client_certificate,
          .client_key = config.client_key,
          .proxy = config.proxy,
          .connect_timeout_ms = static_cast<long>(config.connect_timeout.count()),
          .allow_private_addresses = config.allow_private_addresses,
          .allow_redirect_to_http = config.allow_redirect_to_http};
}

}  // namespace

Registry::Shared::Shared(UpstreamConfig configured, Services given)
    : config(std::move(configured)),
      services(std::move(given)),
      transport(transport_of(config, services.version)),
      slots(std::make_shared<Slots>(std::max(1U, config.max_connections),
                                    limit_counter(services.metrics, "upstream.max_connections"))),
      bandwidth(config.bandwidth_bytes_per_s, config.class_bandwidth_bytes_per_s,
                limit_counter(services.metrics, "upstream.bandwidth")),
      locations(services.clock),
      body_bytes(
          counter_family(services.metrics, "oxbow_upstream_bytes_total", "HTTP body bytes received from upstream")
              .Add({{"registry", config.name}})),
      requests(counter_family(services.metrics, "oxbow_upstream_requests_total",
                              "Requests to upstream registries, by status; \"error\" where no answer came")) {
  auto& circuits = gauge_family(services.metrics, "oxbow_upstream_circuit",
                                "State of the circuit of a registry's URL: 0 closed, 1 half-open, 2 open");
  for (const auto& url : config.urls) {
    endpoints.push_back(std::make_shared<Endpoint>(
        url, services.clock, circuits.Add({{"registry", config.name}, {"url", printable_url(url)}})));
  }
  authenticator = std::make_shared<Authenticator>(
      std::make_shared<Credentials>(config.credentials, services.clock, services.pool), transport, services.clock,
      config.name,
      counter_family(services.metrics, "oxbow_upstream_token_requests_total", "Requests to token services, by status"));
}

Registry::Registry(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
Registry::~Registry() = default;

Result<std::unique_ptr<Registry>> Registry::create(UpstreamConfig config, Services services) {
  if (config.urls.empty()) return fail(Errc::kInvalid, config.name + ": no upstream URL");
  for (auto& url : config.urls) {
    while (url.ends_with('/')) url.pop_back();
    const auto parts = split_url(url);
    if (!parts || parts->has_userinfo || !parts->query.empty()) {
      return fail(Errc::kInvalid,
                  config.name + ": not an upstream URL (https://host[:port][/prefix]): " + printable_url(url));
    }
  }
  auto shared = std::make_shared<Shared>(std::move(config), std::move(services));
  return std::unique_ptr<Registry>(new Registry(std::move(shared)));
}

const std::string& Registry::name() const noexcept { return shared_->config.name; }

std::unique_ptr<Transfer> Registry::start(CurlLoop& loop, FetchRequest request, Observer& observer) {
  auto fetch = std::make_shared<Fetch>(shared_, loop.core(), std::move(request), observer);
  fetch->launch();
  return std::make_unique<RunningTransfer>(std::move(fetch));
}

Task<Result<WholeResponse>> Registry::get(CurlLoop& loop, FetchRequest request) {
  const auto shared = shared_;  // the Registry may go while this runs
  const auto core = loop.core();
  const auto begun = std::chrono::steady_clock::now();
  const auto until = begun + request.head_timeout;
  const auto late = begun + request.late_timeout;
  for (int attempt = 1;; ++attempt) {
    Collecting collecting(co_await asio::this_coro::executor, request);
    {
      const auto fetch = std::make_shared<Fetch>(shared, core, request, collecting);
      fetch->launch();
      const RunningTransfer transfer(fetch);
      co_await collecting.done.wait(SteadyTime::max());
    }
    if (collecting.result) co_return std::move(collecting.response);
    const bool cut_short =
        collecting.response.head.status != 0 && collecting.result.error().code() == Errc::kUnavailable;
    const auto now = std::chrono::steady_clock::now();
    if (!cut_short || attempt == kWholeAttempts || now + kWholeRetryDelay >= until) {
      co_return std::unexpected(std::move(collecting.result).error());
    }
    request.head_timeout = std::chrono::duration_cast<milliseconds>(until - now);
    request.late_timeout = std::chrono::duration_cast<milliseconds>(late - now);
    co_await sleep_for(kWholeRetryDelay);
  }
}

std::vector<UrlHealth> Registry::health() const {
  std::vector<UrlHealth> out;
  for (const auto& endpoint : shared_->endpoints) out.push_back(endpoint->health());
  return out;
}

std::optional<milliseconds> Registry::retry_after() const {
  std::optional<milliseconds> least;
  for (const auto& endpoint : shared_->endpoints) {
    const auto wait = endpoint->throttled_for();
    if (wait == milliseconds(0)) return std::nullopt;
    least = least ? std::min(*least, wait) : wait;
  }
  return least;
}

}  // namespace oxbow::mirror::upstream
