#include "tests/unit/p2p/membership_kube_cluster.h"
#include "tests/unit/p2p/membership_support.h"

namespace oxbow::p2p {
namespace {

using namespace test;
using Words = std::vector<std::string>;

/// One node of the cluster.
struct Node {
  Node(KubeCluster& cluster, const std::string& name) : options(cluster.options) { self.name = name; }
  void start() {
    membership = make_kubernetes_membership(options, self, metrics);
    const auto started = membership->start(views.callback());
    ASSERT_TRUE(started) << started.error().what();
  }
  bool well() {
    return eventually([&] { return membership->trouble().empty(); });
  }
  bool troubled_by(const std::string& words) {
    return eventually([&] { return membership->trouble().find(words) != std::string::npos; });
  }
  Member member(const std::string& name) {
    for (auto& one : views.last().members) {
      if (one.name == name) return one;
    }
    return {};
  }

  KubernetesOptions options;
  Member self;
  MetricsRegistry metrics;
  Views views;
  std::unique_ptr<Membership> membership;
};

const std::vector<FakeEndpoint> kTwo{{"n1", "10.0.0.1"}, {"n2", "10.0.0.2"}};
const std::vector<FakeEndpoint> kThree{{"n1", "10.0.0.1"}, {"n2", "10.0.0.2"}, {"n3", "10.0.0.3"}};

// A member for each node of the Service's slices, by the port's name; changes come by the one watch.
TEST(KubernetesMembership, FollowsTheSlicesOfItsService) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", kTwo);
  cluster.kube.put_slice("other-a", {{"n9", "10.0.0.9"}}, "other");
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.views.reach({"n1", "n2"}));
  EXPECT_EQ(a.member("n2").addresses, (Words{"10.0.0.2:5051"}));
  ASSERT_TRUE(eventually([&] { return cluster.kube.watches() == 1; }));
  cluster.kube.put_slice("oxbow-b", {{"n3", "10.0.0.3"}});
  ASSERT_TRUE(a.views.reach({"n1", "n2", "n3"}));
  cluster.kube.put_slice("other-a", {{"n8", "10.0.0.8"}}, "other");
  cluster.kube.put_slice("oxbow-a", {{"n1", "10.0.0.1"}});
  ASSERT_TRUE(a.views.reach({"n1", "n3"}));
  cluster.kube.remove("EndpointSlice", "oxbow-b");
  ASSERT_TRUE(a.views.reach({"n1"}));
  EXPECT_EQ(cluster.kube.calls("list endpointslices"), 1);
  EXPECT_EQ(cluster.kube.calls("watch endpointslices"), 1);
  EXPECT_EQ(cluster.kube.list_versions().front(), "0");
  EXPECT_TRUE(a.membership->trouble().empty());
}

// A broken watch, and one that the server ends, go on from what was seen last, a bookmark included, without a list.
TEST(KubernetesMembership, ResumesAWatchFromABookmark) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", kTwo);
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.views.reach({"n1", "n2"}));
  ASSERT_TRUE(eventually([&] { return cluster.kube.watches() == 1; }));
  for (int i = 0; i < 5; ++i) cluster.kube.put_slice("other-a", kTwo, "other");
  const auto stands_from = [&](std::size_t count, const std::string& version) {
    return eventually([&] { return cluster.kube.watch_starts().size() == count && cluster.kube.watches() == 1; }) &&
           cluster.kube.watch_starts().back() == version;
  };
  cluster.kube.bookmark();
  const auto bookmarked = std::to_string(cluster.kube.version());
  cluster.kube.end_watches();
  ASSERT_TRUE(stands_from(2, bookmarked));
  EXPECT_TRUE(a.membership->trouble().empty());
  cluster.kube.break_watches();
  ASSERT_TRUE(stands_from(3, bookmarked));
  cluster.kube.put_slice("oxbow-a", kThree);
  ASSERT_TRUE(a.views.reach({"n1", "n2", "n3"}));
  EXPECT_EQ(cluster.kube.calls("list endpointslices"), 1);
  EXPECT_TRUE(a.well());
}

