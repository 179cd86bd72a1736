#include "config/loader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace oxbow::config {
namespace {

std::string all(const std::vector<Diagnostic>& diagnostics) {
  std::string out;
  for (const auto& diagnostic : diagnostics) out += to_string(diagnostic) + "\n";
  return out;
}

std::string errors_of(std::string_view toml, const Environment& environment = {}, const Overrides& overrides = {}) {
  const auto loaded = load_text(toml, "t.toml", environment, overrides);
  return loaded ? "" : all(loaded.error());
}

const Registry* find(const Config& config, std::string_view name) {
  for (const auto& registry : config.registries) {
    if (registry.name == name) return &registry;
  }
  return nullptr;
}

// No file at all is a working mirror of the public registries, on loopback.
TEST(Load, DefaultsAreAWorkingMirror) {
  const auto loaded = load(std::nullopt);
  ASSERT_TRUE(loaded) << all(loaded.error());
  EXPECT_TRUE(loaded->warnings.empty()) << all(loaded->warnings);
  const auto& config = loaded->config;
  EXPECT_EQ(config.client.listen, (std::vector<std::string>{"127.0.0.1:5050", "[::1]:5050"}));
  EXPECT_EQ(config.client.default_registry, "docker.io");
  EXPECT_EQ(config.client.drain_timeout, std::chrono::seconds(10));
  EXPECT_EQ(config.storage.budget, (Amount{true, 10, 0}));
  EXPECT_EQ(config.limits.memory, 256ULL << 20);
  EXPECT_EQ(config.routing.strategy, Strategy::kSwarm);
  const auto* hub = find(config, "docker.io");
  ASSERT_NE(hub, nullptr);
  EXPECT_EQ(hub->upstreams, std::vector<std::string>{"https://registry-1.docker.io"});
  EXPECT_EQ(hub->tag_ttl, std::chrono::seconds(5));
  EXPECT_EQ(hub->stale_if_error, std::chrono::hours(24));
  EXPECT_EQ(hub->max_connections, 64U);
  EXPECT_NE(find(config, "registry.k8s.io"), nullptr);
}

// Every key of a full file arrives in its field.
TEST(Load, ReadsEverySection) {
  const auto loaded = load_text(R"(
[client]
listen = ["0.0.0.0:5050"]
tls = { certificate = "/c.pem", key = "/k.pem" }
default_registry = "corp"
allow_any_registry = true
drain_timeout = "3s"
[storage]
directory = "/data"
budget = "200GiB"
free_space_floor = "1GiB"
io_engine = "threads"
[[registry]]
name = "Registry.Corp:5000"
aliases = ["corp"]
upstreams = ["https://a.corp:5000", "http://b.corp/path"]
credentials = "node"
credential_source = { kubelet_provider = { bin_dir = "/bin", config = "/cfg" } }
access_ttl = "1m"
tag_ttl = 0
stale_if_error = "7d"
allow = ["team/*"]
deny = ["team/secret"]
bandwidth = "10MB"
[peer]
name = "node-7"
listen = "10.0.0.7:5051"
location = ["zone-a", "rack-12"]
weight = 2
tls = { ca = "/ca", certificate = "/c", key = "/k" }
[membership]
provider = "dns"
name = "oxbow.corp"
[admin]
listen = ""
[limits]
memory = "1GiB"
upstream_bandwidth = 1000
[log]
level = "debug"
format = "json"
)",
                                "t.toml");
  ASSERT_TRUE(loaded) << all(loaded.error());
  const auto& config = loaded->config;
  EXPECT_EQ(config.client.tls.key, "/k.pem");
  EXPECT_TRUE(config.client.allow_any_registry);
  EXPECT_EQ(config.storage.budget, (Amount{false, 0, 200ULL << 30}));
  EXPECT_EQ(config.storage.io_engine, IoEngine::kThreads);
  const auto* corp = find(config, "registry.corp:5000");
  ASSERT_NE(corp, nullptr);
  EXPECT_EQ(corp->upstreams.size(), 2U);
  EXPECT_EQ(corp->credentials, Credentials::kNode);
  EXPECT_EQ(corp->credential_source.kubelet_provider_bin_dir, "/bin");
  EXPECT_EQ(corp->tag_ttl, std::chrono::seconds(0));
  EXPECT_EQ(corp->bandwidth, 10'000'000U);
  EXPECT_EQ(config.peer.weight, 2.0);
  EXPECT_EQ(config.membership.provider, MembershipProvider::kDns);
  EXPECT_EQ(config.admin.listen, "");
  EXPECT_EQ(config.log.format, LogFormat::kJson);
  EXPECT_EQ(all(loaded->warnings),
            "t.toml:16:13: registry registry.corp:5000 upstreams: sends the node's credentials over plaintext http\n"
            "t.toml:17:15: registry registry.corp:5000 credentials: everybody who reaches client.listen may read what "
            "this node may read at registry.corp:5000\n");
}

