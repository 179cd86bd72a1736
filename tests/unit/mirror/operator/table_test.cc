#include "mirror/operator/table.h"

#include <gtest/gtest.h>

namespace oxbow::mirror {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Table, IsAlignedByItsWidestCells) {
  Table table({{"NAME"}, {"SIZE", Table::Align::kRight}, {"STATE"}});
  table.row({"a", "1.0 GiB", "ok"});
  table.row({"långa-ßtraße", "7 B", ""});
  EXPECT_EQ(table.text({}),
            "NAME             SIZE  STATE\n"
            "a             1.0 GiB  ok\n"
            "långa-ßtraße      7 B\n");
}

TEST(Table, FitsATerminal) {
  Table table({{"NAME", Table::Align::kLeft, true}, {"SIZE"}});
  table.row({"docker.io/library/nginx", "1 MiB"});
  EXPECT_EQ(table.text({.width = 20}),
            "NAME           SIZE\n"
            "docker.io/li…  1 MiB\n");
  EXPECT_EQ(table.text({.width = 3}),
            "NAME      SIZE\n"
            "docker.…  1 MiB\n");
}

// Proves: a name from elsewhere cannot move the cursor or colour the terminal.
TEST(Table, ControlBytesAreShown) {
  Table table({{"NAME"}});
  table.row({"a\x1b[31mb\nc"});
  EXPECT_EQ(table.text({}), "NAME\na?[31mb?c\n");
}

TEST(Table, PaintsOnlyWhereThereAreColours) {
  EXPECT_EQ(painted({}, Colour::kRed, "down"), "down");
  EXPECT_EQ(painted({80, true}, Colour::kRed, "down"), "\x1b[31mdown\x1b[0m");
}

TEST(Human, Numbers) {
  EXPECT_EQ(human_duration(milliseconds(850)), "850ms");
  EXPECT_EQ(human_duration(seconds(59)), "59s");
  EXPECT_EQ(human_duration(seconds(312)), "5m 12s");
  EXPECT_EQ(human_duration(seconds(86'400 * 3 + 3'600 * 4 + 59)), "3d 4h");
  EXPECT_EQ(human_duration(seconds(86'400 + 59)), "1d");
  EXPECT_EQ(human_share(0.3333), "33.3 %");
  EXPECT_EQ(short_digest("sha256:0123456789abcdef0123"), "sha256:0123456789ab");
}

}  // namespace
}  // namespace oxbow::mirror
