// What `oxbow pull` shows: bars by source in any width, lines, the summary, and the same for programs.
#include "mirror/operator/pull_progress.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "mirror/operator/pull_sources.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

registry_api::ImageBlob a_blob(std::uint64_t size = 1 << 20) {
  return {.digest = Digest::sha256(std::string_view("layer")), .size = size};
}

TEST(SourceBar, ShowsEachSourcesPart) {
  EXPECT_EQ(source_bar(0, 100, std::nullopt, 10), "[          ]");
  EXPECT_EQ(source_bar(50, 100, std::nullopt, 10), "[-----     ]");
  EXPECT_EQ(source_bar(100, 100, SourceBytes{.storage = 50, .peer = 30, .upstream = 20}, 10), "[=====+++##]");
  EXPECT_EQ(source_bar(50, 100, SourceBytes{.storage = 0, .peer = 100, .upstream = 0}, 10), "[+++++     ]");
  EXPECT_EQ(source_bar(0, 0, SourceBytes{}, 4), "[----]");
  EXPECT_EQ(source_bar(200, 100, SourceBytes{.storage = 0, .peer = 0, .upstream = 999}, 10), "[##########]");
  for (const std::uint64_t done : {0ULL, 1ULL, 33ULL, 99ULL, 100ULL}) {
    for (const std::size_t columns : {0UL, 1UL, 7UL, 50UL})
      EXPECT_EQ(source_bar(done, 100, SourceBytes{.storage = 1, .peer = 1, .upstream = 1}, columns).size(),
                columns + 2);
  }
}

TEST(SourcesText, NamesWhatItIs) {
  EXPECT_EQ(sources_text(SourceBytes{.storage = 10, .peer = 0, .upstream = 0}, 10), "disk");
  EXPECT_EQ(sources_text(SourceBytes{.storage = 0, .peer = 2048, .upstream = 1024}, 3072),
            "peers 2.0 KiB, upstream 1.0 KiB");
  EXPECT_EQ(sources_text(SourceBytes{.storage = 1024, .peer = 0, .upstream = 0}, 2048),
            "disk 1.0 KiB, not known 1.0 KiB");
  EXPECT_EQ(sources_text(std::nullopt, 5), "?");
  EXPECT_EQ(sources_text(std::nullopt, 0), "nothing");
}

TEST(RunningLine, IsNeverWiderThanTheTerminal) {
  for (const std::size_t width : {10UL, 40UL, 60UL, 80UL, 200UL})
    EXPECT_LE(running_line(a_blob(), 5, 1 << 20, std::nullopt, width).size(), width);
}

TEST(LiveLines, AreReplacedInPlaceAndLeaveNothing) {
  std::FILE* file = std::tmpfile();
  {
    LiveLines live(file);
    live.show({"one", "two"});
    live.show({"three"});
  }
  std::rewind(file);
  std::string text(200, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  EXPECT_EQ(text, "\r\x1b[Kone\n\r\x1b[Ktwo\n\x1b[2A\r\x1b[Kthree\n\x1b[J\x1b[1A\r\x1b[J");
}

PullReport a_report() {
  PullReport report;
  report.image = "docker.io/library/nginx:1";
  report.digest = Digest::sha256(std::string_view("root"));
  report.manifests = 2;
  report.blobs.push_back({.blob = a_blob(), .bytes = 1 << 20, .sources = SourceBytes{.peer = 1 << 20}});
  report.bytes = 1 << 20;
  report.sources.peer = 1 << 20;
  report.took = std::chrono::seconds(2);
  return report;
}

TEST(PullReportText, SaysHowMuchHowLongAndFromWhere) {
  const auto text = summary_text(a_report());
  EXPECT_TRUE(text.contains("2 manifests, 1 blob, 1.0 MiB in 2s (512.0 KiB/s)")) << text;
  EXPECT_TRUE(text.contains("from: peers\n")) << text;
  auto failed = a_report().blobs.front();
  failed.error = Error(Errc::kCorrupt, "the bytes hash to \x1b[31m");
  EXPECT_TRUE(blob_line(failed).contains("failed: the bytes hash to ?[31m")) << "no control bytes of others";
}

TEST(PullReportJson, IsForPrograms) {
  auto report = a_report();
  auto json = Json::parse(report_json(report));
  EXPECT_EQ(json["state"], "done");
  EXPECT_EQ(json["bytes"], 1 << 20);
  EXPECT_EQ(json["sources"]["peer"], 1 << 20);
  EXPECT_EQ(json["blobs"][0]["kind"], "layer");
  EXPECT_TRUE(json["error"].is_null());
  report.error = Error(Errc::kCancelled, "interrupted");
  EXPECT_EQ(Json::parse(report_json(report))["state"], "cancelled");
  report.error = Error(Errc::kCorrupt, "wrong \xff bytes");
  json = Json::parse(report_json(report));
  EXPECT_EQ(json["state"], "failed");
}

TEST(PullSources, AFetchThatEndedBeforeBroughtNothing) {
  const Json pull{{"ended", "2026-03-01T12:00:00.000Z"}, {"bytes", {{"storage", 1}, {"peer", 2}, {"upstream", 3}}}};
  const auto before = sources_of_pull(pull, 6, "2026-03-01T12:00:00.001Z");
  ASSERT_TRUE(before);
  EXPECT_EQ(before->storage, 6U);
  const auto mine = sources_of_pull(pull, 6, "2026-03-01T11:59:59.999Z");
  EXPECT_EQ(mine->peer, 2U);
  EXPECT_EQ(mine->upstream, 3U);
  const Json running{{"ended", nullptr}, {"bytes", {{"upstream", 3}}}};
  EXPECT_EQ(sources_of_pull(running, 6, "2026-03-01T12:00:00.000Z")->upstream, 3U);
  EXPECT_FALSE(sources_of_pull(Json::array(), 6, ""));
  EXPECT_FALSE(sources_of_pull(Json::object(), 6, ""));
}

}  // namespace
}  // namespace oxbow::mirror