// Everything that is wrong comes at once, each with its place and what would be right.
TEST(Load, ReportsEveryErrorWithItsPlace) {
  EXPECT_EQ(
      errors_of(R"([client]
lisen = ["127.0.0.1:1"]
drain_timeout = 5
allow_any_registry = "yes"
[storage]
budget = "110%"
io_engine = "uring"
[stroage]
[limits]
memory = "1MiB"
h2_streams = 1.5
[[registry]]
name = "x.io"
upstreams = ["ftp://x.io"]
tagttl = "5s"
credential_source = { helpr = "x" }
)"),
      "t.toml:2:1: unknown key client.lisen; did you mean listen?\n"
      "t.toml:3:17: client.drain_timeout: must be a duration such as \"5s\" or \"24h\"\n"
      "t.toml:4:22: client.allow_any_registry: must be true or false\n"
      "t.toml:6:10: storage.budget: must be a share between 0% and 100%\n"
      "t.toml:7:13: storage.io_engine: must be one of auto, io_uring, threads\n"
      "t.toml:8:2: unknown key stroage; did you mean storage?\n"
      "t.toml:10:10: limits.memory: must be at least 64MiB\n"
      "t.toml:11:14: limits.h2_streams: must be a whole number\n"
      "t.toml:14:13: registry x.io upstreams: \"ftp://x.io\" is not an http:// or https:// URL; write for example "
      "\"https://registry-1.docker.io\"\n"
      "t.toml:15:1: unknown key tagttl; did you mean tag_ttl?\n"
      "t.toml:16:23: unknown key credential_source.helpr; did you mean helper?\n");
}

// A syntax error has its place too.
TEST(Load, ReportsSyntaxErrors) {
  const auto errors = errors_of("[client]\nlisten = [\"127.0.0.1:1\"\n[log]\n");
  EXPECT_TRUE(errors.starts_with("t.toml:3:")) << errors;
}

// Checks between two values point at one of them.
TEST(Load, ReportsContradictions) {
  EXPECT_EQ(errors_of(R"([client]
default_registry = "nowhere.io"
[client.tls]
certificate = "/c"
[membership]
username = "u"
[[registry]]
name = "a.io"
aliases = ["quay.io"]
[[registry]]
name = "b.io"
deny = []
credentials = "node"
credential_source = { username = "u", helper = "h" }
)"),
            "t.toml:2:20: client.default_registry: \"nowhere.io\" is not a configured registry; write the name of one, "
            "or \"\" for none\n"
            "t.toml:4:15: client.tls.certificate: client.tls.certificate and client.tls.key are needed together\n"
            "t.toml:6:12: membership.username: username and password_file are needed together\n"
            "t.toml:9:11: registry a.io aliases: \"quay.io\" is already a name of quay.io\n"
            "t.toml:14:34: registry b.io credential_source.username: username and password_file are needed together\n"
            "t.toml:14:48: registry b.io credential_source: names more than one source; keep one of docker_config, "
            "helper, kubelet_provider, username\n");
}

