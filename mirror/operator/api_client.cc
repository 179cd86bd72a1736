#include "mirror/operator/api_client.h"

#include <curl/curl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <memory>

#include "core/bounded_json.h"
#include "mirror/version.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

constexpr JsonLimits kAnswerLimits{.bytes = 64UL * 1024 * 1024, .depth = 32, .values = 4'000'000};
constexpr long kConnectTimeoutMs = 3'000;

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Answer {
  CURLcode code = CURLE_OK;
  long status = 0;
  std::string body;
  bool too_large = false;
  std::string error_text;
};

std::size_t on_body(char* data, std::size_t, std::size_t length, void* to) {
  auto& answer = *static_cast<Answer*>(to);
  if (answer.body.size() + length > kAnswerLimits.bytes) {
    answer.too_large = true;
    return CURL_WRITEFUNC_ERROR;
  }
  answer.body.append(data, length);
  return length;
}

Errc code_of(long status) {
  if (status == 400 || status == 405) return Errc::kInvalid;
  if (status == 403) return Errc::kDenied;
  if (status == 404) return Errc::kNotFound;
  if (status == 409) return Errc::kBusy;
  if (status == 503) return Errc::kUnavailable;
  return Errc::kIo;
}

/// Where nobody listened: another address may be tried.
bool nobody_there(CURLcode code) { return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST; }

/// Why this user cannot open the socket; 0 when the file lets it.
int socket_error(const std::string& path) { return ::access(path.c_str(), R_OK | W_OK) == 0 ? 0 : errno; }

/// Every interface is reached over loopback.
std::string reachable(std::string address) {
  for (const auto& [any, loopback] : {std::pair{"0.0.0.0:", "127.0.0.1:"}, std::pair{"[::]:", "[::1]:"}}) {
    if (address.starts_with(any)) address.replace(0, std::string_view(any).size(), loopback);
  }
  return address;
}

Result<Json> understand(const Answer& answer, const std::string& where) {
  auto json = parse_json_object(answer.body, kAnswerLimits);
  if (answer.status >= 200 && answer.status < 300) {
    if (!json) return std::unexpected(std::move(json.error()).in("what " + where + " answers is not from Oxbow"));
    return json;
  }
  auto what = json ? string_at(*json, "error") : std::string();
  if (what.empty()) what = fmt::format("{} answers with status {}; is it Oxbow's admin address?", where, answer.status);
  return fail(code_of(answer.status), std::move(what));
}

}  // namespace

struct ApiClient::Question {
  const char* method;
  const std::string& path;
  std::string body;
  bool changes;

  Answer ask(const std::string& socket, const std::string& base, std::chrono::milliseconds timeout) const;
};

Answer ApiClient::Question::ask(const std::string& socket, const std::string& base,
                                std::chrono::milliseconds timeout) const {
  const std::unique_ptr<CURL, FreeEasy> easy(curl_easy_init());
  OXBOW_INVARIANT(easy != nullptr);
  std::unique_ptr<curl_slist, FreeList> headers(curl_slist_append(nullptr, "Expect:"));
  if (!body.empty()) curl_slist_append(headers.get(), "Content-Type: application/json");
  Answer answer;
  char text[CURL_ERROR_SIZE] = {};
  const auto url = base + path;
  const std::string agent = std::string("oxbow/") + kVersion;
  curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, text);
  curl_easy_setopt(easy.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy.get(), CURLOPT_PROXY, "");  // a daemon is never behind the proxy for the outside world
  if (!socket.empty()) curl_easy_setopt(easy.get(), CURLOPT_UNIX_SOCKET_PATH, socket.c_str());
  curl_easy_setopt(easy.get(), CURLOPT_USERAGENT, agent.c_str());
  curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(easy.get(), CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  curl_easy_setopt(easy.get(), CURLOPT_CUSTOMREQUEST, method);
  if (!body.empty()) {
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, body.c_str());
  }
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &answer);
  answer.code = curl_easy_perform(easy.get());
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  answer.error_text = *text != '\0' ? text : curl_easy_strerror(answer.code);
  return answer;
}

AdminAddress AdminAddress::from(const config::Admin& config) {
  return {config.socket, config.listen.empty() ? "" : "http://" + reachable(config.listen)};
}