// 410 Gone, as an answer or within the stream: everything is listed again, not older than what was known.
TEST(KubernetesMembership, ListsAgainWhenTheVersionIsGone) {
  for (const bool by_status : {true, false}) {
    KubeCluster cluster;
    cluster.kube.put_slice("oxbow-a", kTwo);
    Node a(cluster, "n1");
    a.start();
    ASSERT_TRUE(a.views.reach({"n1", "n2"}));
    ASSERT_TRUE(eventually([&] { return cluster.kube.watches() == 1; }));
    const auto known = cluster.kube.watch_starts().back();
    cluster.kube.go_away(true);
    cluster.kube.remove("EndpointSlice", "oxbow-a");
    cluster.kube.put_slice("oxbow-b", {{"n1", "10.0.0.1"}, {"n3", "10.0.0.3"}});
    cluster.kube.compact(by_status);
    cluster.kube.go_away(false);
    ASSERT_TRUE(a.views.reach({"n1", "n3"}));
    EXPECT_EQ(cluster.kube.list_versions(), (Words{"0", known}));
    EXPECT_TRUE(a.well());
  }
}

// When the cache cannot answer, the store does.
TEST(KubernetesMembership, ListsPastTheCache) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", kTwo);
  cluster.kube.lose_cache(true);
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.views.reach({"n1", "n2"}));
  EXPECT_EQ(cluster.kube.list_versions(), (Words{"0", ""}));
}

// A store that was restored from a backup counts from an earlier version.
TEST(KubernetesMembership, FollowsARestoredStore) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", kTwo);
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.views.reach({"n1", "n2"}));
  cluster.kube.restore();
  cluster.kube.put_slice("oxbow-a", kThree);
  ASSERT_TRUE(a.views.reach({"n1", "n2", "n3"}));
  EXPECT_EQ(cluster.kube.list_versions().back(), "");
  EXPECT_TRUE(a.well());
}

// The kubelet writes a new token before the old one ends; neither is ever in what is said.
TEST(KubernetesMembership, ReadsATokenThatWasReplaced) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", kTwo);
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.views.reach({"n1", "n2"}));
  cluster.kube.set_token("token.2");
  cluster.kube.break_watches();
  ASSERT_TRUE(a.troubled_by("Unauthorized"));
  EXPECT_EQ(a.membership->trouble().find("token."), std::string::npos);
  write_file(cluster.account / "token", "token.2");
  ASSERT_TRUE(a.well());
  cluster.kube.put_slice("oxbow-a", kThree);
  ASSERT_TRUE(a.views.reach({"n1", "n2", "n3"}));
}

// An outage keeps the view and says why; afterwards all is well without a new view.
TEST(KubernetesMembership, KeepsTheViewInAnOutage) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", kTwo);
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.views.reach({"n1", "n2"}));
  const auto views = a.views.count();
  cluster.kube.go_away(true);
  ASSERT_TRUE(a.troubled_by("503"));
  EXPECT_GE(metric(a.metrics, "oxbow_membership_errors_total", "kubernetes"), 1);
  cluster.kube.go_away(false);
  ASSERT_TRUE(a.well());
  EXPECT_EQ(a.views.count(), views);
}

// Nobody is there at the start: that is no error, and the view comes when the API server does.
TEST(KubernetesMembership, StartsBeforeTheApiServer) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", kTwo);
  cluster.kube.go_away(true);
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.troubled_by("503"));
  EXPECT_EQ(a.views.count(), 0U);
  cluster.kube.go_away(false);
  ASSERT_TRUE(a.views.reach({"n1", "n2"}));
}

// An API server that takes requests and says nothing does not hold up a stop.
TEST(KubernetesMembership, StopEndsAWaitAtOnce) {
  KubeCluster cluster;
  cluster.kube.fall_silent(true);
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(eventually([&] { return cluster.kube.calls("list endpointslices") == 1; }));
  const auto begin = std::chrono::steady_clock::now();
  a.membership->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));  // its own patience is longer
}

// A role that may not is said as the API server says it.
TEST(KubernetesMembership, SaysWhatItMayNot) {
  KubeCluster cluster;
  cluster.kube.forbid("endpointslices");
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.troubled_by("cannot list resource"));
}

