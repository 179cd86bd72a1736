// Registries: name, connection, certificate, API, token service, and whether they take the node's credentials.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "config/checks.h"
#include "mirror/doctor/checks.h"
#include "mirror/doctor/json_reading.h"

namespace oxbow::mirror::doctor {
namespace {

using Stage = HttpReply::Stage;
constexpr std::chrono::days kEndsSoon{14};  // of certificates that somebody else renews: most live 90 days

std::string host_of(const std::string& url) {
  const auto begin = url.find("://");
  const auto rest = begin == std::string::npos ? url : url.substr(begin + 3);
  return rest.substr(0, rest.find_first_of("/?"));
}

bool serves(const HttpReply& reply) { return reply.answered() && (reply.status == 200 || reply.status == 401); }

/// The registry says it, and a person may paste it into a shell.
bool is_harmless(const std::string& url) {
  return url.starts_with("http") && std::ranges::all_of(url, [](unsigned char c) {
           return std::isalnum(c) != 0 || std::string_view(":/?&=%.,_~+@-").contains(static_cast<char>(c));
         });
}

/// What is wrong with one URL, and what to do.
struct Trouble {
  std::string what;
  std::string fix;
};

class Examiner {
 public:
  Examiner(const Subject& subject, Findings& out) : subject_(subject), out_(out) {}

  void run() {
    for (const auto& facts : subject_.network.upstreams) look_at(facts);
    look_at_daemons_view();
    if (!good_built_in_.empty())
      out_.ok("upstream.reached", fmt::format("built in, and reached: {}", joined(good_built_in_, 12)));
    for (const auto& [what, names] : bad_built_in_) {
      out_.warn("upstream.built_in",
                fmt::format("built-in registries are not reached ({}): {}", what, joined(names, 12)),
                "Images of these cannot be pulled for the first time. On a node without a way to them that is as it "
                "should be.",
                "client.builtin_registries = false, with a [[registry]] for each that is used; or give them a proxy" +
                    proxy_hint());
    }
    if (subject_.network.upstreams.empty()) {
      out_.warn("upstream.none", "no registry is configured", "Nothing can be pulled through the mirror.",
                "client.builtin_registries = true, or a [[registry]] in oxbow.toml");
    }
  }

 private:
  /// It may be in another network than this program, and behind other variables.
  void look_at_daemons_view() {
    for (const auto& one : list_at(subject_.daemon.status_json, {"registries"})) {
      const auto state = text_at(one, {"state"});
      if (state != "open" && state != "partly_open") continue;
      const auto last = text_at(one, {"last_error"});
      out_.warn("upstream.left_alone",
                fmt::format("the daemon leaves {} of {} alone for now{}{}", state == "open" ? "all URLs" : "one URL",
                            text_at(one, {"name"}), last.empty() ? "" : ": ", last),
                "Requests to it failed in a row; it is tried again by itself.",
                "if it is reached from here: systemctl restart oxbow, and see journalctl -u oxbow -p warning -n 20");
    }
  }

