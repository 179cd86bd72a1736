#include "p2p/membership/member_format.h"
#include "tests/unit/p2p/membership_support.h"

namespace oxbow::p2p {
namespace {

using namespace test;
namespace fs = std::filesystem;
using Words = std::vector<std::string>;

std::unique_ptr<Membership> watch_file(const std::string& path, MetricsRegistry& metrics) {
  // Without the poll's help: what is seen is seen by inotify.
  return make_file_membership({.path = path, .poll = std::chrono::hours(1)}, metrics);
}

// The list of the config is one view, in order and each peer once.
TEST(StaticMembership, PushesItsListOnce) {
  Views views;
  const auto membership = make_static_membership({.peers = {"b:2", "10.0.0.1:1", "b:2", "[fd00::7]:5051"}});
  ASSERT_TRUE(membership->start(views.callback()));
  EXPECT_EQ(words(views.last().members), (Words{"10.0.0.1:1", "[fd00::7]:5051", "b:2"}));
  EXPECT_EQ(views.count(), 1U);
  EXPECT_EQ(membership->provider(), "static");
  EXPECT_TRUE(membership->trouble().empty());
}

// An address that nobody could connect to is an error of the config, and the error says which.
TEST(StaticMembership, RefusesWhatIsNoAddress) {
  for (const std::string bad : {"", "node", "node:", "node:0", "node:65536", ":1", "no de:1", "fd00::7:1", "[fd00::7]",
                                "[::1:5051", "http://a:1", "a:1b", "-a:1", "[node]:1"}) {
    Views views;
    const auto started = make_static_membership({.peers = {"good:1", bad}})->start(views.callback());
    ASSERT_FALSE(started) << bad;
    EXPECT_EQ(started.error().code(), Errc::kInvalid);
    EXPECT_NE(started.error().what().find("'" + bad + "'"), std::string::npos);
    EXPECT_EQ(views.count(), 0U);
  }
}

// Both forms of the file.
TEST(MemberFile, JsonAndLines) {
  const auto json = parse_member_file(R"(
    {"members": [{"name": "n1", "addresses": ["10.0.0.1:5051", "[::1]:5051"], "location": ["z", "r"], "weight": 2.5},
                 {"addresses": ["n2:5051"]}]})");
  ASSERT_TRUE(json) << json.error().what();
  ASSERT_EQ(json->size(), 2U);
  EXPECT_EQ(json->at(0).location, (Words{"z", "r"}));
  EXPECT_EQ(json->at(0).weight, 2.5);
  EXPECT_EQ(json->at(1).weight, 1);
  const auto lines = parse_member_file("# the cluster\r\nn1:1\r\n\n  n2:2  # second\nn1:1\n");
  ASSERT_TRUE(lines) << lines.error().what();
  EXPECT_EQ(words(*lines), (Words{"n1:1", "n2:2"}));
  EXPECT_TRUE(parse_member_file("# nobody yet\n")->empty());
  EXPECT_TRUE(parse_member_file("{\"members\": []}")->empty());
}

// What is wrong is said with its place.
TEST(MemberFile, ErrorsHaveAPlace) {
  const auto error = [](const std::string& text) {
    const auto parsed = parse_member_file(text);
    return parsed ? std::string("none") : parsed.error().what();
  };
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_PRED2(has, error("a:1\n  b\n"), "line 2, column 3: 'b'");
  EXPECT_PRED2(has, error("{\"members\": [\n  {\"name\": oops}]}"), "line 2, column 12");
  EXPECT_PRED2(has, error("{\"members\": [{\"addresses\": [\"a:1\"]}, {\"addresses\": [\"a\"]}]}"),
               "members[1]: addresses: 'a'");
  EXPECT_PRED2(has, error("{\"members\": [{\"addresses\": [\"a:1\"], \"wieght\": 1}]}"), "members[0]: wieght: unknown");
  EXPECT_PRED2(has, error("{\"members\": [{\"addresses\": [\"a:1\"], \"weight\": 0}]}"), "weight");
  EXPECT_PRED2(has, error("{\"members\": [{\"addresses\": [\"a:1\"], \"weight\": 1e9}]}"), "weight");
  EXPECT_PRED2(has, error("{\"members\": [{\"name\": \"a\"}]}"), "no addresses");
  EXPECT_PRED2(
      has, error("{\"members\": [{\"name\":\"a\",\"addresses\":[\"a:1\"]},{\"name\":\"a\",\"addresses\":[\"b:1\"]}]}"),
      "twice");
  EXPECT_PRED2(has, error("{}"), "members");
  EXPECT_PRED2(has, error("\n \n"), "empty");
}

// A member's JSON is read back as it was; what a newer node adds does no harm.
TEST(MemberFormat, RoundTripAndUnknownKeys) {
  const Member member{"n1", {"10.0.0.1:5051"}, {"zone-a", "rack \"7\""}, 3, 1, 2};
  const auto back = parse_member(member_to_json(member));
  ASSERT_TRUE(back) << back.error().what();
  EXPECT_EQ(*back, member);
  EXPECT_TRUE(parse_member(R"({"name":"n","addresses":["a:1"],"colour":"blue"})"));
  EXPECT_FALSE(parse_member(R"({"addresses":["a:1"]})"));
  EXPECT_FALSE(parse_member(R"({"name":"n\n","addresses":["a:1"]})"));
}

// A rename over the file (as editors do) is a change; the same content again is none.
TEST(FileMembership, SeesARenameOverTheFile) {
  TemporaryDirectory directory;
  MetricsRegistry metrics;
  Views views;
  const auto path = directory / "peers";
  write_file(path, "a:1\n");
  const auto membership = watch_file(path, metrics);
  ASSERT_TRUE(membership->start(views.callback()));
  ASSERT_TRUE(views.reach({"a:1"}));
  write_file(directory / "same", "# again\na:1\n");
  fs::rename(directory / "same", path);
  write_file(directory / "new", "a:1\nb:2\n");
  fs::rename(directory / "new", path);
  ASSERT_TRUE(views.reach({"a:1", "b:2"}));
  membership->stop();
  EXPECT_EQ(views.count(), 2U);
  EXPECT_EQ(metric(metrics, "oxbow_membership_updates_total", "file"), 2);
  EXPECT_GT(metric(metrics, "oxbow_membership_last_update_seconds", "file"), 1e9);
}

// A broken file keeps the last view and says where it is broken; a mended one is taken.
TEST(FileMembership, KeepsTheLastViewOfABrokenFile) {
  TemporaryDirectory directory;
  MetricsRegistry metrics;
  Views views;
  const auto path = directory / "peers.json";
  write_file(path, R"({"members": [{"name": "a", "addresses": ["a:1"]}]})");
  const auto membership = watch_file(path, metrics);
  ASSERT_TRUE(membership->start(views.callback()));
  ASSERT_TRUE(views.reach({"a"}));
  write_file(path, "{\"members\": [}");
  ASSERT_TRUE(eventually([&] { return membership->trouble().find("line 1, column 14") != std::string::npos; }))
      << membership->trouble();
  EXPECT_EQ(views.count(), 1U);
  EXPECT_GE(metric(metrics, "oxbow_membership_errors_total", "file"), 1);
  fs::remove(path);
  ASSERT_TRUE(eventually([&] { return membership->trouble().find("open") != std::string::npos; }));
  write_file(path, "b:2\n");
  ASSERT_TRUE(views.reach({"b:2"}));
  EXPECT_TRUE(eventually([&] { return membership->trouble().empty(); }));
}

// Kubernetes swaps a symlink to a directory beside the file: two links away, and the file itself is never touched.
TEST(FileMembership, SeesASwappedSymlink) {
  TemporaryDirectory directory;
  MetricsRegistry metrics;
  Views views;
  fs::create_directory(directory / "..1");
  write_file(directory / "..1/peers", "a:1\n");
  fs::create_directory_symlink("..1", directory / "..data");
  fs::create_symlink("..data/peers", directory / "peers");
  const auto membership = watch_file(directory / "peers", metrics);
  ASSERT_TRUE(membership->start(views.callback()));
  ASSERT_TRUE(views.reach({"a:1"}));
  for (int i = 2; i < 5; ++i) {
    const auto name = ".." + std::to_string(i);
    fs::create_directory(directory / name);
    write_file(directory / (name + "/peers"), "b:" + std::to_string(i) + "\n");
    fs::create_directory_symlink(name, directory / "..tmp");
    fs::rename(directory / "..tmp", directory / "..data");
    ASSERT_TRUE(views.reach({"b:" + std::to_string(i)}));
  }
}

// A link to a file elsewhere: writes there are seen too.
TEST(FileMembership, SeesWritesBehindALink) {
  TemporaryDirectory directory;
  TemporaryDirectory elsewhere;
  MetricsRegistry metrics;
  Views views;
  write_file(elsewhere / "real", "a:1\n");
  fs::create_symlink(elsewhere / "real", directory / "peers");
  const auto membership = watch_file(directory / "peers", metrics);
  ASSERT_TRUE(membership->start(views.callback()));
  ASSERT_TRUE(views.reach({"a:1"}));
  write_file(elsewhere / "real", "a:2\n");
  ASSERT_TRUE(views.reach({"a:2"}));
}

// Where inotify says nothing (a directory that was not there at the start) the poll finds it.
TEST(FileMembership, PollsAsASafetyNet) {
  TemporaryDirectory directory;
  MetricsRegistry metrics;
  Views views;
  const auto membership =
      make_file_membership({.path = directory / "later/peers", .poll = std::chrono::milliseconds(20)}, metrics);
  ASSERT_TRUE(membership->start(views.callback()));
  ASSERT_TRUE(eventually([&] { return !membership->trouble().empty(); }));
  fs::create_directory(directory / "later");
  write_file(directory / "later/peers", "a:1\n");
  ASSERT_TRUE(views.reach({"a:1"}));
}

}  // namespace
}  // namespace oxbow::p2p
