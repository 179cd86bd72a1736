#include "core/log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "core/metrics.h"

namespace oxbow {
namespace {

/// Redirects the log into a string for one test.
class Log : public testing::Test {
 protected:
  void SetUp() override {
    before_ = spdlog::default_logger();
    auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out_));
    logger->set_pattern("%l %v");
    logger->set_level(spdlog::level::info);
    spdlog::set_default_logger(logger);
  }
  void TearDown() override { spdlog::set_default_logger(before_); }
  std::string text() { return out_.str(); }

 private:
  std::ostringstream out_;
  std::shared_ptr<spdlog::logger> before_;
};

// Fields are key=value; what would break a line or its parsing is quoted and escaped, so that a client cannot forge a
// line.
TEST_F(Log, FieldsAreQuotedWhereNeeded) {
  log::info("pull done", {{"digest", "sha256:ab"},
                          {"bytes", 5},
                          {"ok", true},
                          {"name", "a b"},
                          {"path", "x\nlevel=error \"forged\""},
                          {"empty", ""},
                          log::Field(Error(Errc::kIo, "read failed"))});
  EXPECT_EQ(text(),
            "info pull done digest=sha256:ab bytes=5 ok=true name=\"a b\" path=\"x\\u000alevel=error \\\"forged\\\"\" "
            "empty=\"\" error=\"read failed\"\n");
}

// What is below the level costs no line.
TEST_F(Log, LevelsFilter) {
  log::debug("quiet");
  EXPECT_FALSE(log::enabled(log::Level::kDebug));
  EXPECT_TRUE(log::enabled(log::Level::kError));
  log::error("loud");
  EXPECT_EQ(text(), "error loud\n");
}

// Proves: who listens hears warnings and errors with their fields, also those that the level leaves out, and nothing
// else; and nothing once it has let go.
TEST_F(Log, AListenerHearsWarningsAndErrors) {
  std::vector<std::string> heard;
  log::set_listener([&](log::Level level, std::string_view message, std::span<const log::Field> fields) {
    std::string line = level == log::Level::kError ? "error " : "warn ";
    line += message;
    for (const auto& field : fields) line += " " + std::string(field.key) + "=" + field.value;
    heard.push_back(line);
  });
  spdlog::default_logger()->set_level(spdlog::level::err);
  log::info("quiet");
  log::warn("looks odd", {{"peer", "node-1"}});
  log::error("broken");
  log::set_listener({});
  log::error("unheard");
  EXPECT_EQ(heard, (std::vector<std::string>{"warn looks odd peer=node-1", "error broken"}));
}

// A limit that is hit is counted under its name in the exposition text; asking for it twice is the same counter.
TEST(Metrics, LimitCounter) {
  MetricsRegistry registry;
  limit_counter(registry, "limits.ranges").Increment();
  limit_counter(registry, "limits.ranges").Increment();
  EXPECT_NE(render_metrics(registry).find("oxbow_limit_hits_total{limit=\"limits.ranges\"} 2"), std::string::npos)
      << render_metrics(registry);
}

}  // namespace
}  // namespace oxbow
