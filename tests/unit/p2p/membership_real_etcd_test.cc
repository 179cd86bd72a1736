// Against the real etcd on the loopback, with a directory of its own; skipped where the program is not installed.
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "p2p/cluster_values.h"
#include "p2p/membership/etcd_client.h"
#include "p2p/membership/etcd_json.h"
#include "p2p/membership/member_format.h"
#include "tests/unit/p2p/membership_support.h"

namespace oxbow::p2p {
namespace {

using namespace test;
namespace fs = std::filesystem;

constexpr const char* kProgram = "/usr/bin/etcd";

/// Below those that the system gives to whoever asks for any: such a one may be somebody else's before etcd has it, or
/// while it is restarted.
int free_port() {
  static int next = 10'000 + ::getpid() * 97 % 20'000;
  for (;;) {
    const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(next));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool bound = ::bind(probe, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
    ::close(probe);
    if (bound) return next++;
    ++next;
  }
}

/// Starts a program; what it says goes to `log`.
pid_t launch(std::vector<std::string> words, const std::string& log) {
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

class RealEtcd : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kProgram)) GTEST_SKIP() << kProgram << " is not installed (Debian: etcd-server)";
    port_ = free_port();
    peer_port_ = free_port();
  }
  void TearDown() override { stop_etcd(); }

  std::string url(int port) const { return (tls_.empty() ? "http" : "https") + fmt::format("://127.0.0.1:{}", port); }
  EtcdOptions options() const {
    EtcdOptions options;
    options.endpoints = {url(port_)};
    options.lease_ttl = std::chrono::seconds(2);
    return options;
  }

  void start_etcd(int port) {
    std::vector<std::string> words{kProgram,
                                   "--data-dir",
                                   directory_ / "data",
                                   "--heartbeat-interval",
                                   "20",
                                   "--election-timeout",
                                   "200",
                                   "--listen-client-urls",
                                   url(port),
                                   "--advertise-client-urls",
                                   url(port),
                                   "--listen-peer-urls",
                                   fmt::format("http://127.0.0.1:{}", peer_port_),
                                   "--initial-advertise-peer-urls",
                                   fmt::format("http://127.0.0.1:{}", peer_port_),
                                   "--initial-cluster",
                                   fmt::format("default=http://127.0.0.1:{}", peer_port_)};
    words.insert(words.end(), tls_.begin(), tls_.end());
    pid_ = launch(words, directory_ / "log");
    auto reachable = options();
    reachable.endpoints = {url(port)};
    with_tls(reachable);
    EtcdClient client(reachable, nullptr);
    ASSERT_TRUE(eventually([&] {
      const auto answer = client.call("/v3/kv/range", etcd::range_request("x", ""));
      return answer || answer.error().code() == Errc::kInvalid;  // "user name is empty": it is up, and wants one
    }));
  }
  void start_etcd() { start_etcd(port_); }
  void stop_etcd() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  std::string call(const std::string& path, const std::string& body, int port) {
    auto there = options();
    there.endpoints = {url(port)};
    const auto answer = EtcdClient(there, nullptr).call(path, body);
    EXPECT_TRUE(answer) << path << ": " << answer.error().what();
    return answer ? *answer : std::string();
  }

  void with_tls(EtcdOptions& options) const {
    if (tls_.empty()) return;
    options.ca_file = directory_ / "cert.pem";
    options.certificate_file = directory_ / "cert.pem";
    options.key_file = directory_ / "key.pem";
  }

  TemporaryDirectory directory_;
  std::vector<std::string> tls_;
  int port_ = 0;
  int peer_port_ = 0;
  pid_t pid_ = -1;
};

Member member_named(const std::string& name) {
  Member member;
  member.name = name;
  member.addresses = {name + ":5051"};
  return member;
}
std::string member_key(const std::string& name) { return "/oxbow/members/" + name; }

struct Node {
  Node(const std::string& name, const EtcdOptions& options)
      : membership(make_etcd_membership(options, member_named(name), metrics)) {
    const auto started = membership->start(views.callback());
    EXPECT_TRUE(started) << started.error().what();
  }
  MetricsRegistry metrics;
  Views views;
  std::unique_ptr<Membership> membership;
};

