// `oxbow status`, `peers` and `cache` against a server that answers what the test says.
#include <CLI/CLI.hpp>

#include "../admin/admin_site.h"
#include "../command_run.h"
#include "mirror/operator/cache_command.h"
#include "mirror/operator/status_command.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kHexA = "aaaaaa0000000000000000000000000000000000000000000000000000000000";
constexpr const char* kHexB = "aaaaab0000000000000000000000000000000000000000000000000000000000";

Json good_status() {
  return {{"version", "1.2.3"},
          {"ready", true},
          {"uptime_seconds", 3'700},
          {"node", "node-1\x1b[31m"},
          {"location", {"eu", "a"}},
          {"process", {{"rss_bytes", 104'857'600}, {"open_files", 40}}},
          {"storage",
           {{"stored_bytes", 1'073'741'824}, {"budget_bytes", 10'737'418'240}, {"blobs", 1}, {"writable", true}}},
          {"upstream_avoided_bytes", 2'147'483'648},
          {"peers", nullptr},
          {"registries",
           {{{"name", "docker.io"}, {"credentials", "client"}, {"upstream_bytes", 5}, {"state", "closed"}},
            {{"name", "quay.io"}, {"credentials", "client"}, {"upstream_bytes", 0}, {"state", "closed"}}}}};
}

class CommandsTest : public ::testing::Test {
 protected:
  CommandsTest() {
    site_.routes.get("/api/v1/status", [this](const ApiCall&) -> Result<Json> { return status_; });
    site_.routes.get("/api/v1/peers", [this](const ApiCall&) -> Result<Json> { return peers_; });
    site_.routes.get("/api/v1/cache", [](const ApiCall& call) -> Result<Json> {
      const auto prefix = call.option("digest").value_or("");
      Json blobs = Json::array();
      for (const auto* hex : {kHexA, kHexB}) {
        const auto digest = std::string("sha256:") + hex;
        if (digest.starts_with(prefix))
          blobs.push_back({{"digest", digest},
                           {"size_bytes", 2048},
                           {"stored_bytes", 1024},
                           {"state", "verified"},
                           {"pinned", hex == kHexA}});
      }
      return Json{{"total", blobs.size()}, {"blobs", blobs}};
    });
    for (const auto* what : {"pin", "purge"}) {
      site_.routes.post(std::string("/api/v1/cache/") + what, [this](const ApiCall& call) -> Result<Json> {
        changed_.push_back(call.field("digest").value());
        return Json{{"digest", changed_.back()}, {"stored_bytes", 1024}};
      });
    }
    site_.routes.post("/api/v1/cache/scrub", [](const ApiCall&) -> Result<Json> { return Json{{"state", "running"}}; });
    site_.routes.get("/api/v1/cache/scrub", [this](const ApiCall&) -> Result<Json> {
      return Json{{"state", "done"}, {"stripes", 7}, {"bytes", 4096}, {"corrupt", corrupt_}};
    });
    socket_ = "/tmp/oxbow-commands-" + std::to_string(::getpid()) + ".sock";
    server_.emplace(site_, "unix:" + socket_);
  }

  template <typename Command>
  Outcome run(const char* name, std::vector<std::string> arguments) {
    CLI::App app;
    Command command(app);
    return run_command(app, name, std::move(arguments), [&](std::FILE* said, std::FILE* complained) {
      return command.run(ApiClient({socket_, ""}), said, complained);
    });
  }

  AdminSite site_;
  Json status_ = good_status(), peers_ = Json::object();
  std::vector<std::string> changed_;
  int corrupt_ = 0;
  std::string socket_;
  std::optional<AdminServer> server_;
};

// Proves: the status is in plain words and good; what others named cannot colour the terminal; JSON is the answer
// itself.
TEST_F(CommandsTest, Status) {
  const auto got = run<StatusCommand>("status", {});
  EXPECT_EQ(got.code, 0) << got.errors;
  EXPECT_TRUE(got.out.starts_with("oxbow 1.2.3 on node-1?[31m in eu/a, ready, up 1h 1m\n")) << got.out;
  EXPECT_NE(got.out.find("1.0 GiB of 10.0 GiB (10 %), 1 blob;"), std::string::npos) << got.out;
  EXPECT_NE(got.out.find("none: no ring"), std::string::npos);
  EXPECT_NE(got.out.find("docker.io"), std::string::npos);
  EXPECT_NE(got.out.find("sent nothing yet: 1"), std::string::npos);
  EXPECT_EQ(got.out.find("wrong:"), std::string::npos);
  EXPECT_EQ(Json::parse(run<StatusCommand>("status", {"--json"}).out), status_);
}

// Proves: what is wrong is said and makes the exit code 1.
TEST_F(CommandsTest, StatusSaysWhatIsWrong) {
  status_["storage"]["writable"] = false;
  status_["registries"][0]["state"] = "open";
  status_["registries"][0]["last_error"] = "https://x: connection refused";
  const auto got = run<StatusCommand>("status", {});
  EXPECT_EQ(got.code, 1);
  EXPECT_NE(got.out.find("wrong: storage cannot be written"), std::string::npos);
  EXPECT_NE(got.out.find("wrong: docker.io fails and is asked only now and then: https://x: connection refused"),
            std::string::npos);
}

// Proves: the ring is a table; a ring in which nobody can be asked is wrong.
TEST_F(CommandsTest, Peers) {
  peers_ = {{"self", "a"}, {"strategy", "single"}, {"peers", Json::array()}};
  EXPECT_NE(run<PeersCommand>("peers", {}).out.find("no ring"), std::string::npos);
  peers_ = {{"self", "a"},
            {"strategy", "swarm"},
            {"replicas", 2},
            {"membership", "static"},
            {"peers",
             {{{"name", "a"}, {"self", true}, {"state", "eligible"}, {"ring_share", 0.4}},
              {{"name", "b"},
               {"self", false},
               {"state", "eligible"},
               {"ring_share", 0.6},
               {"latency_ms", 1.25},
               {"load", {{"used", 8}, {"slots", 8}, {"waiting", 2}}}}}}};
  const auto got = run<PeersCommand>("peers", {});
  EXPECT_EQ(got.code, 0);
  EXPECT_NE(got.out.find("strategy swarm, 2 replicas, membership by static"), std::string::npos) << got.out;
  EXPECT_NE(got.out.find("*  a     eligible  40.0 %"), std::string::npos) << got.out;
  EXPECT_NE(got.out.find("8/8+2"), std::string::npos) << got.out;
  auto unheard = peers_;
  unheard["peers"].erase(1);
  unheard["unnamed"] = 1;
  EXPECT_EQ(peers_troubles(unheard).size(), 1U);
  peers_["peers"][1]["state"] = "silent";
  const auto lonely = run<PeersCommand>("peers", {"--troubled"});
  EXPECT_EQ(lonely.code, 1);
  EXPECT_EQ(lonely.out.find("*  a"), std::string::npos);
  EXPECT_NE(lonely.out.find("wrong: no peer can be asked"), std::string::npos);
}

// Proves: digests may be shortened while they are unique; nothing is changed when one of them is wrong.
TEST_F(CommandsTest, CacheTakesShortDigests) {
  EXPECT_NE(run<CacheCommand>("cache", {"ls"}).out.find("sha256:aaaaaa000000  2.0 KiB  1.0 KiB  verified, pinned"),
            std::string::npos);
  const auto pinned = run<CacheCommand>("cache", {"pin", "aaaaaa"});
  EXPECT_EQ(pinned.code, 0) << pinned.errors;
  EXPECT_EQ(changed_, std::vector<std::string>{std::string("sha256:") + kHexA});
  changed_.clear();
  const auto purged = run<CacheCommand>("cache", {"purge", "sha256:aaaaab", std::string("sha256:") + kHexA});
  EXPECT_EQ(purged.code, 0) << purged.errors;
  EXPECT_EQ(changed_.size(), 2U);
  changed_.clear();
  EXPECT_EQ(run<CacheCommand>("cache", {"purge", "aaaaaa", "aaaaa"}).code, 2);
  EXPECT_EQ(run<CacheCommand>("cache", {"purge", "aaaaaa", "bbbbbb"}).code, 1);
  EXPECT_EQ(run<CacheCommand>("cache", {"purge", "aaaaaaxyz"}).code, 2);
  EXPECT_EQ(run<CacheCommand>("cache", {"purge"}).code, 2);
  EXPECT_EQ(run<CacheCommand>("cache", {}).code, 2);
  EXPECT_TRUE(changed_.empty());
}

// Proves: a scrub is waited for, and what it found is the exit code.
TEST_F(CommandsTest, CacheScrub) {
  const auto good = run<CacheCommand>("cache", {"scrub"});
  EXPECT_EQ(good.code, 0) << good.errors;
  EXPECT_EQ(good.out, "done: 7 stripes, 4.0 KiB read, nothing wrong\n");
  corrupt_ = 1;
  EXPECT_EQ(run<CacheCommand>("cache", {"scrub"}).code, 1);
  EXPECT_EQ(Json::parse(run<CacheCommand>("cache", {"scrub", "--detach", "--json"}).out).at("state"), "running");
}

// Proves: a daemon that is not there is an error that says what to do.
TEST_F(CommandsTest, NoDaemon) {
  server_.reset();
  const auto got = run<StatusCommand>("status", {});
  EXPECT_EQ(got.code, 1);
  EXPECT_NE(got.errors.find("systemctl status oxbow"), std::string::npos);
}

}  // namespace
}  // namespace oxbow::mirror
