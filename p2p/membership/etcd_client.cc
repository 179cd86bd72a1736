#include "p2p/membership/etcd_client.h"

#include <fstream>
#include <iterator>

#include "core/log.h"
#include "p2p/membership/etcd_json.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxPasswordBytes = 4096;

Result<std::string> read_password(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Errc::kInvalid, "the password file " + path + " cannot be read");
  std::string password(kMaxPasswordBytes, '\0');
  file.read(password.data(), static_cast<std::streamsize>(password.size()));
  password.resize(static_cast<std::size_t>(file.gcount()));
  while (password.ends_with('\n') || password.ends_with('\r')) password.pop_back();
  return password;
}

/// Another endpoint may do better; what etcd itself has refused, all refuse.
bool worth_another(Errc code) { return code == Errc::kUnavailable || code == Errc::kTimeout; }

/// Hands a stream on and gives it up when it hangs. TCP does not tell: the kernel of a frozen server, or a proxy's,
/// goes on acknowledging.
class BoundedStream {
 public:
  BoundedStream(const StreamSink& to, const StreamLimits& limits)
      : to_(to), allowed_(limits.first_line), next_line_(limits.next_line) {}

  StreamSink sink() {
    return {.on_line = [this](std::string_view line) { return take(line); },
            .on_turn = [this] { return turn(); },
            .on_open = to_.on_open};
  }
  /// Why it was given up, if that was the reason.
  std::optional<Error> hung() const {
    if (!hung_) return std::nullopt;
    const auto seconds = std::chrono::duration<double>(allowed_).count();
    return Error(Errc::kTimeout, fmt::format("the stream has said nothing for {} s", seconds));
  }

 private:
  Result<> take(std::string_view line) {
    heard_ = std::chrono::steady_clock::now();
    allowed_ = next_line_;
    return to_.on_line(line);
  }
  std::optional<std::chrono::milliseconds> turn() {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(heard_ + allowed_ - std::chrono::steady_clock::now());
    hung_ = left <= std::chrono::milliseconds(0);
    const auto wait = to_.on_turn();
    if (hung_ || !wait) return std::nullopt;
    return std::min(*wait, left);
  }

  const StreamSink& to_;
  std::chrono::milliseconds allowed_;
  const std::chrono::milliseconds next_line_;
  std::chrono::steady_clock::time_point heard_ = std::chrono::steady_clock::now();
  bool hung_ = false;
};

}  // namespace

Result<EtcdOptions> check_etcd_options(EtcdOptions options) {
  if (options.endpoints.empty()) return fail(Errc::kInvalid, "etcd: no endpoints");
  bool plain = false;
  for (auto& endpoint : options.endpoints) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    // It may hold a password: it is not repeated.
    if (endpoint.find('@') != std::string::npos)
      return fail(Errc::kInvalid, "etcd: an endpoint has a name or password in it; use username and password_file");
    const bool http = endpoint.starts_with("http://") && endpoint.size() > 7;
    if (!http && !(endpoint.starts_with("https://") && endpoint.size() > 8))
      return fail(Errc::kInvalid, "etcd: the endpoint '" + endpoint + "' is not http(s)://host:port");
    plain = plain || http;
  }
  if (options.prefix.empty()) return fail(Errc::kInvalid, "etcd: the prefix is empty");
  if (!options.prefix.ends_with('/')) options.prefix += '/';
  if (options.username.empty() != options.password_file.empty())
    return fail(Errc::kInvalid, "etcd: username and password_file go together");
  if (options.certificate_file.empty() != options.key_file.empty())
    return fail(Errc::kInvalid, "etcd: certificate_file and key_file go together");
  if (options.lease_ttl < std::chrono::seconds(1) || options.lease_ttl > std::chrono::hours(1))
    return fail(Errc::kInvalid, "etcd: lease_ttl must be 1 s to 1 h");
  if (plain && !options.username.empty()) log::warn("the password for etcd travels in plain text: use https endpoints");
  return options;
}

EtcdClient::EtcdClient(const EtcdOptions& options, StoppableThread* owner) : options_(options), owner_(owner) {
  connect_anew();
}

