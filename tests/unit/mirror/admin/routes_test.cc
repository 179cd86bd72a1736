// The status, the peers and the errors; and that docs/openapi.json tells of what there is.
#include <filesystem>
#include <fstream>
#include <set>

#include "admin_site.h"
#include "core/http/server.h"
#include "mirror/admin/cache_routes.h"
#include "mirror/admin/errors_routes.h"
#include "mirror/admin/peers_routes.h"
#include "mirror/admin/ring_shares.h"
#include "mirror/admin/status_routes.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

std::shared_ptr<const p2p::PeerSnapshot> three_peers() {
  std::vector<p2p::Peer> peers(3);
  for (p2p::PeerId id = 1; id <= 3; ++id) {
    auto& peer = peers[id - 1];
    peer.id = id;
    peer.member.name = "node-" + std::to_string(id);
    peer.member.addresses = {"10.0.0." + std::to_string(id) + ":5051"};
  }
  peers[0].self = true;
  peers[1].latency_ms = 1.5;
  peers[1].load = {.used = 3, .slots = 8, .waiting = 1};
  peers[1].incarnation = 0xab;
  peers[2].state = p2p::PeerState::kSilent;
  return std::make_shared<p2p::PeerSnapshot>(std::move(peers), 1);
}

class RoutesTest : public ::testing::Test {
 protected:
  RoutesTest() {
    const auto view = [this] { return view_; };
    add_status_routes(site_.routes, {site_.scratch.store(),
                                     site_.scratch.metrics(),
                                     site_.scratch.clock(),
                                     site_.ready,
                                     "1.2.3",
                                     "node-1",
                                     {"eu", "a"},
                                     view,
                                     [] { return std::size_t{2}; },
                                     [this] { return registries_; }});
    add_peers_routes(site_.routes, "node-1", view);
    add_cache_routes(site_.routes, {blobs_, memory_, scrub_});
    add_errors_routes(site_.routes, journal_);
  }

  AdminSite site_;
  std::optional<PeersView> view_;
  std::shared_ptr<Registries> registries_ = make_registries();
  ErrorJournal journal_{site_.scratch.clock()};
  Blobs blobs_{site_.scratch.store(), site_.scratch.pool(), site_.scratch.clock(), site_.scratch.metrics(),
               FetchLimits{}};
  DigestMemory memory_{site_.scratch.store()};
  ScrubJob scrub_{site_.scratch.store(), site_.scratch.pool(), site_.scratch.clock()};

 private:
  std::shared_ptr<Registries> make_registries() {
    config::Config config;
    config::Registry registry;
    registry.name = "docker.io";
    registry.upstreams = {"https://registry-1.docker.io"};
    registry.connect_timeout = registry.no_progress_timeout = std::chrono::seconds(1);
    config.registries = {registry};
    auto made =
        Registries::create(config, {site_.scratch.clock(), site_.scratch.pool(), site_.scratch.metrics(), "1.2.3"});
    EXPECT_TRUE(made) << made.error().what();
    return std::move(*made);
  }
};

// Proves: the status tells of version, storage, process and registries; a node without a ring has no peers.
TEST_F(RoutesTest, Status) {
  counter_family(site_.scratch.metrics(), "oxbow_upstream_bytes_total", "")
      .Add({{"registry", "docker.io"}})
      .Increment(30);
  auto& served = counter_family(site_.scratch.metrics(), "oxbow_client_bytes_total", "");
  served.Add({{"source", "storage"}}).Increment(100);
  served.Add({{"source", "upstream"}}).Increment(20);
  site_.ready = true;
  site_.scratch.clock().advance(std::chrono::seconds(61));
  const auto status = site_.ask("/api/v1/status").json();
  EXPECT_EQ(status.at("version"), "1.2.3");
  EXPECT_EQ(status.at("ready"), true);
  EXPECT_EQ(status.at("uptime_seconds"), 61);
  EXPECT_EQ(status.at("location"), (Json{"eu", "a"}));
  EXPECT_EQ(status.at("storage").at("budget_bytes"), 1073741824);
  EXPECT_GT(status.at("process").at("rss_bytes"), 1'000'000);
  EXPECT_GT(status.at("process").at("open_files"), 3);
  EXPECT_EQ(status.at("served").at("storage_bytes"), 100);
  EXPECT_EQ(status.at("upstream_avoided_bytes"), 90);
  EXPECT_EQ(status.at("pulls_running"), 2);
  EXPECT_TRUE(status.at("peers").is_null());
  EXPECT_EQ(status.at("registries").at(0), (Json{{"name", "docker.io"},
                                                 {"upstreams", {"https://registry-1.docker.io"}},
                                                 {"credentials", "client"},
                                                 {"upstream_bytes", 30},
                                                 {"state", "closed"},
                                                 {"last_error", nullptr}}));
}

