// What tests of the upstream client stand on: a loop on a thread of its own, a client on it, and an observer that
// records.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <thread>

#include "mirror/upstream/curl_loop.h"
#include "mirror/upstream/upstream.h"
#include "tests/unit/mirror/upstream/fake_registry.h"

namespace oxbow::mirror::upstream::testing {

using namespace std::chrono_literals;

/// Records an exchange; `take_bytes` bounds what it takes before it wants `resume`.
class Recorder final : public Observer {
 public:
  std::optional<Head> head;
  std::string body;
  std::optional<Result<>> done;
  std::size_t calls_after_done = 0;
  std::size_t budget_bytes = std::string::npos;
  std::function<void()> on_first_head;
  std::function<void()> on_first_data;
  std::function<void()> when_done;

  void on_head(const Head& given) override {
    if (done) ++calls_after_done;
    head = given;
    if (on_first_head) std::exchange(on_first_head, {})();
  }
  std::size_t on_data(std::span<const std::byte> bytes) override {
    if (done) ++calls_after_done;
    const auto taken = std::min(bytes.size(), budget_bytes);
    body.append(reinterpret_cast<const char*>(bytes.data()), taken);
    if (budget_bytes != std::string::npos) budget_bytes -= taken;
    if (on_first_data) std::exchange(on_first_data, {})();
    return taken;
  }
  void on_done(Result<> result) override {
    if (done) ++calls_after_done;
    done = std::move(result);
    if (when_done) std::exchange(when_done, {})();
  }
};

class Bench {
 public:
  explicit Bench(std::size_t loops = 1) : loops_(loops) {
    for (std::size_t i = 0; i < loops; ++i) curls_.push_back(std::make_unique<CurlLoop>(loops_.at(i)));
    loops_.start();
  }
  ~Bench() { stop(); }

  void stop() {
    loops_.stop();
    loops_.join();
    pool.join();
    curls_.clear();
  }

  std::unique_ptr<Registry> registry(UpstreamConfig config) {
    if (config.name.empty()) config.name = "test";
    auto made = Registry::create(std::move(config), Services{clock, pool, *metrics, "1.2.3"});
    EXPECT_TRUE(made) << (made ? "" : made.error().what());
    return std::move(*made);
  }
  std::unique_ptr<Registry> at(const std::vector<std::string>& urls) {
    UpstreamConfig config;
    config.urls = urls;
    return registry(std::move(config));
  }

  CurlLoop& curl(std::size_t index = 0) { return *curls_[index]; }

  /// Runs on the loop and waits.
  void on_loop(std::function<void()> job, std::size_t index = 0) {
    std::promise<void> done;
    asio::post(loops_.at(index), [&] {
      job();
      done.set_value();
    });
    done.get_future().wait();
  }

  Result<WholeResponse> get(Registry& registry, FetchRequest request, std::size_t index = 0) {
    return start_get(registry, std::move(request), index).get();
  }
  std::future<Result<WholeResponse>> start_get(Registry& registry, FetchRequest request, std::size_t index = 0) {
    auto promise = std::make_shared<std::promise<Result<WholeResponse>>>();
    auto future = promise->get_future();
    asio::co_spawn(loops_.at(index), run(registry, *curls_[index], std::move(request), promise), asio::detached);
    return future;
  }

  /// A streamed exchange from start to `on_done`, or until `give_up` says so.
  Recorder stream(Registry& registry, FetchRequest request) {
    Recorder recorder;
    std::promise<void> done;
    std::unique_ptr<Transfer> transfer;
    recorder.when_done = [&] { done.set_value(); };
    on_loop([&] { transfer = registry.start(curl(), std::move(request), recorder); });
    EXPECT_EQ(done.get_future().wait_for(60s), std::future_status::ready);
    on_loop([&] { transfer.reset(); });
    return recorder;
  }

  /// The value of a sample as the exposition prints it; empty when there is none.
  std::string metric(const std::string& sample) const {
    const auto text = render_metrics(*metrics);
    const auto at = text.find(sample + " ");
    if (at == std::string::npos) return {};
    const auto begin = at + sample.size() + 1;
    return text.substr(begin, text.find('\n', begin) - begin);
  }

  ManualClock clock;
  WorkPool pool{2};
  std::unique_ptr<MetricsRegistry> metrics = std::make_unique<MetricsRegistry>();

 private:
  static Task<> run(Registry& registry, CurlLoop& curl, FetchRequest request,
                    std::shared_ptr<std::promise<Result<WholeResponse>>> promise) {
    promise->set_value(co_await registry.get(curl, std::move(request)));
  }

  Loops loops_;
  std::vector<std::unique_ptr<CurlLoop>> curls_;
};

inline FetchRequest manifest_request(std::string repository = "library/alpine", std::string tag = "latest") {
  FetchRequest request;
  request.path = "/v2/" + repository + "/manifests/" + tag;
  request.repository = std::move(repository);
  return request;
}
inline FetchRequest blob_request(std::string repository = "library/alpine", std::string digest = "sha256:aa") {
  FetchRequest request;
  request.path = "/v2/" + repository + "/blobs/" + digest;
  request.repository = std::move(repository);
  return request;
}

template <typename Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

}  // namespace oxbow::mirror::upstream::testing