// A node with members needs an address for them, and certificates or a loud word.
TEST(Load, SaysWhatTheRingNeeds) {
  EXPECT_EQ(errors_of("[membership]\npeers = [\"10.0.0.8:5051\"]\n"),
            "t.toml: peer.listen: is needed to have peers: the address on which they reach this node\n");
  EXPECT_TRUE(errors_of("[peer]\nlisten = \"10.0.0.7:5051\"\n").contains("peer.tls.ca: peers need certificates"));
  EXPECT_EQ(errors_of("[peer]\nlisten = \"10.0.0.7:5051\"\n[peer.tls]\ninsecure = true\n"), "");
  EXPECT_TRUE(errors_of("[membership]\nprovider = \"etcd\"\n").contains("membership.endpoints: is needed by the etcd"));
}

// With etcd a node says itself where it is: an address that nobody can connect to would split the cluster.
TEST(Load, EtcdNeedsAnAddressToConnectTo) {
  const auto errors = [](const std::string& listen, const std::string& advertise) {
    return errors_of("[peer]\nlisten = \"" + listen + "\"\nadvertise = \"" + advertise +
                     "\"\n[peer.tls]\ninsecure = true\n"
                     "[membership]\nprovider = \"etcd\"\nendpoints = [\"http://10.0.0.1:2379\"]\n");
  };
  EXPECT_EQ(errors("10.0.0.7:5051", ""), "");
  EXPECT_EQ(errors("0.0.0.0:5051", "10.0.0.7:5051"), "");
  for (const auto* listen : {"0.0.0.0:5051", "[::]:5051", "fd:3", "10.0.0.7:0"})
    EXPECT_TRUE(errors(listen, "").contains("peer.advertise: is needed")) << listen;
  EXPECT_TRUE(errors("10.0.0.7:5051", "0.0.0.0:5051").contains("peer.advertise: is needed"));
}

// Weights beyond what the ring tells apart are said.
TEST(Load, SaysWhatAWeightCountsAs) {
  const std::string peer = "[peer]\nlisten = \"10.0.0.7:5051\"\ntls = { insecure = true }\n";
  const auto heavy = load_text(peer + "weight = 50\n", "t.toml");
  ASSERT_TRUE(heavy) << all(heavy.error());
  EXPECT_TRUE(all(heavy->warnings).contains("peer.weight: counts as 16")) << all(heavy->warnings);
  const auto right = load_text(peer + "weight = 16\n", "t.toml");
  ASSERT_TRUE(right) << all(right.error());
  EXPECT_FALSE(all(right->warnings).contains("peer.weight")) << all(right->warnings);
}

// In a pod the provider's name is all that has to be said; what would become part of a URL is checked.
TEST(Load, KubernetesNeedsNothingMore) {
  const std::string peer = "[peer]\nlisten = \"10.0.0.7:5051\"\n[peer.tls]\ninsecure = true\n";
  const auto loaded = load_text(peer + "[membership]\nprovider = \"kubernetes\"\n", "t.toml");
  ASSERT_TRUE(loaded) << all(loaded.error());
  const auto& membership = loaded->config.membership;
  EXPECT_EQ(membership.provider, MembershipProvider::kKubernetes);
  EXPECT_EQ(membership.service, "oxbow");
  EXPECT_EQ(membership.port_name, "peers");
  EXPECT_EQ(membership.location_labels.back(), "topology.kubernetes.io/zone");
  EXPECT_TRUE(loaded->warnings.empty()) << all(loaded->warnings);
  EXPECT_TRUE(errors_of("[membership]\nservice = \"a/b\"\n").contains("membership.service: \"a/b\" must be the name"));
  EXPECT_TRUE(errors_of("[membership]\nnamespace = \"A\"\n").contains("membership.namespace: \"A\" must be"));
  EXPECT_TRUE(
      errors_of(peer + "[membership]\nprovider = \"kubernetes\"\nservice = \"\"\n").contains("is needed by the"));
  const auto unused = load_text("[membership]\napi_server = \"https://h:6443\"\n", "t.toml");
  ASSERT_TRUE(unused) << all(unused.error());
  EXPECT_TRUE(all(unused->warnings).contains("membership.api_server: is not used: it is for the kubernetes provider"));
}

