#include "registry-api/tags.h"

#include <gtest/gtest.h>

namespace oxbow::registry_api {
namespace {

const OwnPath kOwn{"/v2/docker.io/library/alpine/tags/list", std::nullopt};

TagsPage page(std::string_view query, OwnPath own = kOwn) {
  return tags_page("library/alpine", {"c", "a", "b", "a", "d"}, *parse_page_query(query), own);
}

// Sorted, each once; `last` is exclusive and need not exist; a page that ends the list has no Link.
TEST(Tags, Pages) {
  EXPECT_EQ(page("").json, R"({"name":"library/alpine","tags":["a","b","c","d"]})");
  EXPECT_EQ(page("").link, std::nullopt);
  EXPECT_EQ(page("n=2").json, R"({"name":"library/alpine","tags":["a","b"]})");
  EXPECT_EQ(page("n=2").link, R"(<)" + kOwn.path + R"(?last=b&n=2>; rel="next")");
  EXPECT_EQ(page("n=2&last=b").json, R"({"name":"library/alpine","tags":["c","d"]})");
  EXPECT_EQ(page("n=2&last=b").link, std::nullopt);
  EXPECT_EQ(page("last=bb").json, R"({"name":"library/alpine","tags":["c","d"]})");
  EXPECT_EQ(page("n=99999999999999999999999").link, std::nullopt);
}

// n=0 is an empty list and the end of it: a Link would make clients ask for ever.
TEST(Tags, ZeroIsEmptyWithoutALink) {
  EXPECT_EQ(page("n=0").json, R"({"name":"library/alpine","tags":[]})");
  EXPECT_EQ(page("n=0").link, std::nullopt);
}

// The next page keeps the namespace, escaped.
TEST(Tags, LinkKeepsTheNamespace) {
  EXPECT_EQ(page("n=1", {"/v2/x/tags/list", "reg:5000"}).link,
            R"(</v2/x/tags/list?last=a&n=1&ns=reg%3A5000>; rel="next")");
}

TEST(Tags, RefusesAPageSizeThatIsNoNumber) {
  for (const auto* bad : {"n=x", "n=-1", "n=1.5", "n=5x"}) EXPECT_FALSE(parse_page_query(bad)) << bad;
  EXPECT_TRUE(parse_page_query("n="));
}

// What upstream lists: null is none, text that is no tag is left out, anything else is an error.
TEST(Tags, Parse) {
  EXPECT_EQ(*parse_tags(R"({"name":"x","tags":["a","b/c",1,"d"]})"), (std::vector<std::string>{"a", "d"}));
  EXPECT_TRUE(parse_tags(R"({"name":"x","tags":null})")->empty());
  EXPECT_FALSE(parse_tags(R"({"tags":"a"})"));
  EXPECT_FALSE(parse_tags("<html>"));
}

// Upstream's next page, however it is written, becomes one on our own path.
TEST(Link, IsRewrittenToOurPath) {
  const auto expected = R"(<)" + kOwn.path + R"(?last=b&n=2>; rel="next")";
  for (const auto* link :
       {R"(</v2/library/alpine/tags/list?last=b&n=2>; rel="next")", R"(</v2/x/tags/list?last=b&n=2>;rel=next)",
        R"(<https://registry-1.docker.io/v2/x/tags/list?last=b&n=2>; rel="next")",
        R"(<https://up.io/v2/x/tags/list?ns=up.io&last=b&n=2>; rel="prev next"; title="a, b")",
        R"(</v2/x/tags/list?n=2>; rel="first", </v2/x/tags/list?last=b&n=2>; REL=NEXT)",
        R"(<?last=b&n=2>; rel="next")"}) {
    EXPECT_EQ(rewrite_link(link, kOwn), expected) << link;
  }
  EXPECT_EQ(rewrite_link(R"(</v2/x/referrers/sha256:aa?t=1>; rel="next")", {"/v2/x/referrers/sha256:aa", "up.io"}),
            R"(</v2/x/referrers/sha256:aa?t=1&ns=up.io>; rel="next")");
}

// Links that lead nowhere, elsewhere, or out of the header are dropped.
TEST(Link, DropsWhatIsNoNextPage) {
  for (const auto* link : {"", "garbage", R"(</v2/x/tags/list?n=2>; rel="prev")", R"(</v2/x/tags/list>; rel="next")",
                           R"(</evil?x=1>; rel="next")", "</v2/x/tags/list?a=\r\nSet-Cookie: x>; rel=next",
                           R"(</v2/x/tags/list?n=2)", R"(</v2/x/tags/list?ns=up.io>; rel="next")"}) {
    EXPECT_EQ(rewrite_link(link, kOwn), std::nullopt) << link;
  }
}

}  // namespace
}  // namespace oxbow::registry_api
