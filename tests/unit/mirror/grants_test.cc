// Who may read what, over a real store: grants that last, grants that pass, and what ends them.
#include "mirror/grants.h"

#include "core/encoding.h"
#include "scratch.h"

namespace oxbow::mirror {
namespace {

using namespace std::chrono_literals;
using upstream::Identity;
using upstream::IdentityKind;

const RepositoryKey kApp{"reg.test", "team/app"};
const Identity kAnonymous{};
const Identity kNode{IdentityKind::kNode, {}};

Identity client(std::string authorization) { return {IdentityKind::kClient, std::move(authorization)}; }

/// A token as a registry signs it, with or without padding; nobody here checks the signature.
std::string bearer(const std::string& payload) {
  auto encoded = base64_encode(payload);
  while (encoded.ends_with('=')) encoded.pop_back();
  for (auto& c : encoded) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return "Bearer eyJhbGciOiJSUzI1NiJ9." + encoded + ".c2ln";
}
std::string bearer_until(Clock::Wall at) {
  return bearer(
      fmt::format(R"({{"sub":"x?>","exp":{}}})", std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count()));
}

class GrantsTest : public ::testing::Test {
 protected:
  Scratch scratch_;
  Grants grants_{scratch_.store(), scratch_.clock(), scratch_.metrics()};
};

// Nobody may read anything before upstream has said so.
TEST_F(GrantsTest, NothingIsGrantedByDefault) {
  EXPECT_FALSE(grants_.has(kApp, kAnonymous));
  EXPECT_FALSE(grants_.has(kApp, kNode));
  EXPECT_FALSE(grants_.has(kApp, client("Bearer a")));
}

// A credential's grant is its own: it opens neither another repository, nor another registry, nor another caller's way.
TEST_F(GrantsTest, ClientGrantIsForOneCredentialAndRepository) {
  grants_.add(kApp, client("Bearer a"), 5min);
  EXPECT_TRUE(grants_.has(kApp, client("Bearer a")));
  EXPECT_FALSE(grants_.has(kApp, client("Bearer b")));
  EXPECT_FALSE(grants_.has(kApp, kAnonymous));
  EXPECT_FALSE(grants_.has(kApp, kNode));
  EXPECT_FALSE(grants_.has({"reg.test", "team/app2"}, client("Bearer a")));
  EXPECT_FALSE(grants_.has({"other.test", "team/app"}, client("Bearer a")));
}

// A client's grant ends at access_ttl, to the millisecond, and a new success begins it anew.
TEST_F(GrantsTest, ClientGrantEndsAtTtl) {
  grants_.add(kApp, client("Basic eDp5"), 5min);
  scratch_.clock().advance(5min - 1ms);
  EXPECT_TRUE(grants_.has(kApp, client("Basic eDp5")));
  scratch_.clock().advance(1ms);
  EXPECT_FALSE(grants_.has(kApp, client("Basic eDp5")));
  grants_.add(kApp, client("Basic eDp5"), 5min);
  EXPECT_TRUE(grants_.has(kApp, client("Basic eDp5")));
}

// A token that expires earlier than access_ttl takes its grant with it; a later one does not prolong it.
TEST_F(GrantsTest, TokenExpiryBoundsTheGrant) {
  const auto now = scratch_.clock().wall();
  const auto soon = client(bearer_until(now + 60s));
  const auto late = client(bearer_until(now + 1h));
  grants_.add(kApp, soon, 5min);
  grants_.add(kApp, late, 5min);
  scratch_.clock().advance(61s);
  EXPECT_FALSE(grants_.has(kApp, soon));
  EXPECT_TRUE(grants_.has(kApp, late));
  scratch_.clock().advance(4min);
  EXPECT_FALSE(grants_.has(kApp, late));
}

// A token that has expired grants nothing, even if upstream's clock let it through.
TEST_F(GrantsTest, ExpiredTokenGrantsNothing) {
  const auto past = client(bearer_until(scratch_.clock().wall() - 10s));
  grants_.add(kApp, past, 5min);
  EXPECT_FALSE(grants_.has(kApp, past));
}

// What upstream gives to everybody a caller with a credential may have too.
TEST_F(GrantsTest, AnonymousGrantHoldsForAll) {
  grants_.add(kApp, kAnonymous, 0ms);
  EXPECT_TRUE(grants_.has(kApp, kAnonymous));
  EXPECT_TRUE(grants_.has(kApp, client("Bearer z")));
  scratch_.clock().advance(24h * 365);
  EXPECT_TRUE(grants_.has(kApp, kAnonymous));
}

// The node's grant is for requests with the node's identity.
TEST_F(GrantsTest, NodeGrantIsForTheNode) {
  grants_.add(kApp, kNode, 0ms);
  EXPECT_TRUE(grants_.has(kApp, kNode));
  EXPECT_FALSE(grants_.has(kApp, kAnonymous));
  EXPECT_FALSE(grants_.has(kApp, client("Bearer a")));
}

// Lasting grants survive a restart; a client's does not, and its credential is nowhere in the store.
TEST_F(GrantsTest, LastingGrantsSurviveReopen) {
  const RepositoryKey node_only{"reg.test", "node/only"};
  grants_.add(kApp, kAnonymous, 0ms);
  grants_.add(node_only, kNode, 0ms);
  grants_.add({"reg.test", "private"}, client("Bearer secret-value"), 5min);
  scratch_.reopen();
  Grants again(scratch_.store(), scratch_.clock(), scratch_.metrics());
  EXPECT_FALSE(again.has(kApp, kAnonymous)) << "before load";
  again.load();
  EXPECT_TRUE(again.has(kApp, kAnonymous));
  EXPECT_TRUE(again.has(node_only, kNode));
  EXPECT_FALSE(again.has(node_only, kAnonymous));
  EXPECT_FALSE(again.has({"reg.test", "private"}, client("Bearer secret-value")));
  scratch_.store().table_scan(storage::Table::kGrants, "", [](std::string_view key, std::string_view value) {
    EXPECT_EQ(key.find("secret"), std::string_view::npos);
    EXPECT_EQ(value.find("secret"), std::string_view::npos);
    return true;
  });
}

// A refusal ends exactly the grant that it is about, for good.
TEST_F(GrantsTest, RevokeEndsOneGrant) {
  grants_.add(kApp, client("Bearer a"), 5min);
  grants_.add(kApp, client("Bearer b"), 5min);
  grants_.revoke(kApp, client("Bearer a"));
  EXPECT_FALSE(grants_.has(kApp, client("Bearer a")));
  EXPECT_TRUE(grants_.has(kApp, client("Bearer b")));

  grants_.add(kApp, kAnonymous, 0ms);
  grants_.revoke(kApp, client("Bearer b"));
  EXPECT_TRUE(grants_.has(kApp, client("Bearer b"))) << "the repository is public";
  grants_.revoke(kApp, kAnonymous);
  EXPECT_FALSE(grants_.has(kApp, kAnonymous));
  scratch_.reopen();
  Grants again(scratch_.store(), scratch_.clock(), scratch_.metrics());
  again.load();
  EXPECT_FALSE(again.has(kApp, kAnonymous));
}

// The grants of clients are bounded: the limit is counted, and the newest still holds.
TEST_F(GrantsTest, ClientGrantsAreBounded) {
  for (int i = 0; i < 65'537; ++i) grants_.add(kApp, client("Bearer " + std::to_string(i)), 5min);
  EXPECT_TRUE(grants_.has(kApp, client("Bearer 65536")));
  EXPECT_EQ(scratch_.metric("oxbow_limit_hits_total{limit=\"access.grants\"}"), "1");
}

// Expired grants make room before live ones are forgotten.
TEST_F(GrantsTest, ExpiredGrantsMakeRoom) {
  for (int i = 0; i < 65'535; ++i) grants_.add(kApp, client("Bearer " + std::to_string(i)), 1s);
  grants_.add(kApp, client("Bearer live"), 5min);
  scratch_.clock().advance(2s);
  grants_.add(kApp, client("Bearer new"), 5min);
  EXPECT_TRUE(grants_.has(kApp, client("Bearer live")));
  EXPECT_TRUE(grants_.has(kApp, client("Bearer new")));
}

// Everything that is no JWT with a whole number as `exp` has no lifetime to read, and nothing fails on it.
TEST(BearerLifetime, ReadsOnlyWhatIsThere) {
  const Clock::Wall now(std::chrono::seconds(1'700'000'000));
  EXPECT_EQ(bearer_lifetime(bearer(R"({"exp":1700000300})"), now), 300s);
  EXPECT_EQ(bearer_lifetime("bearer " + bearer(R"({"exp":1700000300})").substr(7), now), 300s) << "case of the scheme";
  EXPECT_EQ(bearer_lifetime(bearer(R"({"exp":1})"), now), 0s);
  for (const auto& text : {std::string(), std::string("Bearer"), std::string("Bearer "), std::string("Bearer opaque"),
                           std::string("Bearer a.b"), std::string("Bearer .."), std::string("Bearer a.%%.c"),
                           std::string("Basic eDp5"), bearer("[]"), bearer("{}"), bearer(R"({"exp":"soon"})"),
                           bearer("not json")}) {
    EXPECT_FALSE(bearer_lifetime(text, now)) << text;
  }
  // Numbers at the edges neither overflow nor grant for ever.
  EXPECT_LE(*bearer_lifetime(bearer(R"({"exp":9223372036854775807})"), now), 24h);
  EXPECT_EQ(bearer_lifetime(bearer(R"({"exp":-9223372036854775808})"), now), 0s);
}

}  // namespace
}  // namespace oxbow::mirror