// A variable beats the file, a flag beats the variable, and lists are written with commas.
TEST(Load, LaterLayersWin) {
  const auto loaded = load_text("[client]\nlisten = [\"127.0.0.1:1\"]\n[log]\nlevel = \"warn\"\n", "t.toml",
                                {{"OXBOW_CLIENT_LISTEN", "127.0.0.1:2, [::1]:2"}, {"OXBOW_LOG_LEVEL", "error"}},
                                {{"log.level", "debug"}});
  ASSERT_TRUE(loaded) << all(loaded.error());
  EXPECT_EQ(loaded->config.client.listen, (std::vector<std::string>{"127.0.0.1:2", "[::1]:2"}));
  EXPECT_EQ(loaded->config.log.level, LogLevel::kDebug);
}

// Bad variables and flags are errors that name them; what Kubernetes sets for a service called oxbow is not ours.
TEST(Load, NamesBadVariablesAndFlags) {
  EXPECT_EQ(errors_of("", {{"OXBOW_LIMITS_MEMORY", "lots"}}, {{"client.lisen", "x"}, {"limits.ranges", "1e9"}}),
            "environment: OXBOW_LIMITS_MEMORY: \"lots\" is not a size; write for example \"64MiB\" or \"200GiB\"\n"
            "command line: limits.ranges: must be a whole number\n"
            "command line: unknown key client.lisen; did you mean client.listen?\n");
  const auto loaded = load_text("", "t.toml",
                                {{"OXBOW_SERVICE_HOST", "10.0.0.1"},
                                 {"OXBOW_PORT_5050_TCP", "tcp://10.0.0.1:5050"},
                                 {"OXBOW_CLIENT_LISTN", "x"},
                                 {"HOME", "/root"}});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(all(loaded->warnings),
            "environment: OXBOW_CLIENT_LISTN names no option; did you mean OXBOW_CLIENT_LISTEN?\n");
}

// A built-in registry keeps what the file does not say, also when it is called by an alias; a new one is added.
TEST(Load, RegistriesExtendTheBuiltInOnes) {
  const auto loaded = load_text(R"([[registry]]
name = "index.docker.io"
tag_ttl = "1h"
[[registry]]
name = "corp.io"
)",
                                "t.toml");
  ASSERT_TRUE(loaded) << all(loaded.error());
  const auto* hub = find(loaded->config, "docker.io");
  ASSERT_NE(hub, nullptr);
  EXPECT_EQ(hub->tag_ttl, std::chrono::hours(1));
  EXPECT_EQ(hub->upstreams, std::vector<std::string>{"https://registry-1.docker.io"});
  ASSERT_NE(find(loaded->config, "corp.io"), nullptr);
  EXPECT_EQ(find(loaded->config, "corp.io")->upstreams, std::vector<std::string>{"https://corp.io"});
  EXPECT_EQ(loaded->config.registries.size(), builtin_registries().size() + 1);
}

// The built-in registries can be left out, by every layer.
TEST(Load, BuiltInRegistriesCanBeLeftOut) {
  constexpr std::string_view kOne = "[[registry]]\nname = \"corp.io\"\n";
  for (const auto& loaded :
       {load_text("[client]\nbuiltin_registries = false\ndefault_registry = \"\"\n" + std::string(kOne), "t.toml"),
        load_text(kOne, "t.toml",
                  {{"OXBOW_CLIENT_BUILTIN_REGISTRIES", "false"}, {"OXBOW_CLIENT_DEFAULT_REGISTRY", ""}})}) {
    ASSERT_TRUE(loaded) << all(loaded.error());
    ASSERT_EQ(loaded->config.registries.size(), 1U);
    EXPECT_EQ(loaded->config.registries[0].name, "corp.io");
  }
}

