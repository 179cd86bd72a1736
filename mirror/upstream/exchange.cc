#include "mirror/upstream/exchange.h"

#include <sys/socket.h>
#include <unistd.h>

#include "core/encoding.h"
#include "mirror/upstream/address.h"
#include "mirror/upstream/curl_core.h"
#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {
namespace {

constexpr std::size_t kMaxHeadBytes = 256 * 1024;
constexpr long kMaxRedirects = 8;
// Blob bodies come at link speed; larger reads save wake-ups (libcurl still hands them on in 16 KiB pieces).
constexpr long kLargeReadBytes = 128 * 1024;
constexpr long kSmallReadBytes = 32 * 1024;
constexpr long kKeepAliveSeconds = 30;

}  // namespace

class Exchange::Handle final : public EasyHandle {
 public:
  Handle(const Transport& transport, Outgoing outgoing, ExchangeEvents& events)
      : outgoing_(std::move(outgoing)),
        events_(&events),
        allow_private_(transport.allow_private_addresses),
        proxied_(!transport.proxy.empty()) {
    easy = curl_easy_init();
    OXBOW_INVARIANT(easy != nullptr);
    set_request(transport);
    set_connection(transport);
    set_callbacks();
  }

  void finished(CURLcode code) override {
    if (events_ == nullptr) return;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    Ending ending{.code = code,
                  .text = {},
                  .refused_address = refused_address_,
                  .refused_redirect = code == CURLE_UNSUPPORTED_PROTOCOL && status >= 300 && status < 400};
    if (code != CURLE_OK) ending.text = error_text[0] != '\0' ? error_text : curl_easy_strerror(code);
    if (refused_address_) ending.text = "leads to a private address";
    std::exchange(events_, nullptr)->on_ending(std::move(ending));
  }
  void abandon() noexcept override { events_ = nullptr; }

 private:
  void set_request(const Transport& transport) {
    curl_easy_setopt(easy, CURLOPT_URL, outgoing_.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    if (outgoing_.method == http::Method::kHead) curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (outgoing_.method == http::Method::kPost) {
      curl_easy_setopt(easy, CURLOPT_POST, 1L);
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(outgoing_.form.size()));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, outgoing_.form.c_str());
    }
    for (const auto& [name, value] : outgoing_.headers) {
      header_list = curl_slist_append(header_list, (name + (value.empty() ? ";" : ": " + value)).c_str());
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, header_list);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, transport.user_agent.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     static_cast<long>(outgoing_.allow_http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, outgoing_.large_body ? kLargeReadBytes : kSmallReadBytes);
    // libcurl drops `Authorization` when host, port or scheme changes; CURLOPT_UNRESTRICTED_AUTH stays unset for that.
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, outgoing_.follow_redirects ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, kMaxRedirects);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    const bool plain = transport.allow_redirect_to_http || outgoing_.url.starts_with("http://");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, plain ? "http,https" : "https");
  }

  void set_connection(const Transport& transport) {
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // Without it, dropping a handle waits for its resolver thread, on our loop.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, transport.connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, kKeepAliveSeconds);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, kKeepAliveSeconds);
    curl_easy_setopt(easy, CURLOPT_PROXY, transport.proxy.c_str());  // "" also keeps the environment out
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (transport.ca_file.empty()) {
      // libcurl keeps the parsed bundle (some 140 certificates) between connections only where no directory is
      // searched.
      curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
    } else {
      curl_easy_setopt(easy, CURLOPT_CAINFO, transport.ca_file.c_str());
    }
    if (!transport.client_certificate.empty()) {
      curl_easy_setopt(easy, CURLOPT_SSLCERT, transport.client_certificate.c_str());
      curl_easy_setopt(easy, CURLOPT_SSLKEY, transport.client_key.c_str());
    }
  }

  void set_callbacks() {
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_text);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Handle::on_header_line);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Handle::on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    if (allow_private_) return;
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &Handle::on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &Handle::on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, this);
  }

  static std::size_t on_header_line(char* data, std::size_t, std::size_t length, void* self) {
    return static_cast<Handle*>(self)->header_line(std::string_view(data, length)) ? length : 0;
  }
  static std::size_t on_write(char* data, std::size_t, std::size_t length, void* self) {
    auto& handle = *static_cast<Handle*>(self);
    if (handle.events_ == nullptr) return CURL_WRITEFUNC_ERROR;
    const bool taken = handle.events_->on_bytes(std::string_view(data, length));
    if (handle.events_ == nullptr) return CURL_WRITEFUNC_ERROR;
    return taken ? length : CURL_WRITEFUNC_PAUSE;
  }

  bool header_line(std::string_view line) {
    if (events_ == nullptr) return false;
    if (head_done_) return true;  // trailers
    head_bytes_ += line.size();
    if (head_bytes_ > kMaxHeadBytes) return false;
    while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) return end_of_head();
    if (line.starts_with("HTTP/")) {
      headers_ = {};
      head_bytes_ = 0;
      return true;
    }
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return true;
    headers_.add(std::string(trim(line.substr(0, colon))), std::string(trim(line.substr(colon + 1))));
    return true;
  }

  bool end_of_head() {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) return true;
    if (outgoing_.follow_redirects && status >= 300 && status < 400 && headers_.find("Location")) return true;
    head_done_ = true;
    char* url = nullptr;
    curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
    events_->on_incoming({.status = static_cast<int>(status),
                          .headers = std::exchange(headers_, {}),
                          .effective_url = url != nullptr ? url : outgoing_.url});
    return events_ != nullptr;
  }

  static curl_socket_t on_open_socket(void* self, curlsocktype, curl_sockaddr* address) {
    auto& handle = *static_cast<Handle*>(self);
    if (!handle.proxied_ && is_private_address(address->addr)) {
      handle.refused_address_ = true;
      return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }

  /// Connections are shared with registries that may use private addresses, so a new socket is not the only way to one.
  static int on_connected(void* self, char* remote_ip, char*, int, int) {
    auto& handle = *static_cast<Handle*>(self);
    bool refused = !handle.proxied_ && is_private_literal(remote_ip);
    if (handle.proxied_) {
      char* url = nullptr;
      curl_easy_getinfo(handle.easy, CURLINFO_EFFECTIVE_URL, &url);
      const auto parts = split_url(url != nullptr ? url : "");
      refused = !parts || parts->host == "localhost" || is_private_literal(parts->host);
    }
    if (!refused) return CURL_PREREQFUNC_OK;
    handle.refused_address_ = true;
    return CURL_PREREQFUNC_ABORT;
  }

  const Outgoing outgoing_;
  ExchangeEvents* events_;
  const bool allow_private_;
  const bool proxied_;
  http::Headers headers_;
  std::size_t head_bytes_ = 0;
  bool head_done_ = false;
  bool refused_address_ = false;
};

Exchange::Exchange(std::shared_ptr<CurlLoop::Core> core, const Transport& transport, Outgoing outgoing,
                   ExchangeEvents& events)
    : core_(std::move(core)), handle_(std::make_shared<Handle>(transport, std::move(outgoing), events)) {}

Exchange::~Exchange() { core_->remove(handle_); }
void Exchange::start() { core_->add(handle_); }
void Exchange::unpause() {
  // What comes may destroy this exchange before libcurl returns.
  const auto core = core_;
  const auto handle = handle_;
  core->unpause(handle);
}

}  // namespace oxbow::mirror::upstream
