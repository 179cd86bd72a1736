#include "p2p/cluster_values.h"
#include "tests/unit/p2p/membership_kube_cluster.h"
#include "tests/unit/p2p/membership_values_support.h"

namespace oxbow::p2p {
namespace {

using namespace test;
using Words = std::vector<std::string>;

// Of two that swap from the same version one wins, and the other is told to read again; other keys stay.
TEST(KubernetesValues, CompareAndSwap) {
  KubeCluster cluster;
  const auto values = make_kubernetes_values(cluster.options);
  ValueRevision last;
  ASSERT_NO_FATAL_FAILURE(swap_twice(*values, last));
  ASSERT_TRUE(values->compare_and_swap("other", std::nullopt, "o"));
  EXPECT_EQ(values->compare_and_swap("k", last, "x").error().code(), Errc::kBusy);  // one version for all keys
  EXPECT_EQ(cluster.kube.config("oxbow-cluster"), (FakeKube::Json{{"k", "2"}, {"other", "o"}}));
  cluster.kube.remove("ConfigMap", "oxbow-cluster");
  EXPECT_EQ(values->compare_and_swap("k", last, "x").error().code(), Errc::kBusy);
  EXPECT_EQ(values->compare_and_swap("k", last, std::string(2 << 20, 'x')).error().code(), Errc::kLimit);
  EXPECT_EQ(values->compare_and_swap("a/b", std::nullopt, "x").error().code(), Errc::kInvalid);
  EXPECT_EQ(values->compare_and_swap("k", std::nullopt, "\xff").error().code(), Errc::kInvalid);
}

// Many that add one to a number: none is lost.
TEST(KubernetesValues, RacesLoseNothing) {
  KubeCluster cluster;
  constexpr int kThreads = 4;
  constexpr int kEach = 10;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const auto values = make_kubernetes_values(cluster.options);
      for (int done = 0; done < kEach;) {
        const auto now = values->get("n");
        ASSERT_TRUE(now);
        const int next = *now ? std::stoi((*now)->value) + 1 : 1;
        const auto expected = *now ? std::optional((*now)->revision) : std::nullopt;
        if (values->compare_and_swap("n", expected, std::to_string(next))) ++done;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(cluster.kube.config("oxbow-cluster"), (FakeKube::Json{{"n", std::to_string(kThreads * kEach)}}));
}

// Watches of several keys share one of the API server's and tell changes of their own key only, through a broken
// stream and a ConfigMap that is deleted.
TEST(KubernetesValues, Watch) {
  KubeCluster cluster;
  Told k, other;
  const auto values = make_kubernetes_values(cluster.options);
  values->watch("k", k.callback());
  values->watch("other", other.callback());
  ASSERT_TRUE(k.reach({"-"}));
  ASSERT_TRUE(other.reach({"-"}));
  ASSERT_TRUE(eventually([&] { return cluster.kube.watches() == 1; }));
  cluster.kube.put_config("oxbow-cluster", {{"k", "1"}});
  cluster.kube.put_config("somebody-elses", {{"k", "9"}});
  ASSERT_TRUE(k.reach({"-", "1"}));
  cluster.kube.break_watches();
  cluster.kube.put_config("oxbow-cluster", {{"k", "1"}, {"other", "o"}});
  ASSERT_TRUE(other.reach({"-", "o"}));
  ASSERT_TRUE(k.reach({"-", "1"}));
  cluster.kube.remove("ConfigMap", "oxbow-cluster");
  ASSERT_TRUE(k.reach({"-", "1", "-"}));
  ASSERT_TRUE(other.reach({"-", "o", "-"}));
  EXPECT_EQ(cluster.kube.calls("list configmaps"), 1);
}

// An API server that is away is kUnavailable.
TEST(KubernetesValues, Unavailable) {
  KubeCluster cluster;
  cluster.kube.go_away(true);
  const auto values = make_kubernetes_values(cluster.options);
  EXPECT_EQ(values->get("k").error().code(), Errc::kUnavailable);
  EXPECT_EQ(values->compare_and_swap("k", std::nullopt, "1").error().code(), Errc::kUnavailable);
  auto nowhere = cluster.options;
  nowhere.api_server = "nonsense";
  EXPECT_EQ(make_kubernetes_values(nowhere)->get("k").error().code(), Errc::kInvalid);
}

}  // namespace
}  // namespace oxbow::p2p