// Proves: the ring comes with each peer's state and share, and the status counts them.
TEST_F(RoutesTest, Peers) {
  EXPECT_EQ(site_.ask("/api/v1/peers").json().at("strategy"), "single");
  view_ = PeersView{"swarm", 2, "static", "", 1, three_peers()};
  const auto answer = site_.ask("/api/v1/peers").json();
  EXPECT_EQ(answer.at("self"), "node-1");
  EXPECT_EQ(answer.at("membership"), "static");
  EXPECT_TRUE(answer.at("trouble").is_null());
  const auto& peers = answer.at("peers");
  EXPECT_EQ(peers.at(0).at("self"), true);
  EXPECT_TRUE(peers.at(0).at("latency_ms").is_null());
  EXPECT_EQ(peers.at(1).at("latency_ms"), 1.5);
  EXPECT_TRUE(peers.at(0).at("load").is_null());
  EXPECT_EQ(peers.at(1).at("load").at("used"), 3);
  EXPECT_EQ(peers.at(1).at("load").at("waiting"), 1);
  EXPECT_EQ(peers.at(1).at("incarnation"), "00000000000000ab");
  EXPECT_EQ(peers.at(2).at("state"), "silent");
  double all = 0;
  for (const auto& peer : peers) {
    all += peer.at("ring_share").get<double>();
    EXPECT_NEAR(peer.at("ring_share").get<double>(), 1.0 / 3, 0.1);
  }
  EXPECT_NEAR(all, 1, 1e-6);
  const auto counted = site_.ask("/api/v1/status").json().at("peers");
  EXPECT_EQ(counted,
            (Json{{"total", 3}, {"eligible", 1}, {"by_state", {{"eligible", 1}, {"silent", 1}, {"unnamed", 1}}}}));
}

// Proves: shares are counted once for the same members, and anew for others.
TEST(RingShares, AreKeptWhileTheMembersStay) {
  RingShares shares;
  const auto peers = three_peers();
  const auto first = shares.of(peers);
  EXPECT_EQ(first.get(), shares.of(peers).get());
  EXPECT_NE(first.get(), shares.of(three_peers()).get());
  EXPECT_TRUE(shares.of(std::make_shared<p2p::PeerSnapshot>())->empty());
}

// Proves: warnings and errors of the log are there, newest first, equal ones joined.
TEST_F(RoutesTest, Errors) {
  log::warn("upstream fails", {{"url", "https://x"}});
  site_.scratch.clock().advance(std::chrono::seconds(5));
  log::error("the disk fails");
  log::info("nothing");
  log::warn("upstream fails", {{"url", "https://x"}});
  const auto errors = site_.ask("/api/v1/errors").json().at("errors");
  ASSERT_EQ(errors.size(), 2U);
  EXPECT_EQ(errors.at(0).at("message"), "upstream fails");
  EXPECT_EQ(errors.at(0).at("count"), 2);
  EXPECT_EQ(errors.at(0).at("level"), "warn");
  EXPECT_EQ(errors.at(0).at("fields"), (Json{{"url", "https://x"}}));
  EXPECT_LT(errors.at(0).at("at"), errors.at(0).at("last"));
  EXPECT_EQ(errors.at(1).at("level"), "error");
}

// Proves: one message with ever new fields does not push the others out, and what is kept is bounded.
TEST_F(RoutesTest, TheJournalIsBounded) {
  const auto note = [&](const std::string& message, const std::string& field) {
    const log::Field fields[] = {{"field", field}};
    journal_.note(log::Level::kWarn, message, fields);
  };
  note("once", std::string(10'000, 'x'));
  for (int i = 0; i < 1'000; ++i) note("again", std::to_string(i));
  auto entries = journal_.entries();
  ASSERT_EQ(entries.size(), 1 + ErrorJournal::kMaxOfOneMessage);
  EXPECT_EQ(entries.front().fields.front().second, "999");
  EXPECT_EQ(entries.back().message, "once");
  EXPECT_LT(entries.back().fields.front().second.size(), 600U);
  for (int i = 0; i < 1'000; ++i) note("message " + std::to_string(i), "");
  EXPECT_EQ(journal_.entries().size(), ErrorJournal::kMax);
}

/// "GET /api/v1/status", …
std::set<std::string> documented() {
  const auto file = std::filesystem::path(OXBOW_SOURCE_DIR) / "docs" / "openapi.json";
  std::ifstream in(file);
  const auto document = Json::parse(in);
  std::set<std::string> out;
  for (const auto& [path, methods] : document.at("paths").items()) {
    for (const auto& [method, operation] : methods.items()) {
      std::string upper;
      for (const char c : method) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      out.insert(upper + " " + path);
    }
  }
  return out;
}

/// Paths whose routes are registered by what this test does not set up.
bool is_elsewhere(const std::string& route) {
  return route.find("/api/v1/pulls") != std::string::npos || route.find("/api/v1/preheats") != std::string::npos;
}

// Proves: every route is documented with its method, and nothing is documented that is not there.
TEST_F(RoutesTest, TheDocumentNamesTheRoutes) {
  std::set<std::string> there;
  for (const auto& route : site_.routes.all()) {
    if (route.pattern.starts_with("/api/"))
      there.insert(std::string(http::to_string(route.method)) + " " + route.pattern);
  }
  auto told = documented();
  EXPECT_GT(std::erase_if(told, is_elsewhere), 0U);
  EXPECT_EQ(there, told);
}

}  // namespace
}  // namespace oxbow::mirror