// One registry twice would leave open which of the two holds.
TEST(Load, RefusesARegistryTwice) {
  EXPECT_EQ(errors_of("[[registry]]\nname = \"a.io\"\n[[registry]]\nname = \"A.io\"\n"),
            "t.toml:3:1: registry a.io is already given at line 1\n");
  EXPECT_EQ(errors_of("[[registry]]\ntag_ttl = \"1s\"\n"), "t.toml:1:1: registry: must have a name\n");
  EXPECT_EQ(errors_of("registry = 1\n"),
            "t.toml:1:12: registry must be written as [[registry]], once for each registry\n");
}

// What `show` prints loads to the same configuration, and holds no password.
TEST(Show, RoundTripsAndMasks) {
  const auto loaded = load_text(R"([limits]
memory = 123456789
[storage]
budget = "12.5%"
[[registry]]
name = "a.io"
proxy = "http://user:hunter2@proxy:3128"
deny = ["a\\b"]
)",
                                "t.toml");
  ASSERT_FALSE(loaded);  // a backslash is no repository name
  const auto good = load_text(R"([limits]
memory = 123456789
[storage]
budget = "12.5%"
directory = "/data/ö \"x\""
[[registry]]
name = "a.io"
proxy = "http://user:hunter2@proxy:3128"
)",
                              "t.toml");
  ASSERT_TRUE(good) << all(good.error());
  const auto shown = show(good->config);
  EXPECT_EQ(shown.find("hunter2"), std::string::npos);
  EXPECT_NE(shown.find("http://***@proxy:3128"), std::string::npos);
  const auto again = load_text(shown, "shown.toml");
  ASSERT_TRUE(again) << all(again.error()) << shown;
  EXPECT_EQ(show(again->config), shown);
}

// A refused proxy is not printed either.
TEST(Load, NeverRepeatsAPassword) {
  const auto errors = errors_of(
      "[[registry]]\nname = \"a.io\"\nproxy = \"gopher://u:hunter2@p\"\nupstreams = [\"https://u:hunter2@a.io\"]\n");
  EXPECT_NE(errors, "");
  EXPECT_EQ(errors.find("hunter2"), std::string::npos) << errors;
}

// SIGHUP applies registries and log levels; what sockets and disks were opened with needs a restart.
TEST(Reload, SaysWhatNeedsARestart) {
  const auto running = defaults();
  auto updated = running;
  updated.log.level = LogLevel::kDebug;
  updated.registries[0].tag_ttl = std::chrono::seconds(1);
  std::vector<std::string> needs_restart;
  EXPECT_TRUE(can_reload(running, updated, needs_restart));
  updated.client.listen = {"127.0.0.1:9"};
  updated.storage.directory = "/elsewhere";
  EXPECT_FALSE(can_reload(running, updated, needs_restart));
  EXPECT_EQ(needs_restart, (std::vector<std::string>{"client.listen", "storage.directory"}));
}

// A missing file, a directory and an unreadable one are errors with the path, not a crash or silent defaults.
TEST(Load, SaysWhyAFileCannotBeRead) {
  const auto missing = load("/nonexistent/oxbow.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(all(missing.error()), "/nonexistent/oxbow.toml: cannot be read: No such file or directory\n");
  EXPECT_FALSE(load("/"));
}

// A file on disk is read, and its path stands in the diagnostics.
TEST(Load, ReadsAFile) {
  const auto path = testing::TempDir() + "oxbow_loader_test_" + std::to_string(::getpid()) + ".toml";
  std::ofstream(path) << "[log]\nlevel = \"loud\"\n";
  const auto loaded = load(path);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(all(loaded.error()), path + ":2:9: log.level: must be one of debug, info, warn, error\n");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace oxbow::config
