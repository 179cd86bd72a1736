#include "p2p/membership/http_call.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace oxbow::p2p {
namespace {

constexpr long kConnectTimeoutMs = 2'000;
// A server that vanished without a word is noticed after about 5 + 3 * 5 seconds.
constexpr long kKeepAliveSeconds = 5;
constexpr int kKeepAliveProbes = 3;
constexpr int kUnacknowledgedMs = 15'000;
constexpr long kIdleConnections = 4;
// A bundle that was replaced counts within this, not only a day later.
constexpr long kCaCacheSeconds = 60;

/// curl_global_init is not thread-safe in every build of libcurl, and has to come before everything else.
void init_libcurl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

int on_socket(void*, curl_socket_t socket, curlsocktype) {
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &kKeepAliveProbes, sizeof kKeepAliveProbes);
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledgedMs, sizeof kUnacknowledgedMs);
  return CURL_SOCKOPT_OK;
}

struct Receiver {
  CURL* easy;
  CallSink& sink;
};

std::size_t on_body(char* data, std::size_t one, std::size_t count, void* to) {
  const auto& receiver = *static_cast<Receiver*>(to);
  long status = 0;
  curl_easy_getinfo(receiver.easy, CURLINFO_RESPONSE_CODE, &status);
  return receiver.sink.on_bytes(status, {data, one * count}) ? one * count : CURL_WRITEFUNC_ERROR;
}

/// The line that ends a head, interim ones left out.
std::size_t on_header(char* data, std::size_t one, std::size_t count, void* to) {
  const auto& receiver = *static_cast<Receiver*>(to);
  long status = 0;
  curl_easy_getinfo(receiver.easy, CURLINFO_RESPONSE_CODE, &status);
  if (std::string_view(data, one * count) == "\r\n" && status >= 200) receiver.sink.on_head(status);
  return one * count;
}

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

HeaderList make_headers(const std::vector<std::string>& lines) {
  curl_slist* list = nullptr;
  for (const auto& line : lines) list = curl_slist_append(list, line.c_str());
  // No "100 Continue" before large bodies: it costs a second where a server does not know it.
  return HeaderList(curl_slist_append(list, "Expect:"));
}

void set_connection(CURL* easy, const TlsFiles& tls) {
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  // The cluster's own store is never behind the proxy for the outside world.
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, kKeepAliveSeconds);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, kKeepAliveSeconds);
  curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
  curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, kCaCacheSeconds);
  if (!tls.ca.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, tls.ca.c_str());
  if (!tls.certificate.empty()) curl_easy_setopt(easy, CURLOPT_SSLCERT, tls.certificate.c_str());
  if (!tls.key.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, tls.key.c_str());
}

void set_method(CURL* easy, const CallRequest& request) {
  if (request.method == "GET") {
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    return;
  }
  curl_easy_setopt(easy, CURLOPT_POST, 1L);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
  if (request.method != "POST") curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

/// libcurl's own text tells of milliseconds and ports, so that the same trouble would read differently each time; only
/// what is wrong with TLS is not to be understood without it.
std::string describe(CURLcode code, const char* text) {
  const bool tls = code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
                   code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM;
  return tls && *text != '\0' ? text : curl_easy_strerror(code);
}

}  // namespace

struct HttpCall::Handles {
  Handles() {
    init_libcurl_once();
    multi = curl_multi_init();
    easy = curl_easy_init();
    OXBOW_INVARIANT(multi != nullptr && easy != nullptr);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kIdleConnections);
  }
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;
  ~Handles() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }

  CURLM* multi;
  CURL* easy;
};

HttpCall::HttpCall(TlsFiles tls, StoppableThread* owner)
    : tls_(std::move(tls)), owner_(owner), handles_(std::make_unique<Handles>()) {}
HttpCall::~HttpCall() = default;

Result<long> HttpCall::run(const CallRequest& request, CallSink& sink) {
  CURLM* const multi = handles_->multi;
  CURL* const easy = handles_->easy;
  char text[CURL_ERROR_SIZE] = {};
  Receiver receiver{easy, sink};
  const auto headers = make_headers(request.headers);
  curl_easy_reset(easy);
  set_connection(easy, tls_);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, text);
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  set_method(easy, request);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &receiver);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &receiver);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));

  const bool stoppable = owner_ != nullptr && !request.finish_when_stopping;
  std::optional<CURLcode> code;
  bool stopped = false;
  curl_multi_add_handle(multi, easy);
  while (!code) {
    int running = 0;
    int queued = 0;
    if (curl_multi_perform(multi, &running) != CURLM_OK) code = CURLE_FAILED_INIT;
    while (const auto* message = curl_multi_info_read(multi, &queued)) {
      if (message->msg == CURLMSG_DONE) code = message->data.result;
    }
    if (code) break;
    const auto turn = sink.on_turn();
    stopped = !turn || (stoppable && owner_->stopping());
    if (stopped) break;
    const auto turn_ms = static_cast<int>(std::clamp<std::int64_t>(turn->count(), 0, 60'000));
    curl_waitfd wake{.fd = stoppable ? owner_->wake_fd() : -1, .events = CURL_WAIT_POLLIN, .revents = 0};
    curl_multi_poll(multi, &wake, stoppable ? 1 : 0, turn_ms, nullptr);
    if (wake.revents != 0) owner_->drain();
  }
  long status = 0;
  long request_bytes = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_bytes);
  curl_multi_remove_handle(multi, easy);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, nullptr);
  sent_ = request_bytes > 0;
  if (stopped) return fail(Errc::kCancelled, "stopped");
  if (*code == CURLE_OK) return status;
  if (*code == CURLE_WRITE_ERROR) return fail(Errc::kCancelled, "given up");
  return fail(*code == CURLE_OPERATION_TIMEDOUT ? Errc::kTimeout : Errc::kUnavailable, describe(*code, text));
}

}  // namespace oxbow::p2p