// Members see each other; one that leaves is gone at once, one that dies when its lease ends, and who lives keeps its
// own.
TEST_F(RealEtcd, JoinLeaveAndDie) {
  start_etcd();
  Node a("a", options());
  ASSERT_TRUE(a.views.reach({"a"}));
  {
    Node b("b", options());
    ASSERT_TRUE(a.views.reach({"a", "b"}));
    ASSERT_TRUE(b.views.reach({"a", "b"}));
  }
  ASSERT_TRUE(a.views.reach({"a"}));
  const auto lease = etcd::parse_lease(call("/v3/lease/grant", etcd::grant_request(1), port_));
  ASSERT_TRUE(lease);
  call("/v3/kv/put", etcd::put_request(member_key("dead"), member_to_json(member_named("dead")), lease->id), port_);
  ASSERT_TRUE(a.views.reach({"a", "dead"}));
  ASSERT_TRUE(a.views.reach({"a"}));
  EXPECT_TRUE(a.membership->trouble().empty()) << a.membership->trouble();
}

// etcd is killed and comes back: the view stays as it was, trouble says so, and what changes afterwards is seen.
TEST_F(RealEtcd, RestartKeepsTheView) {
  start_etcd();
  Node a("a", options()), b("b", options());
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  ASSERT_TRUE(b.views.reach({"a", "b"}));
  const auto views = a.views.count();
  stop_etcd();
  ASSERT_TRUE(eventually([&] { return !a.membership->trouble().empty(); }));
  start_etcd();
  ASSERT_TRUE(eventually([&] { return a.membership->trouble().empty() && b.membership->trouble().empty(); }))
      << a.membership->trouble();
  EXPECT_EQ(a.views.count(), views);
  Node c("c", options());
  ASSERT_TRUE(a.views.reach({"a", "b", "c"}));
  ASSERT_TRUE(b.views.reach({"a", "b", "c"}));
}

// Changes and a compaction while nobody could watch: everything is read again.
TEST_F(RealEtcd, CompactionWhileDisconnected) {
  start_etcd();
  Node a("a", options());
  ASSERT_TRUE(a.views.reach({"a"}));
  call("/v3/kv/put", etcd::put_request(member_key("old"), member_to_json(member_named("old")), 0), port_);
  ASSERT_TRUE(a.views.reach({"a", "old"}));
  stop_etcd();
  const int elsewhere = free_port();
  start_etcd(elsewhere);
  call("/v3/kv/deleterange", etcd::range_request(member_key("old"), ""), elsewhere);
  for (int i = 0; i < 10; ++i)
    call("/v3/kv/put", etcd::put_request(member_key("new"), member_to_json(member_named("new")), 0), elsewhere);
  const auto now = etcd::parse_range(call("/v3/kv/range", etcd::range_request("x", ""), elsewhere));
  ASSERT_TRUE(now);
  call("/v3/kv/compaction", fmt::format(R"({{"revision":"{}","physical":true}})", now->revision), elsewhere);
  stop_etcd();
  start_etcd();
  ASSERT_TRUE(a.views.reach({"a", "new"}));
}

// etcd comes back without its data: everybody registers again.
TEST_F(RealEtcd, DataLost) {
  start_etcd();
  Node a("a", options()), b("b", options());
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  stop_etcd();
  fs::remove_all(directory_ / "data");
  start_etcd();
  EtcdClient client(options(), nullptr);
  ASSERT_TRUE(eventually([&] {
    const auto answer = client.call("/v3/kv/range", etcd::range_request("/oxbow/members/", "/oxbow/members0"));
    const auto range = answer ? etcd::parse_range(*answer) : fail(Errc::kUnavailable, "");
    return range && range->entries.size() == 2;
  }));
  EXPECT_TRUE(a.views.kept("a") && a.views.kept("b"));
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  ASSERT_TRUE(b.views.reach({"a", "b"}));
}