Result<AdminAddress> AdminAddress::parse(std::string_view text) {
  if (text.starts_with("unix:"))
    text.remove_prefix(5);
  else if (text.starts_with("http://") || text.starts_with("https://")) {
    while (text.ends_with('/')) text.remove_suffix(1);
    return AdminAddress{"", std::string(text)};
  }
  if (text.find('/') != std::string_view::npos) return AdminAddress{std::string(text), ""};
  if (text.find(':') != std::string_view::npos) return AdminAddress{"", "http://" + reachable(std::string(text))};
  return fail(Errc::kInvalid, fmt::format("--admin {}: write the path of a socket, /run/oxbow/admin.sock, or a URL, "
                                          "http://127.0.0.1:5052",
                                          text));
}

std::string AdminAddress::text() const {
  if (socket.empty()) return url;
  return url.empty() ? socket : socket + " and " + url;
}

Result<Json> ApiClient::get(const std::string& path) const { return ask({"GET", path, "", false}); }

Result<Json> ApiClient::post(const std::string& path, const Json& body) const {
  return ask({"POST", path, body.dump(-1, ' ', false, Json::error_handler_t::replace), true});
}

Result<Json> ApiClient::remove(const std::string& path) const { return ask({"DELETE", path, "", true}); }

Error ApiClient::no_answer(const Question& question) const {
  const int error = address_.socket.empty() ? 0 : socket_error(address_.socket);
  if (error == EACCES || error == EPERM) {
    return {Errc::kDenied, fmt::format("this user may not open {}: run as root, or join the group that owns it "
                                       "(usermod -aG oxbow NAME)",
                                       address_.socket)};
  }
  if (question.changes && address_.socket.empty()) {
    return {Errc::kInvalid, fmt::format("changes go through the daemon's Unix socket, and {} is none: set admin.socket "
                                        "or give --admin /run/oxbow/admin.sock",
                                        address_.url.empty() ? "there" : address_.url)};
  }
  return {Errc::kUnavailable,
          fmt::format("no daemon answers at {}: is it running? systemctl status oxbow\n"
                      "  (--admin PATH|URL asks another address; it is admin.socket or admin.listen of its "
                      "configuration)",
                      question.changes ? address_.socket : address_.text())};
}

Result<Json> ApiClient::ask(const Question& question) const {
  Answer answer{.code = CURLE_COULDNT_CONNECT, .status = 0, .body = {}, .too_large = false, .error_text = {}};
  std::string where;
  if (!address_.socket.empty() && socket_error(address_.socket) == 0) {
    where = address_.socket;
    answer = question.ask(address_.socket, "http://localhost", timeout_);
  }
  // A change is asked over TCP only where it is all there is: the daemon then says why not.
  const bool try_tcp = !address_.url.empty() && (!question.changes || address_.socket.empty());
  if (nobody_there(answer.code) && try_tcp) {
    where = address_.url;
    answer = question.ask("", address_.url, timeout_);
  }
  if (nobody_there(answer.code)) return std::unexpected(no_answer(question));
  if (answer.too_large) return fail(Errc::kLimit, where + " answers with more than 64 MiB");
  if (answer.code == CURLE_OPERATION_TIMEDOUT) {
    return fail(Errc::kTimeout, fmt::format("{} has not answered within {} s: journalctl -u oxbow may say why", where,
                                            std::chrono::duration_cast<std::chrono::seconds>(timeout_).count()));
  }
  if (answer.code != CURLE_OK) return fail(Errc::kIo, where + ": " + answer.error_text);
  return understand(answer, where);
}

void AdminOption::add_to(CLI::App& app) {
  app.add_option("--admin", text_,
                 "The daemon to ask: the path of its socket or its admin address, e.g. http://127.0.0.1:5052. Default: "
                 "admin.socket, then admin.listen, of the configuration");
}

Result<std::optional<AdminAddress>> AdminOption::address(
    const std::function<std::optional<config::Config>()>& load) const {
  if (!text_.empty()) {
    auto parsed = AdminAddress::parse(text_);
    if (!parsed) return std::unexpected(std::move(parsed.error()));
    return std::optional(std::move(*parsed));
  }
  const auto config = load();
  if (!config) return std::optional<AdminAddress>();
  auto address = AdminAddress::from(config->admin);
  if (address.socket.empty() && address.url.empty())
    return fail(Errc::kInvalid, "the configuration has neither admin.socket nor admin.listen: there is nothing to ask");
  return std::optional(std::move(address));
}

}  // namespace oxbow::mirror
