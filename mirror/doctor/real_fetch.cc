// Questions by HTTP, all at once on one thread: libcurl says how far each came, which is what tells a wrong name from a
// closed port and that from a bad certificate.
#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "config/checks.h"
#include "core/encoding.h"
#include "mirror/doctor/real_system.h"

namespace oxbow::mirror::doctor {
namespace {

constexpr std::size_t kMaxBodyBytes = 16UL << 20;  // the table of 10,000 peers is a few MiB
constexpr std::size_t kMaxHeaders = 100;

class Call {
 public:
  Call(const HttpAsk& ask, std::string agent, std::chrono::milliseconds timeout) : easy_(curl_easy_init()) {
    if (!easy_) return;
    for (const auto& line : ask.headers) headers_.reset(curl_slist_append(headers_.release(), line.c_str()));
    set(CURLOPT_URL, ask.url.c_str());
    set(CURLOPT_USERAGENT, agent.c_str());
    set(CURLOPT_PRIVATE, this);
    set(CURLOPT_ERRORBUFFER, error_.data());
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);  // a resolver that hangs is left behind
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));  // where every server of ours says its time
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    set(CURLOPT_CERTINFO, 1L);
    set(CURLOPT_HTTPHEADER, headers_.get());
    set(CURLOPT_PROXY, ask.proxy.c_str());  // empty: none, whatever the environment says
    set(CURLOPT_WRITEFUNCTION, &Call::on_body);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_HEADERFUNCTION, &Call::on_header);
    set(CURLOPT_HEADERDATA, this);
    if (!ask.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, ask.unix_socket.c_str());
    if (!ask.ca_file.empty()) {
      set(CURLOPT_CAINFO, ask.ca_file.c_str());
      set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
    }
    if (!ask.certificate_file.empty()) {
      set(CURLOPT_SSLCERT, ask.certificate_file.c_str());
      set(CURLOPT_SSLKEY, ask.key_file.c_str());
    }
    if (ask.any_name) set(CURLOPT_SSL_VERIFYHOST, 0L);
  }

  CURL* easy() const { return easy_.get(); }

  void finish(CURLcode code) {
    reply.at = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    reply.took = std::chrono::milliseconds(time(CURLINFO_TOTAL_TIME_T) / 1000);
    curl_easy_getinfo(easy(), CURLINFO_RESPONSE_CODE, &reply.status);
    read_certificate();
    if (reply.status > 0) {
      reply.stage = HttpReply::Stage::kAnswered;
      const auto date = curl_getdate(reply.header("date").c_str(), nullptr);
      if (date > 0) reply.date = std::chrono::sys_seconds(std::chrono::seconds(date));
      return;
    }
    reply.stage = stage_of(code);
    reply.error = error_[0] != '\0' ? error_.data() : curl_easy_strerror(code);
  }

  HttpReply reply;

 private:
  struct EasyDeleter {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct ListDeleter {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  template <typename Value>
  void set(CURLoption option, Value value) {
    curl_easy_setopt(easy(), option, value);
  }

  curl_off_t time(CURLINFO which) const {
    curl_off_t out = 0;
    curl_easy_getinfo(easy(), which, &out);
    return out;
  }

  HttpReply::Stage stage_of(CURLcode code) const {
    using enum HttpReply::Stage;
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY) return kNothing;
    if (code == CURLE_COULDNT_CONNECT) return kResolved;
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CERTPROBLEM ||
        code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR)
      return kConnected;
    if (time(CURLINFO_NAMELOOKUP_TIME_T) == 0) return kNothing;
    if (time(CURLINFO_CONNECT_TIME_T) == 0) return kResolved;
    const char* scheme = nullptr;
    curl_easy_getinfo(easy(), CURLINFO_SCHEME, &scheme);
    const bool secure = scheme != nullptr && iequals(scheme, "https");
    return secure && time(CURLINFO_APPCONNECT_TIME_T) == 0 ? kConnected : kSecured;
  }

  /// "Expire date:Nov 26 02:43:24 2027 GMT", "X509v3 Subject Alternative Name:DNS:a, DNS:b" of the first certificate.
  void read_certificate() {
    curl_certinfo* chain = nullptr;
    if (curl_easy_getinfo(easy(), CURLINFO_CERTINFO, &chain) != CURLE_OK || chain == nullptr || chain->num_of_certs < 1)
      return;
    for (const auto* line = chain->certinfo[0]; line != nullptr; line = line->next) {
      const std::string_view text(line->data);
      constexpr std::string_view kEnd = "Expire date:", kNames = "X509v3 Subject Alternative Name:";
      if (text.starts_with(kEnd)) {
        std::tm when{};
        if (::strptime(line->data + kEnd.size(), "%b %d %H:%M:%S %Y", &when) != nullptr)
          reply.certificate_end = std::chrono::sys_seconds(std::chrono::seconds(::timegm(&when)));
      } else if (text.starts_with(kNames)) {
        read_names(text.substr(kNames.size()));
      }
    }
  }

  void read_names(std::string_view text) {
    while (!text.empty()) {
      const auto end = text.find(',');
      const auto name = trim(text.substr(0, end));
      if (name.starts_with("DNS:")) reply.certificate_names.emplace_back(name.substr(4));
      text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    }
  }

  static std::size_t on_body(const char* data, std::size_t size, std::size_t count, void* self) {
    auto& body = static_cast<Call*>(self)->reply.body;
    if (body.size() + size * count > kMaxBodyBytes) return 0;
    body.append(data, size * count);
    return size * count;
  }

  static std::size_t on_header(const char* data, std::size_t size, std::size_t count, void* self) {
    auto& reply = static_cast<Call*>(self)->reply;
    std::string_view line(data, size * count);
    while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("HTTP/")) reply.headers.clear();  // of a proxy, before
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && reply.headers.size() < kMaxHeaders)
      reply.headers[to_lower(line.substr(0, colon))] = trim(line.substr(colon + 1));
    return size * count;
  }

  std::unique_ptr<CURL, EasyDeleter> easy_;
  std::unique_ptr<curl_slist, ListDeleter> headers_;
  std::array<char, CURL_ERROR_SIZE> error_{};
};

struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

}  // namespace

std::vector<HttpReply> RealSystem::fetch(const std::vector<HttpAsk>& asks, std::chrono::milliseconds timeout) const {
  const std::unique_ptr<CURLM, MultiDeleter> multi(curl_multi_init());
  std::vector<std::unique_ptr<Call>> calls;
  for (const auto& ask : asks) {
    calls.push_back(std::make_unique<Call>(ask, "oxbow-doctor/" + version_, timeout));
    if (!calls.back()->easy()) return std::vector<HttpReply>(asks.size());
    curl_multi_add_handle(multi.get(), calls.back()->easy());
  }
  for (int running = 1; running > 0;) {
    if (curl_multi_perform(multi.get(), &running) != CURLM_OK) break;
    if (running > 0) curl_multi_poll(multi.get(), nullptr, 0, 200, nullptr);
  }
  int left = 0;
  while (const auto* message = curl_multi_info_read(multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Call* call = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
    call->finish(message->data.result);
  }
  std::vector<HttpReply> out;
  for (const auto& call : calls) {
    curl_multi_remove_handle(multi.get(), call->easy());
    out.push_back(std::move(call->reply));
  }
  return out;
}

}  // namespace oxbow::mirror::doctor
