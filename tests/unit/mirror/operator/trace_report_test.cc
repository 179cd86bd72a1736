// What `oxbow trace` reads from the daemon and prints.
#include "mirror/operator/trace_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "mirror/operator/trace_map.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

const char* const kDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const char* const kOther = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

Json pull() {
  auto json = Json::parse(R"({
    "id": 3, "size_bytes": 4194304, "registry": "docker.io", "repository": "library/nginx",
    "started": "2026-03-01T12:00:00.000Z", "ended": "2026-03-01T12:00:02.500Z", "state": "verified", "stripes": 8,
    "stripe_bytes": 524288, "done_stripes": 8, "bytes": {"storage": 524288, "peer": 2621440, "upstream": 1048576},
    "readers": 1, "retries": 2, "hedges": 1, "replaced": 1, "kept": true, "error": null, "map": "dpppppuu",
    "map_stripes": 1, "peers": {"node-2": 524288, "node-3": 2097152},
    "events": [
      {"stripe": 1, "at_ms": 12, "took_ms": 7, "bytes": 524288, "source": "peer", "peer": "node-2", "retries": 1,
       "hedged": true, "verified": "checksum"},
      {"stripe": 6, "at_ms": 1900, "took_ms": 400, "bytes": 524288, "source": "upstream", "peer": null, "retries": 0,
       "hedged": false, "verified": "whole"}],
    "events_dropped": 5})");
  json["digest"] = kDigest;
  return json;
}

TraceView view(bool stripes = false) {
  return {.terminal = {}, .now = *read_time("2026-03-01T12:05:00.000Z"), .stripes = stripes};
}

TEST(TraceFacts, AreWhatTheDaemonSays) {
  const auto read = read_pull(pull());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->repository, "docker.io/library/nginx");
  EXPECT_EQ(read->from_peers, 2'621'440U);
  EXPECT_EQ(*read->ended - *read->started, std::chrono::milliseconds(2'500));
  ASSERT_EQ(read->events.size(), 2U);
  EXPECT_EQ(read->events[0].peer, "node-2");
  EXPECT_TRUE(read->events[0].hedged);
}

// What is no pull is said to be none; what is odd within one does no harm.
TEST(TraceFacts, ThatAreOdd) {
  EXPECT_FALSE(read_pull(Json()));
  EXPECT_FALSE(read_pull(Json::parse(R"({"error": "what"})")));
  auto odd = pull();
  odd["bytes"] = 7;
  odd["peers"] = Json::array();
  odd["events"] = {1, "x"};
  odd["ended"] = "yesterday";
  odd["map"] = nullptr;
  odd["stripes"] = -1;
  const auto read = read_pull(odd);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->from_peers, 0U);
  EXPECT_FALSE(read->ended);
  EXPECT_FALSE(
      trace_text({.image = {}, .platform = {}, .blobs = {{kDigest, {}, "", *read}}, .since = {}}, view(true)).empty());
}

TEST(TraceReport, ABlob) {
  const TraceReport report{.image = {}, .platform = {}, .blobs = {{kDigest, {}, "", *read_pull(pull())}}, .since = {}};
  EXPECT_EQ(trace_text(report, view(true)), std::string(kDigest) + R"( of docker.io/library/nginx

PULL  BLOB                 WHAT     SIZE  STATE     BEGAN   TOOK       DISK    PEERS  UPSTREAM  NOTES
   3  sha256:aaaaaaaaaaaa        4.0 MiB  verified  5m ago    2s  512.0 KiB  2.5 MiB   1.0 MiB  2 retries, 1 hedge, 1 replaced as wrong

PEER         SENT   SHARE
node-3    2.0 MiB  50.0 %
node-2  512.0 KiB  12.5 %

512.0 KiB from disk, 2.5 MiB from peers, 1.0 MiB from upstream: 3.0 MiB (75.0 %) did not cross the link to the registry.

sha256:aaaaaaaaaaaa  8 stripes
  dpppppuu
STRIPE  ARRIVED   TOOK      BYTES  SOURCE    RETRIES  HEDGED  VERIFIED BY
     1    +12ms    7ms  512.0 KiB  node-2          1  yes     checksum
     6      +1s  400ms  512.0 KiB  upstream        -  -       whole
(5 older ones are not remembered)

d was on disk   p from a peer   u from upstream
)");
}

TEST(TraceReport, AnImageOfWhichOneBlobHasNoRecord) {
  auto failed = *read_pull(pull());
  failed.state = "failed";
  failed.error = "upstream is\n down";
  const TraceReport report{.image = "docker.io/library/nginx:1.27",
                           .platform = "linux/amd64",
                           .blobs = {{kDigest, 4'194'304, "layer", failed}, {kOther, 1'000, "config", {}}},
                           .since = "2026-03-01T11:00:00.000Z"};
  const auto text = trace_text(report, view());
  for (const auto* part :
       {"docker.io/library/nginx:1.27  linux/amd64  2 blobs", "failed", "sha256:bbbbbbbbbbbb  config", "no record",
        "upstream is? down", "Of 1 blob this node has no record", "since 2026-03-01T11:00:00.000Z",
        "containerd asks only for what it has not got", "`oxbow pull docker.io/library/nginx:1.27`"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_EQ(text.find("STRIPE"), std::string::npos);
  const auto json = trace_json(report, {pull(), Json()});
  EXPECT_EQ(json.at("upstream_saved_bytes"), 524'288 + 2'621'440);
  EXPECT_EQ(json.at("peers").at("node-3"), 2'097'152);
  EXPECT_EQ(json.at("blobs")[0].at("pull"), pull());
  EXPECT_TRUE(json.at("blobs")[1].at("pull").is_null());
}

TEST(TraceReport, NothingIsKnown) {
  const TraceReport report{.image = {}, .platform = {}, .blobs = {{kDigest, {}, "", {}}}, .since = {}};
  EXPECT_FALSE(has_record(report));
  const auto text = trace_text(report, view());
  EXPECT_NE(text.find("This node has no record of a pull of it."), std::string::npos) << text;
  EXPECT_EQ(text.find("did not cross"), std::string::npos) << text;
}

TEST(TraceReport, ARunningPullSaysHowFarItIs) {
  auto running = *read_pull(pull());
  running.state = "running";
  running.done_stripes = 3;
  running.ended.reset();
  const TraceReport report{.image = {}, .platform = {}, .blobs = {{kDigest, {}, "", running}}, .since = {}};
  EXPECT_NE(trace_text(report, view()).find("running 37 %"), std::string::npos);
}

TEST(TraceMap, ShowsTheWorstOfWhatSharesACharacter) {
  EXPECT_EQ(narrowed_map("uuuu", 4), "uuuu");
  EXPECT_EQ(narrowed_map("uuppdd.x", 4), "updx");
  EXPECT_EQ(narrowed_map(std::string(1'000, 'p') + "u", 10), "pppppppppu");
  EXPECT_EQ(narrowed_map("", 10), "");
}

TEST(TraceMap, IsColouredByRuns) {
  const Terminal colours{.width = 80, .colours = true};
  EXPECT_EQ(painted_map("ppu~", colours), "\x1b[32mpp\x1b[0m\x1b[33mu\x1b[0m~");
  EXPECT_EQ(painted_map("ppu~", {}), "ppu~");
  EXPECT_EQ(map_legend("up", {}), "p from a peer   u from upstream");
}

}  // namespace
}  // namespace oxbow::mirror
