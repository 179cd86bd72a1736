#include "mirror/operator/http_runner.h"

#include <curl/curl.h>

#include <array>
#include <string_view>
#include <utility>

#include "core/encoding.h"

namespace oxbow::mirror {
namespace {

constexpr std::size_t kMaxHeadBytes = 256 * 1024;
constexpr long kReadBytes = 128 * 1024;

Errc code_of(CURLcode code) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return Errc::kTimeout;
    case CURLE_WRITE_ERROR:
    case CURLE_ABORTED_BY_CALLBACK:
      return Errc::kCancelled;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return Errc::kInvalid;
    default:
      return Errc::kUnavailable;
  }
}

}  // namespace

struct HttpRunner::Multi {
  CURLM* handle = curl_multi_init();
  Multi() { OXBOW_INVARIANT(handle != nullptr); }
  ~Multi() { curl_multi_cleanup(handle); }
  Multi(const Multi&) = delete;
  Multi& operator=(const Multi&) = delete;
};

class HttpRunner::Exchange final : public HttpExchange {
 public:
  Exchange(CURLM* multi, const Limits& limits, HttpAsk ask, HttpEvents events)
      : multi_(multi), ask_(std::move(ask)), events_(std::move(events)), easy_(curl_easy_init()) {
    OXBOW_INVARIANT(easy_ != nullptr);
    set_request();
    set_connection(limits);
    curl_multi_add_handle(multi_, easy_);
  }
  ~Exchange() override {
    leave();
    curl_easy_cleanup(easy_);
    curl_slist_free_all(fields_);
  }

  void finished(CURLcode code) {
    leave();
    if (code == CURLE_OK && !head_given_ && !give_head()) code = CURLE_WRITE_ERROR;
    Result<> outcome;
    if (code != CURLE_OK) outcome = fail(code_of(code), error_[0] != '\0' ? error_.data() : curl_easy_strerror(code));
    // It may destroy this.
    const auto on_done = events_.on_done;
    on_done(std::move(outcome));
  }

 private:
  void leave() {
    if (multi_ != nullptr) curl_multi_remove_handle(std::exchange(multi_, nullptr), easy_);
  }
  void set_request();
  void set_connection(const Limits& limits);
  bool give_head() {
    head_given_ = true;
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    head_.status = static_cast<int>(status);
    return !events_.on_head || events_.on_head(head_);
  }
  static std::size_t on_field(char* text, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self);

  CURLM* multi_;
  const HttpAsk ask_;
  const HttpEvents events_;
  CURL* easy_;
  curl_slist* fields_ = nullptr;
  std::array<char, CURL_ERROR_SIZE> error_{};
  HttpHead head_;
  std::size_t head_bytes_ = 0;
  bool head_given_ = false;
};

void HttpRunner::Exchange::set_request() {
  curl_easy_setopt(easy_, CURLOPT_URL, ask_.url.c_str());
  curl_easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy_, CURLOPT_PRIVATE, this);
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_.data());
  for (const auto& [name, value] : ask_.headers) fields_ = curl_slist_append(fields_, (name + ": " + value).c_str());
  fields_ = curl_slist_append(fields_, "Expect:");
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, fields_);
  if (ask_.form) {
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE, static_cast<long>(ask_.form->size()));
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, ask_.form->c_str());
  }
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &on_field);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
}

void HttpRunner::Exchange::set_connection(const Limits& limits) {
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  if (ask_.direct) curl_easy_setopt(easy_, CURLOPT_PROXY, "");
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT, static_cast<long>(limits.connect.count()));
  curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_TIME, static_cast<long>(limits.no_progress.count()));
  curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, kReadBytes);
  curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  if (!ask_.pinned_key.empty()) {
    curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy_, CURLOPT_PINNEDPUBLICKEY, ask_.pinned_key.c_str());
  }
}

std::size_t HttpRunner::Exchange::on_field(char* text, std::size_t size, std::size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  std::string_view line(text, size * count);
  exchange.head_bytes_ += line.size();
  if (exchange.head_bytes_ > kMaxHeadBytes) return 0;
  if (line.starts_with("HTTP/")) {
    exchange.head_ = {};  // of an interim answer
    return size * count;
  }
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (const auto colon = line.find(':'); colon != std::string_view::npos)
    exchange.head_.headers.add(std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
  return size * count;
}

std::size_t HttpRunner::Exchange::on_body(char* bytes, std::size_t size, std::size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const auto length = size * count;
  if (!exchange.head_given_ && !exchange.give_head()) return CURL_WRITEFUNC_ERROR;
  const auto taken =
      !exchange.events_.on_data || exchange.events_.on_data(std::as_bytes(std::span<const char>(bytes, length)));
  return taken ? length : CURL_WRITEFUNC_ERROR;
}

HttpRunner::HttpRunner(Interrupt& interrupt, Limits limits)
    : interrupt_(interrupt), limits_(limits), multi_(std::make_unique<Multi>()) {}

HttpRunner::~HttpRunner() = default;

std::unique_ptr<HttpExchange> HttpRunner::start(HttpAsk ask, HttpEvents events) {
  return std::make_unique<Exchange>(multi_->handle, limits_, std::move(ask), std::move(events));
}

Result<> HttpRunner::step(std::chrono::milliseconds timeout) {
  int running = 0;
  curl_multi_perform(multi_->handle, &running);
  int left = 0;
  bool ended = false;
  while (const auto* message = curl_multi_info_read(multi_->handle, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* exchange = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
    static_cast<Exchange*>(exchange)->finished(message->data.result);
    ended = true;
  }
  if (interrupt_.raised()) return fail(Errc::kCancelled, "interrupted");
  if (ended) return {};
  curl_waitfd signal{interrupt_.fd(), CURL_WAIT_POLLIN, 0};
  curl_multi_poll(multi_->handle, &signal, 1, static_cast<int>(timeout.count()), nullptr);
  if (interrupt_.raised()) return fail(Errc::kCancelled, "interrupted");
  return {};
}

Result<HttpRunner::Whole> HttpRunner::whole(HttpAsk ask) {
  constexpr std::chrono::milliseconds kStep{1'000};
  Whole whole;
  std::optional<Result<>> outcome;
  bool too_long = false;
  HttpEvents events;
  events.on_head = [&](const HttpHead& head) {
    whole.head = head;
    return true;
  };
  events.on_data = [&](std::span<const std::byte> bytes) {
    too_long = whole.body.size() + bytes.size() > limits_.whole_bytes;
    if (!too_long) whole.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return !too_long;
  };
  events.on_done = [&](Result<> ended) { outcome = std::move(ended); };
  const auto exchange = start(std::move(ask), std::move(events));
  while (!outcome) {
    if (auto stepped = step(kStep); !stepped) return std::unexpected(std::move(stepped.error()));
  }
  if (too_long) return fail(Errc::kLimit, "the answer is too long");
  if (!*outcome) return std::unexpected(std::move(outcome->error()));
  return whole;
}

}  // namespace oxbow::mirror
