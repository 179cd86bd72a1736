#include "p2p/cluster_values.h"
#include "tests/unit/p2p/membership_fake_etcd.h"
#include "tests/unit/p2p/membership_values_support.h"

namespace oxbow::p2p {
namespace {

using namespace test;

std::unique_ptr<ClusterValues> values_of(FakeEtcd& etcd) {
  EtcdOptions options;
  options.endpoints = {etcd.url()};
  return make_etcd_values(options);
}

// Of two that swap from the same revision one wins, and the other is told to read again.
TEST(EtcdValues, CompareAndSwap) {
  FakeEtcd etcd;
  const auto values = values_of(etcd);
  ValueRevision last;
  ASSERT_NO_FATAL_FAILURE(swap_twice(*values, last));
  EXPECT_EQ(values->compare_and_swap("k", last, std::string(2 << 20, 'x')).error().code(), Errc::kLimit);
}

// A watch tells the value now and every change, through a broken stream and lost data.
TEST(EtcdValues, Watch) {
  FakeEtcd etcd;
  Told told;
  const auto values = values_of(etcd);
  values->watch("k", told.callback());
  ASSERT_TRUE(told.reach({"-"}));
  ASSERT_TRUE(eventually([&] { return etcd.watches() == 1; }));
  etcd.put("/oxbow/values/k", "1");
  etcd.put("/oxbow/values/kk", "another key");
  ASSERT_TRUE(told.reach({"-", "1"}));
  etcd.break_watches();
  etcd.put("/oxbow/values/k", "2");
  ASSERT_TRUE(told.reach({"-", "1", "2"}));
  etcd.lose_data();
  ASSERT_TRUE(told.reach({"-", "1", "2", "-"}));
}

// A store that is away is kUnavailable, and the password that it was not given is in nobody's message.
TEST(EtcdValues, Unavailable) {
  FakeEtcd etcd;
  etcd.go_away(true);
  const auto values = values_of(etcd);
  EXPECT_EQ(values->get("k").error().code(), Errc::kUnavailable);
  EXPECT_EQ(values->compare_and_swap("k", std::nullopt, "1").error().code(), Errc::kUnavailable);
  EXPECT_EQ(make_etcd_values({})->get("k").error().code(), Errc::kInvalid);
}

// Settings are read back as they were; a value out of range is refused, a key of a newer node is not.
TEST(ClusterSettings, RoundTripAndErrors) {
  const ClusterSettings settings{.epoch = 7, .strategy = "swarm", .replicas = 5};
  const auto back = parse_settings(to_json(settings));
  ASSERT_TRUE(back) << back.error().what();
  EXPECT_EQ(back->epoch, 7U);
  EXPECT_EQ(back->strategy, "swarm");
  EXPECT_EQ(back->replicas, 5U);
  EXPECT_TRUE(parse_settings(R"({"epoch":1,"strategy":"ring","replicas":3,"more":[]})"));
  for (const auto* bad :
       {"", "[]", "{}", R"({"epoch":-1,"strategy":"ring","replicas":3})", R"({"epoch":1,"strategy":"","replicas":3})",
        R"({"epoch":1,"strategy":"ring","replicas":0})", R"({"epoch":1,"strategy":"ring","replicas":3.5})",
        R"({"epoch":1,"strategy":"a b","replicas":3})"})
    EXPECT_FALSE(parse_settings(bad)) << bad;
}

// A list of revoked identities is taken whole or not at all.
TEST(ClusterSettings, Revoked) {
  EXPECT_EQ(*parse_revoked(R"(["n2","n1","n2"])"), (std::vector<std::string>{"n1", "n2"}));
  EXPECT_TRUE(parse_revoked("[]")->empty());
  for (const auto* bad : {"", "{}", R"(["a",7])", R"([""])", R"(["a b"])"}) EXPECT_FALSE(parse_revoked(bad)) << bad;
}

// Serials as openssl and people write them are those of certificates; what is none keeps nobody out, and is refused.
TEST(ClusterSettings, RevokedSerials) {
  const std::vector<std::string> plain{"serial:0A1B"};
  for (const auto* one : {R"(["serial:0A1B"])", R"(["serial:0a1b"])", R"(["serial=0A1B"])", R"(["serial:0a:1b"])"}) {
    const auto list = parse_revoked(one);
    ASSERT_TRUE(list) << one;
    EXPECT_EQ(*list, plain) << one;
  }
  for (const auto* bad : {R"(["serial:"])", R"(["serial:node-3"])", R"(["serial=:"])"})
    EXPECT_FALSE(parse_revoked(bad)) << bad;
}

}  // namespace
}  // namespace oxbow::p2p
