#include "p2p/membership/kube_json.h"
#include "p2p/membership/kube_members.h"
#include "tests/unit/p2p/membership_support.h"

namespace oxbow::p2p {
namespace {

using namespace test;
using Words = std::vector<std::string>;

kube::Object slice(std::vector<kube::Endpoint> endpoints, std::uint16_t port = 5051) {
  return {.name = "s", .version = "1", .content = kube::Slice{std::move(endpoints), {{"peers", port}}}};
}

// One member a node, whatever slices its endpoints are in; the terminating that do not serve are left out, those not
// ready are not.
TEST(KubeMembers, MergesByNode) {
  const std::map<std::string, kube::Object> slices{
      {"v6", slice({{.address = "fd00::1", .node = "n1"}})},
      {"v4", slice({{.address = "10.0.0.1", .node = "n1"}, {.address = "10.0.0.1", .node = "n1"}})},
      {"w4", slice({{.address = "10.0.0.2", .node = "n2", .terminating = true}, {.address = "10.0.0.4"}})}};
  const auto members = kube::members_of(slices, "peers", {});
  EXPECT_EQ(words(members), (Words{"n1", "10.0.0.4:5051"}));
  EXPECT_EQ(members.front().addresses, (Words{"10.0.0.1:5051", "[fd00::1]:5051"}));
  EXPECT_TRUE(kube::members_of(slices, "other", {}).empty());
}

// Who is terminating but serves is finishing what it does for others, and is a member until the next pod of its node is
// there.
TEST(KubeMembers, KeepsTheTerminatingThatServe) {
  const kube::Endpoint last{.address = "10.0.0.2", .node = "n2", .terminating = true, .serving = true};
  const kube::Endpoint next{.address = "10.0.0.3", .node = "n2"};
  const auto addresses = [](std::vector<kube::Endpoint> endpoints) {
    const auto members = kube::members_of({{"v4", slice(std::move(endpoints))}}, "peers", {});
    EXPECT_EQ(words(members), (Words{"n2"}));
    return members.empty() ? Words{} : members.front().addresses;
  };
  EXPECT_EQ(addresses({last}), (Words{"10.0.0.2:5051"}));
  EXPECT_EQ(addresses({last, next}), (Words{"10.0.0.3:5051"}));
  EXPECT_EQ(addresses({next, last}), (Words{"10.0.0.3:5051"}));
}

// An API server that does not say whether a terminating endpoint serves has one that does not.
TEST(KubeJson, ConditionsOfEndpoints) {
  const auto object = kube::parse_object(
      R"({"kind":"EndpointSlice","metadata":{"name":"s","resourceVersion":"1"},"endpoints":[)"
      R"({"addresses":["10.0.0.1"],"conditions":{"ready":false,"serving":true,"terminating":true}},)"
      R"({"addresses":["10.0.0.2"],"conditions":{"ready":true,"terminating":true}},{"addresses":["10.0.0.3"]}]})");
  ASSERT_TRUE(object) << object.error().what();
  const auto& endpoints = std::get<kube::Slice>(object->content).endpoints;
  ASSERT_EQ(endpoints.size(), 3U);
  EXPECT_TRUE(endpoints[0].terminating && endpoints[0].serving);
  EXPECT_TRUE(endpoints[1].terminating && !endpoints[1].serving);
  EXPECT_FALSE(endpoints[2].terminating);
}

// A label that is missing ends the location: what is behind it would stand at another width.
TEST(KubeMembers, ALocationHasNoGaps) {
  const std::map<std::string, std::string> labels{{"region", "r"}, {"rack", "k"}};
  EXPECT_EQ(kube::location_of(labels, {"region", "zone", "rack"}), (Words{"r"}));
  EXPECT_EQ(kube::location_of(labels, {"zone"}), (Words{}));
}

// Statuses are told apart by what has to be done about them.
TEST(KubeJson, StatusesAndEvents) {
  EXPECT_EQ(kube::parse_status(410, R"({"kind":"Status","code":410,"reason":"Gone"})").code(), Errc::kOutOfRange);
  EXPECT_EQ(
      kube::parse_status(504, R"({"kind":"Status","code":504,"message":"Timeout: Too large resource version: 9"})")
          .code(),
      Errc::kOutOfRange);
  EXPECT_EQ(kube::parse_status(429, "<html>").code(), Errc::kThrottled);
  EXPECT_EQ(kube::parse_status(502, "").code(), Errc::kUnavailable);
  EXPECT_EQ(kube::parse_event(R"({"type":"ERROR","object":{"kind":"Status","code":410}})").error().code(),
            Errc::kOutOfRange);
  EXPECT_FALSE(kube::parse_event(R"({"type":"BOOKMARK","object":{}})"));
  EXPECT_FALSE(kube::parse_list(R"({"kind":"EndpointSliceList","metadata":{}})"));
  EXPECT_TRUE(kube::parse_list(R"({"kind":"EndpointSliceList","metadata":{"resourceVersion":"1"},"items":null})"));
}

}  // namespace
}  // namespace oxbow::p2p
