#include "p2p/membership/etcd_json.h"
#include "p2p/membership/etcd_watcher.h"
#include "p2p/membership/member_format.h"
#include "tests/unit/p2p/membership_fake_etcd.h"
#include "tests/unit/p2p/membership_support.h"

namespace oxbow::p2p {
namespace {

using namespace test;
using Words = std::vector<std::string>;

Member member_named(const std::string& name) {
  Member member;
  member.name = name;
  member.addresses = {name + ":5051"};
  return member;
}
std::string key_of_member(const std::string& name) { return "/oxbow/members/" + name; }

/// What a watcher has told.
struct Heard {
  EtcdWatcher::Events events() {
    return {.on_state = [this](const EtcdWatcher::State& state) { keys = state.size(); },
            .on_well = [this] { ++well; },
            .on_failure =
                [this](const Error& error) {
                  if (error.what().contains("has said nothing")) ++silences;
                }};
  }
  std::atomic<std::size_t> keys = 0;
  std::atomic<int> well = 0;
  std::atomic<int> silences = 0;
};

/// One node of the cluster.
struct Node {
  Node(const std::string& name, std::vector<std::string> endpoints) {
    options.endpoints = std::move(endpoints), self = name;
  }
  void log_in(const std::string& password_file) {
    options.username = "oxbow";
    options.password_file = password_file;
  }
  void start() {
    membership = make_etcd_membership(options, member_named(self), metrics);
    const auto started = membership->start(views.callback());
    ASSERT_TRUE(started) << started.error().what();
  }
  EtcdOptions options{.endpoints = {},
                      .ca_file = {},
                      .certificate_file = {},
                      .key_file = {},
                      .username = {},
                      .password_file = {},
                      .lease_ttl = std::chrono::seconds(1)};
  std::string self;
  MetricsRegistry metrics;
  Views views;
  std::unique_ptr<Membership> membership;
};

// Two members see each other; one that leaves is gone at once, as its lease is revoked.
TEST(EtcdMembership, MembersSeeEachOtherAndLeave) {
  FakeEtcd etcd;
  Node a("a", {etcd.url()}), b("b", {etcd.url()});
  a.start();
  ASSERT_TRUE(a.views.reach({"a"}));
  b.start();
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  ASSERT_TRUE(b.views.reach({"a", "b"}));
  EXPECT_EQ(a.views.last().members.at(1).addresses, (Words{"b:5051"}));
  b.membership->stop();
  EXPECT_FALSE(etcd.has(key_of_member("b")));
  ASSERT_TRUE(a.views.reach({"a"}));
  EXPECT_TRUE(a.membership->trouble().empty());
}

// A broken watch goes on from the revision after the last one that it has seen, without reading everything again.
TEST(EtcdMembership, ResumesABrokenWatch) {
  FakeEtcd etcd;
  Node a("a", {etcd.url()});
  a.start();
  ASSERT_TRUE(a.views.reach({"a"}));
  ASSERT_TRUE(eventually([&] { return etcd.watches() == 1; }));
  etcd.put(key_of_member("b"), member_to_json(member_named("b")));
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  const int ranges = etcd.calls("/v3/kv/range");
  const auto seen = etcd.revision();
  etcd.break_watches();
  etcd.put(key_of_member("c"), member_to_json(member_named("c")));
  ASSERT_TRUE(a.views.reach({"a", "b", "c"}));
  EXPECT_EQ(etcd.calls("/v3/kv/range"), ranges);
  EXPECT_EQ(etcd.watch_starts().back(), seen + 1);
  EXPECT_TRUE(eventually([&] { return a.membership->trouble().empty(); }));
}

// What was compacted while the watch was broken is read again.
TEST(EtcdMembership, ReadsAgainAfterACompaction) {
  FakeEtcd etcd;
  Node a("a", {etcd.url()});
  etcd.put(key_of_member("b"), member_to_json(member_named("b")));
  a.start();
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  ASSERT_TRUE(eventually([&] { return etcd.watches() == 1; }));
  etcd.go_away(true);
  etcd.remove(key_of_member("b"));
  etcd.put(key_of_member("c"), member_to_json(member_named("c")));
  etcd.compact();
  etcd.go_away(false);
  ASSERT_TRUE(a.views.reach({"a", "c"}));
}

// A lease that is lost (the key with it) is granted anew and the key put again.
TEST(EtcdMembership, RegistersAgainWhenTheLeaseIsLost) {
  FakeEtcd etcd;
  Node a("a", {etcd.url()});
  a.start();
  ASSERT_TRUE(a.views.reach({"a"}));
  etcd.drop_leases();
  ASSERT_TRUE(eventually([&] { return etcd.calls("/v3/lease/grant") == 2 && etcd.has(key_of_member("a")); }));
  ASSERT_TRUE(a.views.reach({"a"}));
}

// However etcd says that the lease is gone: its words of today, those of before, and others, after which it is asked.
TEST(EtcdMembership, RegistersAgainWhateverTheErrorIs) {
  using Form = FakeEtcd::ErrorForm;
  for (const auto form : {Form::kUntil35, Form::kSince36, Form::kUnknown}) {
    SCOPED_TRACE(static_cast<int>(form));
    FakeEtcd etcd;
    etcd.say_errors(form);
    Node a("a", {etcd.url()});
    a.options.lease_ttl = std::chrono::minutes(30);  // a keep-alive by the clock would find it out too
    a.start();
    ASSERT_TRUE(a.views.reach({"a"}));
    etcd.drop_leases();
    ASSERT_TRUE(eventually([&] { return etcd.calls("/v3/lease/grant") == 2 && etcd.has(key_of_member("a")); }));
    EXPECT_EQ(etcd.calls("/v3/lease/keepalive") > 0, form == Form::kUnknown);
  }
}

// A store that comes back empty counts from the beginning: members register again, and the view is what is there.
TEST(EtcdMembership, SurvivesTheLossOfAllData) {
  FakeEtcd etcd;
  Node a("a", {etcd.url()}), b("b", {etcd.url()});
  for (int i = 0; i < 20; ++i) etcd.put("/other", std::to_string(i));
  a.start();
  b.start();
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  ASSERT_TRUE(b.views.reach({"a", "b"}));  // who has not seen itself yet does not know that something is lost
  etcd.lose_data();
  ASSERT_TRUE(eventually([&] { return etcd.has(key_of_member("a")) && etcd.has(key_of_member("b")); }));
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  etcd.put(key_of_member("c"), member_to_json(member_named("c")));
  ASSERT_TRUE(a.views.reach({"a", "b", "c"}));
  ASSERT_TRUE(b.views.reach({"a", "b", "c"}));
  EXPECT_TRUE(a.views.kept("a") && a.views.kept("b"));
  EXPECT_TRUE(b.views.kept("a") && b.views.kept("b"));
}

// Who was in the store that was lost and does not come back is out of the view when the time of a lease has passed.
TEST(EtcdMembership, ForgetsWhoDoesNotComeBack) {
  FakeEtcd etcd;
  Node a("a", {etcd.url()});
  etcd.put(key_of_member("gone"), member_to_json(member_named("gone")));
  a.start();
  ASSERT_TRUE(a.views.reach({"a", "gone"}));
  etcd.lose_data();
  ASSERT_TRUE(eventually([&] { return etcd.has(key_of_member("a")); }));
  ASSERT_TRUE(a.views.reach({"a"}));
}

// A key that somebody has removed is put again under the same lease.
TEST(EtcdMembership, PutsItsKeyAgain) {
  FakeEtcd etcd;
  Node a("a", {etcd.url()});
  a.start();
  ASSERT_TRUE(a.views.reach({"a"}));
  ASSERT_TRUE(eventually([&] { return etcd.watches() == 1; }));
  etcd.remove(key_of_member("a"));
  ASSERT_TRUE(eventually([&] { return etcd.has(key_of_member("a")); }));
  EXPECT_EQ(etcd.calls("/v3/lease/grant"), 1);
  ASSERT_TRUE(a.views.reach({"a"}));
}

// An outage keeps the view and says why; afterwards all is well without a new view.
TEST(EtcdMembership, KeepsTheViewInAnOutage) {
  FakeEtcd etcd;
  Node a("a", {etcd.url()});
  etcd.put(key_of_member("b"), member_to_json(member_named("b")));
  a.start();
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  const auto views = a.views.count();
  etcd.go_away(true);
  ASSERT_TRUE(eventually([&] { return a.membership->trouble().find("503") != std::string::npos; }));
  EXPECT_GE(metric(a.metrics, "oxbow_membership_errors_total", "etcd"), 1);
  etcd.go_away(false);
  ASSERT_TRUE(eventually([&] { return a.membership->trouble().empty(); })) << a.membership->trouble();
  EXPECT_EQ(a.views.count(), views);
}

// Nobody is there at the start: that is no error, and the view comes when etcd does.
TEST(EtcdMembership, StartsBeforeEtcd) {
  FakeEtcd etcd;
  etcd.go_away(true);
  Node a("a", {etcd.url()});
  a.start();
  ASSERT_TRUE(eventually([&] { return !a.membership->trouble().empty(); }));
  EXPECT_EQ(a.views.count(), 0U);
  etcd.go_away(false);
  ASSERT_TRUE(a.views.reach({"a"}));
}

// Of several endpoints one that answers is enough, whether the others refuse, are gone, or say nothing.
TEST(EtcdMembership, FailsOverBetweenEndpoints) {
  FakeEtcd away, etcd;
  away.go_away(true);
  Node a("a", {"http://127.0.0.1:1", away.url(), etcd.url()});
  a.start();
  ASSERT_TRUE(a.views.reach({"a"}));
  EXPECT_TRUE(eventually([&] { return a.membership->trouble().empty(); }));
}

// A server that takes requests and says nothing does not hold up a stop for longer than the revoke may take.
TEST(EtcdMembership, StopEndsAWaitAtOnce) {
  FakeEtcd etcd;
  etcd.fall_silent(true);
  Node a("a", {etcd.url()});
  a.start();
  ASSERT_TRUE(eventually([&] { return etcd.calls("/v3/kv/range") + etcd.calls("/v3/lease/grant") == 2; }));
  a.membership->stop();
  EXPECT_EQ(etcd.calls("/v3/lease/revoke"), 0);
}

// A name and password get a token; when it ends there is a new one. Neither is ever in what is said.
TEST(EtcdMembership, Authenticates) {
  FakeEtcd etcd;
  TemporaryDirectory directory;
  etcd.require("oxbow", "secret-1");
  write_file(directory / "password", "wrong-2\n");
  Node a("a", {etcd.url()});
  a.log_in(directory / "password");
  a.start();
  ASSERT_TRUE(eventually([&] { return a.membership->trouble().find("authentication failed") != std::string::npos; }));
  EXPECT_EQ(a.membership->trouble().find("wrong-2"), std::string::npos);
  write_file(directory / "password", "secret-1\n");  // the file is read anew
  ASSERT_TRUE(a.views.reach({"a"}));
  etcd.end_tokens();
  etcd.put(key_of_member("b"), member_to_json(member_named("b")));
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  ASSERT_TRUE(eventually([&] { return a.membership->trouble().empty(); })) << a.membership->trouble();
  EXPECT_EQ(a.membership->trouble().find("token."), std::string::npos);
}

// A signed token from before users or roles were changed is refused as a bad request, and in a watch as the reason of
// its end: there is a new one.
TEST(EtcdMembership, LogsInAgainWhenItsTokenIsTooOld) {
  FakeEtcd etcd;
  TemporaryDirectory directory;
  etcd.require("oxbow", "secret-1");
  write_file(directory / "password", "secret-1\n");
  Node a("a", {etcd.url()});
  a.log_in(directory / "password");
  a.start();
  ASSERT_TRUE(a.views.reach({"a"}));
  ASSERT_TRUE(eventually([&] { return etcd.watches() == 1; }));
  etcd.change_users();
  etcd.put(key_of_member("b"), member_to_json(member_named("b")));
  ASSERT_TRUE(a.views.reach({"a", "b"}));
  etcd.remove(key_of_member("a"));
  ASSERT_TRUE(eventually([&] { return etcd.has(key_of_member("a")); }));
  ASSERT_TRUE(eventually([&] { return a.membership->trouble().empty(); })) << a.membership->trouble();
}

// A watch that never begins, of a frozen etcd or a proxy before it, is given up, and asked for at the next endpoint.
TEST(EtcdWatcher, GivesUpAWatchThatNeverBegins) {
  FakeEtcd frozen, etcd;
  frozen.hold_watches(true);
  etcd.put("/k/1", "1");
  EtcdOptions options;
  options.endpoints = {frozen.url(), etcd.url()};
  Heard heard;
  EtcdWatcher watcher(options, "/k/", "/k0", heard.events(), {std::chrono::milliseconds(200), kWatchSilence});
  ASSERT_TRUE(watcher.start());
  ASSERT_TRUE(eventually([&] { return heard.keys == 1; }));
  EXPECT_GE(heard.silences, 1);
  EXPECT_GE(heard.well, 1);
}

// Progress is asked for: a watch on which nothing comes at all is one that hangs. It goes on where it was.
TEST(EtcdWatcher, GivesUpAWatchThatFallsSilent) {
  FakeEtcd etcd;
  etcd.put("/k/1", "1");
  EtcdOptions options;
  options.endpoints = {etcd.url()};
  Heard heard;
  EtcdWatcher watcher(options, "/k/", "/k0", heard.events(), {kWatchCreatedWithin, std::chrono::milliseconds(20)});
  ASSERT_TRUE(watcher.start());
  ASSERT_TRUE(eventually([&] { return heard.silences >= 2 && heard.well >= 2; }));
  etcd.put("/k/2", "2");
  ASSERT_TRUE(eventually([&] { return heard.keys == 2; }));
  EXPECT_EQ(etcd.calls("/v3/kv/range"), 1);
}

// Broken entries, names that are not their key's, and lines that make no sense cost what they are and no more.
TEST(EtcdMembership, LeavesOutWhatIsBroken) {
  FakeEtcd etcd;
  Node a("a", {etcd.url()});
  etcd.put(key_of_member("b"), "{");
  etcd.put(key_of_member("c"), member_to_json(member_named("d")));
  etcd.put(key_of_member("e"), member_to_json(member_named("e")));
  etcd.put("/oxbow/memberz", "not below the prefix");
  etcd.say_next_watch("{\"result\":{\"header\":{},\"events\":[{\"kv\":{\"key\":\"!\"}}]}}");
  a.start();
  ASSERT_TRUE(a.views.reach({"a", "e"}));
  etcd.put(key_of_member("b"), member_to_json(member_named("b")));
  ASSERT_TRUE(a.views.reach({"a", "b", "e"}));
}

// What can never work is refused, and a password in a URL is not repeated.
TEST(EtcdMembership, RefusesBadOptions) {
  MetricsRegistry metrics;
  Views views;
  const auto start = [&](auto change, const std::string& name = "a") {
    EtcdOptions options;
    options.endpoints = {"http://127.0.0.1:2379"};
    change(options);
    const auto started = make_etcd_membership(options, member_named(name), metrics)->start(views.callback());
    return started ? std::string() : started.error().what();
  };
  EXPECT_NE(start([](auto& o) { o.endpoints.clear(); }), "");
  EXPECT_NE(start([](auto& o) { o.endpoints = {"127.0.0.1:2379"}; }), "");
  EXPECT_NE(start([](auto& o) { o.username = "x"; }), "");
  EXPECT_NE(start([](auto& o) { o.prefix.clear(); }), "");
  EXPECT_NE(start([](auto& o) { o.lease_ttl = std::chrono::milliseconds(10); }), "");
  EXPECT_NE(start([](auto& o) { o.key_file = "x"; }), "");
  EXPECT_NE(start([](auto&) {}, ""), "");
  const auto with_password = start([](auto& o) { o.endpoints = {"http://u:secret@h:1"}; });
  EXPECT_NE(with_password, "");
  EXPECT_EQ(with_password.find("secret"), std::string::npos);
}

// The end of a prefix's range.
TEST(EtcdJson, RangeEnd) {
  EXPECT_EQ(etcd::range_end("/a/"), "/a0");
  EXPECT_EQ(etcd::range_end("a\xff"), "b");
  EXPECT_EQ(etcd::range_end("\xff"), std::string(1, '\0'));
}

// proto3 leaves out what is zero: a keep-alive without a TTL is a lease that has ended.
TEST(EtcdJson, LeasesAndErrors) {
  EXPECT_EQ(etcd::parse_lease(R"({"ID":"7","TTL":"15"})")->ttl_seconds, 15);
  EXPECT_EQ(etcd::parse_lease(R"({"result":{"header":{},"ID":"7"}})")->ttl_seconds, 0);
  EXPECT_FALSE(etcd::parse_lease("{}"));
  EXPECT_EQ(etcd::parse_error(404, R"({"error":"etcdserver: requested lease not found","code":5})").code(),
            Errc::kNotFound);
  // As etcd 3.6 says it, and what its older tokens are answered.
  const auto modern =
      etcd::parse_error(404, R"({"code":5,"message":"etcdserver: requested lease not found","details":[]})");
  EXPECT_EQ(modern.code(), Errc::kNotFound);
  EXPECT_TRUE(modern.what().contains("requested lease not found")) << modern.what();
  EXPECT_EQ(etcd::parse_error(400, R"({"code":3,"message":"etcdserver: revision of auth store is old"})").code(),
            Errc::kUnauthorized);
  EXPECT_EQ(etcd::parse_error(400, R"({"code":3,"message":"etcdserver: key is not provided"})").code(), Errc::kInvalid);
  EXPECT_EQ(etcd::parse_error(200, R"({"error":{"grpc_code":14,"message":"no leader"}})").code(), Errc::kUnavailable);
  for (const auto* line : {R"({"error":{"grpc_code":3,"message":"etcdserver: revision of auth store is old"}})",
                           R"({"error":{"code":3,"message":"etcdserver: revision of auth store is old"}})"})
    EXPECT_EQ(etcd::parse_watch(line).error().code(), Errc::kUnauthorized) << line;
  EXPECT_TRUE(etcd::parse_range(R"({"header":{"revision":"9"},"code":5,"message":"of a 200"})"));
  EXPECT_EQ(etcd::parse_error(502, "<html>").code(), Errc::kUnavailable);
  const auto canceled =
      etcd::parse_watch(R"({"result":{"header":{"revision":"9"},"canceled":true,"compact_revision":"5"}})");
  ASSERT_TRUE(canceled);
  EXPECT_EQ(canceled->compact_revision, 5);
}

}  // namespace
}  // namespace oxbow::p2p