  /// The daemon does not read the variables that other programs take their proxy from.
  std::string proxy_hint() const {
    for (const auto* name : {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"}) {
      const auto value = subject_.system.environment(name);
      if (!value.empty())
        return fmt::format("; {} is set here and not read by oxbow: proxy = \"{}\" in the [[registry]]", name,
                           config::mask_url(value));
    }
    return "";
  }

  Trouble trouble_of(const config::Registry& registry, const std::string& url, const HttpReply& reply) const {
    const auto host = host_of(url);
    const auto bare = host.substr(0, host.rfind(':'));
    switch (reply.stage) {
      case Stage::kNothing:
        return {"name not found: " + reply.error,
                fmt::format("getent hosts {} (see /etc/resolv.conf){}", bare, proxy_hint())};
      case Stage::kResolved:
        return {"no connection: " + reply.error,
                fmt::format("curl -v {}/v2/ (firewall, route, is it up?){}", url, proxy_hint())};
      case Stage::kConnected:
        return {
            "TLS: " + reply.error,
            registry.ca.empty()
                ? fmt::format(
                      "if its CA is your own: ca = \"/path/ca.crt\" in the [[registry]] {}; else renew its certificate",
                      registry.name)
                : fmt::format("compare: openssl s_client -connect {} -CAfile {}",
                              host.contains(':') ? host : host + ":443", registry.ca)};
      case Stage::kSecured:
        return {"no answer: " + reply.error, fmt::format("curl -v {}/v2/{}", url, proxy_hint())};
      case Stage::kAnswered:
        break;
    }
    if (reply.status == 429)
      return {"it answers 429: too many requests", "wait; with credentials the limits are higher (credential_source)"};
    if (reply.status >= 500)
      return {fmt::format("it answers {}", reply.status), "it is the registry's own trouble: ask who runs it"};
    return {fmt::format("it answers {} to /v2/: no registry is at this URL", reply.status),
            fmt::format("correct upstreams of the [[registry]] {}", registry.name)};
  }

  void look_at(const UpstreamFacts& facts) {
    const auto& registry = *facts.registry;
    const bool reached = std::ranges::any_of(facts.urls, serves);
    if (facts.built_in && registry.name != subject_.config.client.default_registry) {
      if (reached)
        good_built_in_.push_back(registry.name);
      else
        bad_built_in_[brief(facts.urls.front())].push_back(registry.name);
      return;
    }
    for (std::size_t i = 0; i < facts.urls.size(); ++i) {
      const auto& url = registry.upstreams[i];
      if (serves(facts.urls[i])) {
        look_at_end(registry, url, facts.urls[i]);
        continue;
      }
      const auto trouble = trouble_of(registry, url, facts.urls[i]);
      const auto text = fmt::format("{} at {}: {}", registry.name, url, trouble.what);
      if (reached || facts.urls[i].status == 429)
        out_.warn("upstream.one_url", text, reached ? "The registry's other URL is used." : "Pulls wait.", trouble.fix);
      else
        out_.fail("upstream.unreached", text, "Only what this node, or a peer, has already can be pulled.",
                  trouble.fix);
    }
    if (!reached) return;
    const bool token_works = look_at_token(facts);
    const bool taken = look_at_credentials(facts);
    if (token_works && taken) out_.ok("upstream.reached", ok_text(facts));
  }

  static std::string ok_text(const UpstreamFacts& facts) {
    const auto& first = *std::ranges::find_if(facts.urls, serves);
    return fmt::format("{} answers in {} ms{}", facts.registry->name, first.took.count(),
                       facts.node && facts.node->has_credential ? ", and takes the node's credentials" : "");
  }

  static std::string brief(const HttpReply& reply) {
    if (reply.stage == Stage::kNothing) return "name not found";
    if (reply.stage == Stage::kResolved) return "no connection";
    if (reply.stage == Stage::kConnected) return "TLS fails";
    return reply.answered() ? fmt::format("they answer {}", reply.status) : "no answer";
  }

  void look_at_end(const config::Registry& registry, const std::string& url, const HttpReply& reply) {
    if (!reply.certificate_end) return;
    const auto left = *reply.certificate_end - subject_.system.now();
    if (left > kEndsSoon) return;
    out_.warn("upstream.certificate",
              fmt::format("{}: the certificate of {} expires in {}", registry.name, host_of(url), human_time(left)),
              "From then on nothing new can be pulled from it.", "tell who runs the registry");
  }

  bool look_at_token(const UpstreamFacts& facts) {
    if (!facts.token) return true;
    const auto& reply = *facts.token;
    if (reply.answered() && reply.status < 500) return true;
    const auto host = host_of(facts.realm);
    out_.fail(
        "upstream.token",
        fmt::format("{}: its token service {} {}", facts.registry->name, host,
                    reply.answered() ? fmt::format("answers {}", reply.status) : "is not reached: " + reply.error),
        "No token, no pull: the registry itself answers, and lets nobody in.",
        is_harmless(facts.realm) ? fmt::format("curl -v '{}'{}", facts.realm, proxy_hint())
                                 : "ask who runs the registry: the address that it names is none");
    return false;
  }

  bool look_at_credentials(const UpstreamFacts& facts) {
    if (!facts.node) return true;
    const auto& registry = *facts.registry;
    const auto& answer = *facts.node;
    const auto source = source_name(registry.credential_source);
    if (answer.source_error) {
      if (answer.source_error->code() == Errc::kDenied && subject_.system.user() != 0) {
        out_.skipped("upstream.credentials_hidden",
                     fmt::format("{}: {} may not be read by this user: sudo oxbow doctor", registry.name, source));
        return false;
      }
      out_.fail("upstream.credentials_source",
                fmt::format("{}: {}", registry.name,
                            answer.source_error->what().contains(source) ? answer.source_error->what()
                                                                         : source + ": " + answer.source_error->what()),
                "Private images of it cannot be pulled.",
                "correct credential_source of the [[registry]], and let the daemon's user read it");
      return false;
    }
    const bool by_image = !registry.credential_source.kubelet_provider_config.empty();
    if (!answer.has_credential && !by_image) {
      out_.warn("upstream.no_credentials",
                fmt::format("{}: {} has nothing for {}", registry.name, source, host_of(registry.upstreams.front())),
                "It is asked as a stranger: private images cannot be pulled.",
                fmt::format("add it there under the name of the upstream: docker login {}",
                            host_of(registry.upstreams.front())));
      return false;
    }
    if (!answer.status) {
      out_.fail("upstream.credentials",
                fmt::format("{}: with the node's credentials: {}", registry.name, answer.status.error().what()),
                "Private images of it cannot be pulled.", "try again; then see the token service of the registry");
      return false;
    }
    if (*answer.status != 401 && *answer.status != 403) return true;
    out_.fail("upstream.refused", fmt::format("{} refuses the node's credentials ({})", registry.name, *answer.status),
              "Private images of it cannot be pulled.",
              fmt::format("put the right ones into {}; it is read again within seconds", source));
    return false;
  }

  static std::string source_name(const config::CredentialSource& source) {
    if (!source.docker_config.empty()) return source.docker_config;
    if (!source.helper.empty()) return "the helper " + source.helper;
    if (!source.kubelet_provider_config.empty()) return source.kubelet_provider_config;
    return source.password_file;
  }

  const Subject& subject_;
  Findings& out_;
  std::vector<std::string> good_built_in_;
  std::map<std::string, std::vector<std::string>> bad_built_in_;
};

}  // namespace

void check_upstreams(const Subject& subject, Findings& out) { Examiner(subject, out).run(); }

}  // namespace oxbow::mirror::doctor
