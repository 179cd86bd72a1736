#include "p2p/membership/kube_client.h"

#include <cstdlib>
#include <fstream>

#include "core/encoding.h"
#include "core/log.h"
#include "p2p/membership/address.h"
#include "p2p/membership/kube_json.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxTokenBytes = 64 << 10;
constexpr std::size_t kMaxNameBytes = 253;  // of a DNS subdomain, which names of objects are

Result<std::string> read_word(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Errc::kUnauthorized, path + " cannot be read");
  std::string text(kMaxTokenBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  const bool fits = !text.empty() && text.size() < kMaxTokenBytes &&
                    std::ranges::all_of(text, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (!fits) return fail(Errc::kUnauthorized, path + " does not hold one word");
  return text;
}

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

Result<> check_name(const std::string& name, std::string_view what) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'; };
  if (!name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, fits)) return {};
  return fail(Errc::kInvalid, fmt::format("kubernetes: '{}' is no name of a {}", name.substr(0, kMaxNameBytes), what));
}

Result<std::string> api_server_of_pod() {
  const auto host = variable("KUBERNETES_SERVICE_HOST");
  const auto port = variable("KUBERNETES_SERVICE_PORT");
  auto address = (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port;
  if (host.empty() || !check_address(address))
    return fail(Errc::kInvalid,
                "kubernetes: this is no pod (KUBERNETES_SERVICE_HOST and _PORT name no API server): set api_server");
  return "https://" + address;
}

Result<> check_api_server(std::string& url) {
  while (url.ends_with('/')) url.pop_back();
  // It may hold a password: it is not repeated.
  if (url.find('@') != std::string::npos) return fail(Errc::kInvalid, "kubernetes: api_server has a name in it");
  const bool plain = url.starts_with("http://") && url.size() > 7;
  if (!plain && !(url.starts_with("https://") && url.size() > 8))
    return fail(Errc::kInvalid, "kubernetes: api_server '" + url + "' is not http(s)://host:port");
  if (plain) log::warn("the token for the API server travels in plain text: use an https address");
  return {};
}

}  // namespace

Result<KubernetesOptions> check_kubernetes_options(KubernetesOptions options) {
  if (options.api_server.empty()) {
    auto found = api_server_of_pod();
    if (!found) return std::unexpected(std::move(found.error()));
    options.api_server = std::move(*found);
  }
  if (auto checked = check_api_server(options.api_server); !checked) return std::unexpected(std::move(checked.error()));
  if (options.namespace_name.empty()) {
    auto read = read_word(options.account_directory + "/namespace");
    if (!read)
      return fail(Errc::kInvalid,
                  "kubernetes: no namespace is set, and no service account tells it (" + read.error().what() + ")");
    options.namespace_name = std::move(*read);
  }
  for (const auto& [name, what] :
       {std::pair(&options.namespace_name, "namespace"), std::pair(&options.service, "Service"),
        std::pair(&options.config_map, "ConfigMap")}) {
    if (auto checked = check_name(*name, what); !checked) return std::unexpected(std::move(checked.error()));
  }
  return options;
}

KubeClient::KubeClient(const KubernetesOptions& options, StoppableThread* owner)
    : options_(options), http_({.ca = options.account_directory + "/ca.crt", .certificate = {}, .key = {}}, owner) {}

Result<CallRequest> KubeClient::make_request(const Call& call) const {
  const auto token = read_word(options_.account_directory + "/token");
  if (!token) return std::unexpected(token.error());
  CallRequest request{.url = options_.api_server + call.path, .method = call.method, .body = call.body, .headers = {}};
  request.headers.push_back("Authorization: Bearer " + *token);
  request.headers.emplace_back("Accept: application/json");
  request.headers.emplace_back("User-Agent: oxbow");
  if (!call.body.empty()) request.headers.push_back("Content-Type: " + call.content_type);
  request.timeout = call.timeout;
  return request;
}

Result<std::string> KubeClient::call(const Call& call) {
  const auto request = make_request(call);
  if (!request) return std::unexpected(request.error());
  WholeSink sink;
  const auto status = http_.run(*request, sink);
  if (sink.too_large)
    return fail(Errc::kLimit, fmt::format("the API server's answer is larger than {} bytes", kMaxAnswerBytes));
  if (!status) return std::unexpected(status.error().in(options_.api_server));
  if (*status < 200 || *status > 299) return std::unexpected(kube::parse_status(*status, sink.body));
  return std::move(sink.body);
}

Result<> KubeClient::stream(const std::string& path, std::chrono::milliseconds timeout, const StreamSink& sink) {
  const auto request = make_request({.path = path, .timeout = timeout});
  if (!request) return std::unexpected(request.error());
  LineSink lines(sink);
  const auto status = http_.run(*request, lines);
  if (lines.error) return std::unexpected(std::move(*lines.error));
  if (!status && status.error().code() == Errc::kCancelled) return std::unexpected(status.error());
  if (!status) return std::unexpected(status.error().in(options_.api_server));
  if (*status != 200) return std::unexpected(kube::parse_status(*status, lines.rest));
  return {};
}

}  // namespace oxbow::p2p