CallRequest EtcdClient::make_request(const std::string& path, const std::string& body) const {
  CallRequest request{.url = options_.endpoints[endpoint_] + path, .body = body, .headers = {}};
  request.headers.emplace_back("Content-Type: application/json");
  // A member that has lost its quorum would go on serving an old view in silence.
  request.headers.emplace_back("Grpc-Metadata-Hasleader: true");
  if (!token_.empty()) request.headers.push_back("Authorization: " + token_);
  return request;
}

Result<std::string> EtcdClient::call_one(const std::string& path, const std::string& body, const CallOptions& options) {
  auto request = make_request(path, body);
  request.timeout = options.timeout;
  request.finish_when_stopping = options.finish_when_stopping;
  WholeSink sink;
  const auto status = http_->run(request, sink);
  if (sink.too_large) return fail(Errc::kLimit, fmt::format("etcd's answer is larger than {} bytes", kMaxAnswerBytes));
  if (!status) return std::unexpected(status.error().in(options_.endpoints[endpoint_]));
  if (*status != 200) return std::unexpected(etcd::parse_error(*status, sink.body).in(options_.endpoints[endpoint_]));
  return std::move(sink.body);
}

Result<std::string> EtcdClient::call_all(const std::string& path, const std::string& body, const CallOptions& options) {
  for (std::size_t tried = 1;; ++tried) {
    auto answer = call_one(path, body, options);
    if (answer || !worth_another(answer.error().code())) return answer;
    next_endpoint();
    if (tried == options_.endpoints.size() || (http_->sent() && !options.repeatable)) return answer;
  }
}

Result<std::string> EtcdClient::call(const std::string& path, const std::string& body, CallOptions options) {
  const bool with_name = !options_.username.empty();
  const bool had_token = !token_.empty();
  if (with_name && !had_token) {
    if (auto done = authenticate(options); !done) return std::unexpected(done.error());
  }
  auto answer = call_all(path, body, options);
  if (answer || answer.error().code() != Errc::kUnauthorized || !with_name) return answer;
  token_.clear();
  if (!had_token) return answer;
  // Tokens end with time, and with the server that made them; a new one tells that from a name that may not.
  if (auto done = authenticate(options); !done) return std::unexpected(done.error());
  return call_all(path, body, options);
}

Result<> EtcdClient::authenticate(const CallOptions& options) {
  const auto password = read_password(options_.password_file);
  if (!password) return std::unexpected(password.error());
  auto again = options;
  again.repeatable = true;
  const auto answer =
      call_all("/v3/auth/authenticate", etcd::authenticate_request(options_.username, *password), again);
  if (!answer) return std::unexpected(answer.error().in("authenticate"));
  auto token = etcd::parse_token(*answer);
  if (!token) return std::unexpected(std::move(token.error()).in("authenticate"));
  token_ = std::move(*token);
  return {};
}

Error EtcdClient::stream(const std::string& path, const std::string& body, const StreamSink& sink,
                         const StreamLimits& limits) {
  const bool had_token = !token_.empty();
  auto error = stream_once(path, body, sink, limits);
  if (error.code() != Errc::kUnauthorized || !had_token) return error;
  return stream_once(path, body, sink, limits);  // the token had only ended
}

Error EtcdClient::stream_once(const std::string& path, const std::string& body, const StreamSink& sink,
                              const StreamLimits& limits) {
  if (!options_.username.empty() && token_.empty()) {
    if (auto done = authenticate(CallOptions()); !done) return std::move(done.error());
  }
  BoundedStream bounded(sink, limits);
  const auto handed_on = bounded.sink();
  LineSink lines(handed_on);
  const auto status = http_->run(make_request(path, body), lines);
  if (auto hung = bounded.hung()) {
    lines.error = std::move(hung);
    connect_anew();  // HTTP/2 would take the same connection again, and it may be what hangs
  }
  const auto where = options_.endpoints[endpoint_];
  if (!status && !lines.error && status.error().code() == Errc::kCancelled) return status.error();
  auto error = lines.error      ? std::move(*lines.error)
               : !status        ? status.error()
               : *status != 200 ? etcd::parse_error(*status, lines.rest)
                                : Error(Errc::kUnavailable, "the watch has ended");
  if (error.code() == Errc::kUnauthorized || error.code() == Errc::kDenied) {
    token_.clear();
  } else {
    next_endpoint();
  }
  return std::move(error).in(where);
}

}  // namespace oxbow::p2p
