// A discarding HTTP/2 client: asks N times with C streams at a time over one connection, and prints what came: GB, GB/s
// and its own CPU seconds per GB. `%` in PATH stands for 0 to N - 1.
//   h2_client_bench [--ca F --cert F --key F [--name N]] [--window MIB] [--frame KIB] [--header NAME:VALUE] HOST PORT
//   PATH N C
#include <sys/resource.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/http/client.h"

namespace {

using namespace oxbow;
using namespace oxbow::http;

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Run {
  std::shared_ptr<ClientConnection> connection;
  std::string path;
  Headers headers;
  std::size_t left = 0;
  std::size_t running = 0;
  std::uint64_t bytes = 0;
  std::string failure;
};

/// One of C lines that each ask again as soon as they are answered.
class Puller final : public ClientSink {
 public:
  explicit Puller(Run& run) : run_(run) {}

  void next() {
    call_.reset();
    if (run_.left == 0 || !run_.failure.empty()) return;
    --run_.left;
    ++run_.running;
    auto path = run_.path;
    if (const auto mark = path.find('%'); mark != std::string::npos) path.replace(mark, 1, std::to_string(run_.left));
    call_ = run_.connection->call(
        {.method = Method::kGet, .path = std::move(path), .headers = run_.headers, .body = {}}, *this);
  }

 private:
  void on_head(int status, const Headers&) override {
    if (status != 200) run_.failure = "status " + std::to_string(status);
  }
  std::size_t on_data(std::span<const std::byte> bytes) override {
    run_.bytes += bytes.size();
    return bytes.size();
  }
  void on_done(Result<> outcome) override {
    --run_.running;
    if (!outcome) run_.failure = outcome.error().what();
    next();
    if (run_.running == 0) run_.connection->close();
  }

  Run& run_;
  std::unique_ptr<ClientCall> call_;
};

std::size_t number(const std::string& text) {
  std::size_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words;
  ClientTlsConfig files;
  std::string name;
  Headers headers;
  ClientOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (!word.starts_with("--")) {
      words.push_back(word);
      continue;
    }
    ++i;
    if (word == "--ca") files.ca_file = value;
    if (word == "--cert") files.certificate_file = value;
    if (word == "--key") files.key_file = value;
    if (word == "--name") name = value;
    if (word == "--header") headers.add(value.substr(0, value.find(':')), value.substr(value.find(':') + 1));
    if (word == "--window") options.stream_window_bytes = static_cast<std::uint32_t>(number(value) << 20U);
    if (word == "--frame") options.frame_bytes = static_cast<std::uint32_t>(number(value) << 10U);
  }
  if (words.size() != 5) {
    std::fprintf(stderr, "usage: h2_client_bench [--ca F --cert F --key F [--name N]] HOST PORT PATH N C\n");
    return 2;
  }
  std::shared_ptr<ClientTls> tls;
  if (!files.ca_file.empty()) {
    auto made = make_client_tls(files);
    if (!made) {
      std::fprintf(stderr, "%s\n", made.error().what().c_str());
      return 2;
    }
    tls = std::move(*made);
  }
  Loop loop(1);
  Run run{.connection = ClientConnection::create(
              loop, {words[0], static_cast<std::uint16_t>(number(words[1])), name, tls}, options),
          .path = words[2],
          .headers = headers,
          .left = number(words[3]),
          .failure = {}};
  std::vector<std::unique_ptr<Puller>> pullers;
  const auto begin = std::chrono::steady_clock::now();
  const auto cpu_begin = cpu_seconds();
  for (std::size_t i = 0; i < number(words[4]); ++i) pullers.emplace_back(std::make_unique<Puller>(run))->next();
  loop.run();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const double gigabytes = static_cast<double>(run.bytes) / 1e9;
  std::printf("%.3f GB  %.2f GB/s  %.3f CPU s/GB\n", gigabytes, gigabytes / took.count(),
              (cpu_seconds() - cpu_begin) / gigabytes);
  if (!run.failure.empty()) std::fprintf(stderr, "failed: %s\n", run.failure.c_str());
  return run.failure.empty() ? 0 : 1;
}