// Many swap the same counter at once: no increment is lost, and a watch sees the last value.
TEST_F(RealEtcd, CompareAndSwapConflicts) {
  start_etcd();
  constexpr int kWriters = 3;
  constexpr int kIncrements = 8;
  std::atomic<int> last = 0;
  const auto watching = make_etcd_values(options());
  watching->watch("counter",
                  [&](const std::optional<ClusterValue>& value) { last = value ? std::stoi(value->value) : 0; });
  std::atomic<int> conflicts = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&] {
      const auto values = make_etcd_values(options());
      for (int done = 0; done < kIncrements;) {
        const auto now = values->get("counter");
        if (!now) continue;
        const auto expected = *now ? std::optional((*now)->revision) : std::nullopt;
        const auto next = std::to_string(*now ? std::stoi((*now)->value) + 1 : 1);
        const auto swapped = values->compare_and_swap("counter", expected, next);
        swapped ? ++done : ++conflicts;
      }
    });
  }
  for (auto& writer : writers) writer.join();
  EXPECT_TRUE(eventually([&] { return last == kWriters * kIncrements; })) << last;
  RecordProperty("conflicts", conflicts.load());
}

// With authentication on: a name with rights to the prefix works, through a restart that ends all tokens.
TEST_F(RealEtcd, Authentication) {
  start_etcd();
  write_file(directory_ / "password", "secret-1\n");
  call("/v3/auth/user/add", R"({"name":"root","password":"secret-0"})", port_);
  call("/v3/auth/role/add", R"({"name":"root"})", port_);
  call("/v3/auth/user/grant", R"({"user":"root","role":"root"})", port_);
  call("/v3/auth/user/add", R"({"name":"oxbow","password":"secret-1"})", port_);
  call("/v3/auth/role/add", R"({"name":"ring"})", port_);
  call("/v3/auth/role/grant",
       fmt::format(R"({{"name":"ring","perm":{{"permType":2,"key":"{}","range_end":"{}"}}}})",
                   "L294Ym93Lw==", "L294Ym93MA=="),
       port_);
  call("/v3/auth/user/grant", R"({"user":"oxbow","role":"ring"})", port_);
  call("/v3/auth/enable", "{}", port_);
  auto with_name = options();
  with_name.username = "oxbow";
  with_name.password_file = directory_ / "password";
  Node a("a", with_name);
  ASSERT_TRUE(a.views.reach({"a"})) << a.membership->trouble();
  Node without("w", options());
  ASSERT_TRUE(eventually([&] { return !without.membership->trouble().empty(); }));
  EXPECT_EQ(without.views.count(), 0U);
  stop_etcd();
  start_etcd();
  Node b("b", with_name);
  ASSERT_TRUE(a.views.reach({"a", "b"})) << a.membership->trouble();
  ASSERT_TRUE(eventually([&] { return a.membership->trouble().empty(); })) << a.membership->trouble();
}

// TLS with certificates on both sides; a server of another CA is not spoken to.
TEST_F(RealEtcd, Tls) {
  const auto make = [&](const std::string& key, const std::string& certificate) {
    const pid_t pid = launch({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                              "-nodes", "-keyout", directory_ / key, "-out", directory_ / certificate, "-days", "2",
                              "-subj", "/CN=etcd", "-addext", "subjectAltName=IP:127.0.0.1"},
                             directory_ / "openssl.log");
    int status = 0;
    ::waitpid(pid, &status, 0);
    return status == 0;
  };
  if (!make("key.pem", "cert.pem") || !make("other-key.pem", "other.pem")) GTEST_SKIP() << "openssl is not installed";
  tls_ = {"--cert-file",       directory_ / "cert.pem", "--key-file",        directory_ / "key.pem",
          "--trusted-ca-file", directory_ / "cert.pem", "--client-cert-auth"};
  start_etcd();
  auto good = options();
  with_tls(good);
  Node a("a", good);
  ASSERT_TRUE(a.views.reach({"a"})) << a.membership->trouble();
  auto other = good;
  other.ca_file = directory_ / "other.pem";
  Node b("b", other);
  ASSERT_TRUE(eventually([&] { return !b.membership->trouble().empty(); }));
  EXPECT_EQ(b.views.count(), 0U);
  EXPECT_EQ(words(a.views.last().members), (std::vector<std::string>{"a"}));
}

}  // namespace
}  // namespace oxbow::p2p