// The labels of the own node make its location; of others the zone is known, and with it the region of one's own zone.
TEST(KubernetesMembership, LocatesByTheOwnNodesLabels) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", {{"n1", "10.0.0.1", "z1"}, {"n2", "10.0.0.2", "z1"}, {"n3", "10.0.0.3", "z2"}});
  cluster.kube.put_node(
      "n1",
      {{"topology.kubernetes.io/region", "r1"}, {"topology.kubernetes.io/zone", "z1"}, {"example.com/rack", "k7"}});
  Node a(cluster, "n1");
  a.options.location_labels.emplace_back("example.com/rack");
  a.start();
  ASSERT_TRUE(eventually([&] { return a.member("n1").location == Words{"r1", "z1", "k7"}; }));
  EXPECT_EQ(a.member("n2").location, (Words{"r1", "z1"}));
  EXPECT_EQ(a.member("n3").location, (Words{}));
  EXPECT_EQ(cluster.kube.calls("get nodes"), 1);
  EXPECT_EQ(cluster.kube.calls("list nodes") + cluster.kube.calls("watch nodes"), 0);
}

// Where nodes may not be read, the zone of the slices is the location of all.
TEST(KubernetesMembership, LocatesByZonesWhereNodesMayNotBeRead) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", {{"n1", "10.0.0.1", "z1"}, {"n3", "10.0.0.3", "z2"}});
  cluster.kube.forbid("nodes");
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.views.reach({"n1", "n3"}));
  EXPECT_EQ(a.member("n1").location, (Words{"z1"}));
  EXPECT_EQ(a.member("n3").location, (Words{"z2"}));
  ASSERT_TRUE(eventually([&] { return cluster.kube.calls("get nodes") == 1; }));
  EXPECT_TRUE(a.membership->trouble().empty());
}

// A location in the config is the location, and no node is read.
TEST(KubernetesMembership, AConfiguredLocationReadsNoNode) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", kTwo);
  Node a(cluster, "n1");
  a.self.location = {"here"};
  a.start();
  ASSERT_TRUE(a.views.reach({"n1", "n2"}));
  EXPECT_EQ(cluster.kube.calls("get nodes"), 0);
}

// A Service that is deleted and made again takes nobody out of the view.
TEST(KubernetesMembership, HoldsTheViewWhenEverybodyIsGoneAtOnce) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", kTwo);
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.views.reach({"n1", "n2"}));
  cluster.kube.remove("EndpointSlice", "oxbow-a");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  cluster.kube.put_slice("oxbow-b", kThree);
  ASSERT_TRUE(a.views.reach({"n1", "n2", "n3"}));
  EXPECT_TRUE(a.views.kept("n1") && a.views.kept("n2"));
}

// Lines that make no sense cost a reconnection and no more.
TEST(KubernetesMembership, SurvivesWhatIsBroken) {
  KubeCluster cluster;
  cluster.kube.put_slice("oxbow-a", kTwo);
  cluster.kube.say_next_watch(R"({"type":"MODIFIED","object":{"kind":"Pod","metadata":{"name":"x"}}})");
  Node a(cluster, "n1");
  a.start();
  ASSERT_TRUE(a.troubled_by("not understood"));
  ASSERT_TRUE(a.well());
  cluster.kube.put_slice("oxbow-a", kThree);
  ASSERT_TRUE(a.views.reach({"n1", "n2", "n3"}));
}

// What can never work is refused, with what to do.
TEST(KubernetesMembership, RefusesBadOptions) {
  KubeCluster cluster;
  MetricsRegistry metrics;
  Views views;
  Member self;
  self.name = "n1";
  ::unsetenv("KUBERNETES_SERVICE_HOST");  // as outside of a pod, wherever the test runs
  const auto start = [&](auto change) {
    auto options = cluster.options;
    change(options);
    const auto started = make_kubernetes_membership(options, self, metrics)->start(views.callback());
    return started ? std::string() : started.error().what();
  };
  EXPECT_EQ(start([](auto&) {}), "");
  EXPECT_NE(start([](auto& o) { o.api_server = "127.0.0.1:6443"; }), "");
  EXPECT_NE(start([](auto& o) { o.service = "a/b"; }), "");
  EXPECT_NE(start([](auto& o) { o.namespace_name = "?"; }), "");
  EXPECT_NE(start([](auto& o) { o.config_map.clear(); }), "");
  EXPECT_NE(start([](auto& o) { o.account_directory = "/nowhere"; }).find("namespace"), std::string::npos);
  EXPECT_NE(start([](auto& o) { o.api_server.clear(); }).find("no pod"), std::string::npos);
  EXPECT_EQ(start([](auto& o) { o.api_server = "http://u:secret@h:1"; }).find("secret"), std::string::npos);
}

}  // namespace
}  // namespace oxbow::p2p
