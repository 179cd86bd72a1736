// What peers know, through the whole service: while upstream fails, and with the tag's owner; and what this node tells.
#include <gtest/gtest.h>

#include "knowing_peers.h"
#include "service_bench.h"

namespace oxbow::mirror {
namespace {

using namespace std::chrono_literals;

constexpr auto kTag = "/v2/app/manifests/v1";
constexpr auto kType = "application/vnd.oci.image.manifest.v1+json";

class ServicePeersTest : public ::testing::Test {
 protected:
  ServicePeersTest() { bench_.join(peers_); }

  static p2p::KnownFacts facts(const Digest& digest, std::uint64_t size, bool anonymous = true, bool node = false) {
    p2p::KnownFacts facts;
    facts.digest = digest;
    facts.size = size;
    facts.anonymous = anonymous;
    facts.node = node;
    return facts;
  }
  /// A peer knows the image `config_` by tag and digest, and has its manifest and config.
  void teach(p2p::PeerId peer, bool anonymous = true, bool node = false, std::chrono::milliseconds age = 1min) {
    auto& told = peers_[peer];
    const auto digest = Digest::sha256(manifest_);
    told.known["v1"] = facts(digest, 0, anonymous, node);
    told.known["v1"].age = age;
    told.known[digest.to_string()] = facts(digest, manifest_.size(), anonymous, node);
    told.known[config_.to_string()] = facts(config_, config_bytes_.size(), anonymous, node);
    told.small[digest] = {manifest_, kType};
    told.small[config_] = {config_bytes_, ""};
  }
  std::string manifest_path() const { return "/v2/app/manifests/" + Digest::sha256(manifest_).to_string(); }
  std::string config_path() const { return "/v2/app/blobs/" + config_.to_string(); }
  void upstream_is_down() { bench_.site.set({.down = 503}); }
  void set_credentials(config::Credentials credentials) {
    bench_.registry().credentials = credentials;
    bench_.apply();
  }
  void set_via_owner() {
    bench_.registry().tags_via = config::TagsVia::kOwner;
    bench_.apply();
  }

  const std::string config_bytes_ = "{\"the\":\"config\"}";
  const Digest config_ = Digest::sha256(config_bytes_);
  const std::string manifest_ = manifest_of({{config_, config_bytes_.size()}});
  KnowingPeers peers_{4};
  ServiceBench bench_;
};

// A node that never saw the repository serves an image whole from what peers know, by tag with a warning.
TEST_F(ServicePeersTest, ServedWhileUpstreamIsDown) {
  teach(2);
  upstream_is_down();
  const auto by_tag = bench_.get(kTag);
  EXPECT_EQ(by_tag.status, 200);
  EXPECT_EQ(by_tag.body, manifest_);
  EXPECT_EQ(by_tag.header("Content-Type"), kType);
  EXPECT_EQ(by_tag.header("Docker-Content-Digest"), Digest::sha256(manifest_).to_string());
  EXPECT_TRUE(by_tag.header("Warning").starts_with("111"));
  EXPECT_EQ(bench_.get(config_path()).body, config_bytes_);
  const auto head = bench_.head(manifest_path());
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.length, manifest_.size());
  EXPECT_EQ(bench_.get("/v2/app/manifests/v2").status, 503);
  EXPECT_EQ(bench_.get("/v2/app/blobs/" + Digest::sha256("x").to_string()).status, 503);
}

// While upstream lets a small blob wait, peers are asked for it; a refusal that comes in time is final.
TEST_F(ServicePeersTest, PeersServeWhatUpstreamLetsWait) {
  bench_.site.add_blob("app", config_bytes_);
  bench_.site.add_manifest("app", manifest_, "v1");
  ASSERT_EQ(bench_.get(kTag).status, 200);
  teach(2);
  bench_.site.hold("/blobs/");
  const auto got = bench_.get(config_path());
  EXPECT_EQ(got.body, config_bytes_);
  EXPECT_EQ(got.header("Oxbow-Source"), "peer");
  bench_.site.release();
}

TEST_F(ServicePeersTest, ARefusalIsNotOverriddenByPeers) {
  bench_.site.add_blob("app", config_bytes_);
  bench_.site.add_manifest("app", manifest_, "v1");
  ASSERT_EQ(bench_.get(kTag).status, 200);
  teach(2);
  bench_.site.change([&] { bench_.site["app"].readers = {"Bearer carol"}; });
  EXPECT_EQ(bench_.get(config_path()).status, 401);
}

// A peer's word makes no grant and no membership: when no peer speaks any more, what is here is not served either.
TEST_F(ServicePeersTest, NothingLastsOfAPeersWord) {
  teach(2);
  upstream_is_down();
  ASSERT_EQ(bench_.get(kTag).status, 200);
  ASSERT_EQ(bench_.get(config_path()).status, 200);
  peers_.change([&] { peers_[2].known.clear(); });
  for (const auto& path : {std::string(kTag), manifest_path(), config_path()}) EXPECT_EQ(bench_.get(path).status, 503);
  EXPECT_FALSE(bench_.known("reg.test", "app", config_.to_string()));
  EXPECT_FALSE(bench_.known("reg.test", "app", "v1"));
}

// Upstream's refusal and its "no such thing" are final: peers are not asked.
TEST_F(ServicePeersTest, NeverAfterARefusal) {
  teach(1);
  bench_.site["app"].readers = {"Bearer alice"};
  for (const auto& path : {std::string(kTag), manifest_path(), config_path()}) {
    EXPECT_EQ(bench_.get(path).status, 401);
    EXPECT_EQ(bench_.get(path, with("Bearer bob")).status, 401);
    EXPECT_EQ(bench_.get(path, with("Bearer alice")).status, 404);
  }
  EXPECT_EQ(peers_.questions(), 0U);
}

// In client mode only what upstream serves to everybody is served by a peer's word, also to those with a credential.
TEST_F(ServicePeersTest, PrivateContentStaysPrivate) {
  teach(1, false, true);
  teach(3, false, false);
  upstream_is_down();
  for (const auto& path : {std::string(kTag), manifest_path(), config_path()}) {
    EXPECT_EQ(bench_.get(path).status, 503);
    EXPECT_EQ(bench_.get(path, with("Bearer alice")).status, 503);
  }
  peers_.change([&] { teach(3, true, false); });
  EXPECT_EQ(bench_.get(config_path(), with("Bearer alice")).body, config_bytes_);
}

// A client's own grant from before the outage does not open more by a peer's word.
TEST_F(ServicePeersTest, AClientsGrantOpensNothingMore) {
  bench_.site.add_manifest("app", manifest_of({}), "other");
  bench_.site["app"].readers = {"Bearer alice"};
  ASSERT_EQ(bench_.get("/v2/app/manifests/other", with("Bearer alice")).status, 200);
  teach(1, false, false);
  upstream_is_down();
  EXPECT_EQ(bench_.get(config_path(), with("Bearer alice")).status, 503);
}

// In node mode the grant of the peer's own credential is enough.
TEST_F(ServicePeersTest, NodeMode) {
  set_credentials(config::Credentials::kNode);
  teach(1, false, true);
  upstream_is_down();
  EXPECT_EQ(bench_.get(kTag).body, manifest_);
  EXPECT_EQ(bench_.get(config_path()).body, config_bytes_);
}

// A peer without any right that knows the digest, and an own grant from before: together they are enough.
TEST_F(ServicePeersTest, AnOwnAnonymousGrantIsEnough) {
  bench_.site.add_manifest("app", manifest_of({}), "other");
  ASSERT_EQ(bench_.get("/v2/app/manifests/other").status, 200);
  teach(4, false, false);
  upstream_is_down();
  EXPECT_EQ(bench_.get(kTag).body, manifest_);
  EXPECT_EQ(bench_.get(config_path()).body, config_bytes_);
}

// Wrong bytes are not served: their sender is reported and the next one asked.
TEST_F(ServicePeersTest, WrongBytesAreCaught) {
  for (const p2p::PeerId peer : {1, 2, 3}) {
    teach(peer);
    peers_[peer].small[config_].bytes = "something else";
  }
  upstream_is_down();
  EXPECT_EQ(bench_.get(config_path()).status, 503);
  EXPECT_EQ(peers_.bad(), (std::set<p2p::PeerId>{1, 2, 3}));
  peers_.change([&] { teach(4); });
  EXPECT_EQ(bench_.get(config_path()).body, config_bytes_);
}

// What a manifest says of its own type counts, not what the peer says.
TEST_F(ServicePeersTest, TheDocumentSaysItsType) {
  teach(1);
  const std::string index =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]})";
  const auto digest = Digest::sha256(index);
  peers_[1].known[digest.to_string()] = facts(digest, index.size());
  peers_[1].small[digest] = {index, "text/html"};
  upstream_is_down();
  const auto answer = bench_.get("/v2/app/manifests/" + digest.to_string());
  EXPECT_EQ(answer.body, index);
  EXPECT_EQ(answer.header("Content-Type"), "application/vnd.oci.image.index.v1+json");
}

// Of several the tag that was seen last; none that is older than stale_if_error.
TEST_F(ServicePeersTest, TheNewestTag) {
  teach(1, true, false, 5min);
  const auto newer = manifest_of({});
  auto& told = peers_[3];
  told.known["v1"] = facts(Digest::sha256(newer), newer.size());
  told.known["v1"].age = 2min;
  told.small[Digest::sha256(newer)] = {newer, kType};
  upstream_is_down();
  EXPECT_EQ(bench_.get(kTag).body, newer);
  bench_.registry().stale_if_error = 1min;
  bench_.apply();
  EXPECT_EQ(bench_.get(kTag).status, 503);
}

// One that is silent does not keep the others' answers from the client.
TEST_F(ServicePeersTest, ASilentPeerIsNotWaitedFor) {
  teach(1);
  peers_[2].silent = peers_[3].silent = true;
  upstream_is_down();
  EXPECT_EQ(bench_.get(kTag).body, manifest_);
}

// ---- tags_via = "owner" ----

// Upstream is not asked for the tag: its owner tells, and counts as upstream until it is older than the TTL.
TEST_F(ServicePeersTest, TheOwnerAsks) {
  const auto digest = bench_.site.add_manifest("app", manifest_, "v1");
  set_via_owner();
  const p2p::PeerId owner = peers_.snapshot()->ranked(p2p::key_of("reg.test app v1"), 1).front();
  ASSERT_NE(owner, peers_.snapshot()->self()) << "this name is owned by a peer";
  peers_[owner].after_asking["v1"] = facts(digest, 0);
  peers_[owner].after_asking["v1"].age = 4s;
  EXPECT_EQ(bench_.get(kTag).body, manifest_);
  EXPECT_EQ(bench_.site.count("HEAD"), 0U);
  EXPECT_EQ(bench_.site.count("GET"), 1U) << "the manifest, which makes the grant";
  EXPECT_EQ(bench_.get(kTag).status, 200);
  EXPECT_EQ(peers_.owners_asked(), std::vector{owner});
  bench_.clock().advance(1s);  // 5 s since the owner heard of it
  EXPECT_EQ(bench_.get(kTag).status, 200);
  EXPECT_EQ(peers_.owners_asked().size(), 2U);
  EXPECT_EQ(bench_.site.count("HEAD"), 0U);
}

// An owner that knows nothing, is silent or tells something old costs its budget: the node asks itself.
TEST_F(ServicePeersTest, ItselfAsFallback) {
  const auto digest = bench_.site.add_manifest("app", manifest_, "v1");
  set_via_owner();
  const p2p::PeerId owner = peers_.snapshot()->ranked(p2p::key_of("reg.test app v1"), 1).front();
  EXPECT_EQ(bench_.get(kTag).body, manifest_);
  EXPECT_EQ(bench_.site.count("HEAD"), 1U);
  bench_.clock().advance(5s);
  peers_.change([&] {
    peers_[owner].after_asking["v1"] = facts(Digest::sha256("old"), 0);
    peers_[owner].after_asking["v1"].age = 6s;
  });
  EXPECT_EQ(bench_.get(kTag).header("Docker-Content-Digest"), digest.to_string());
  EXPECT_EQ(bench_.site.count("HEAD"), 2U);
  bench_.clock().advance(5s);
  peers_.change([&] { peers_[owner].silent = true; });
  EXPECT_EQ(bench_.get(kTag).status, 200);
  EXPECT_EQ(bench_.site.count("HEAD"), 3U);
}

// A client with a credential of its own asks by itself where upstream does not serve everybody.
TEST_F(ServicePeersTest, NotForAClientsCredential) {
  bench_.site.add_manifest("app", manifest_, "v1");
  bench_.site["app"].readers = {"Bearer alice"};
  set_via_owner();
  EXPECT_EQ(bench_.get(kTag, with("Bearer alice")).status, 200);
  EXPECT_TRUE(peers_.owners_asked().empty());
}

// ---- what this node tells ----

// After a pull: digests with their sizes, whom the repository is open to, and the tag with its age.
TEST_F(ServicePeersTest, TellsWhatItSaw) {
  bench_.site.add_manifest("app", manifest_, "v1");
  EXPECT_FALSE(bench_.known("reg.test", "app", "v1"));
  ASSERT_EQ(bench_.get(kTag).status, 200);
  bench_.clock().advance(3s);
  const auto tag = bench_.known("reg.test", "app", "v1");
  ASSERT_TRUE(tag);
  EXPECT_EQ(tag->digest, Digest::sha256(manifest_));
  EXPECT_TRUE(tag->anonymous);
  EXPECT_FALSE(tag->node);
  EXPECT_EQ(tag->age, 3s);
  const auto config = bench_.known("reg.test", "app", config_.to_string());
  ASSERT_TRUE(config);
  EXPECT_EQ(config->size, config_bytes_.size());
  EXPECT_FALSE(bench_.known("reg.test", "other", config_.to_string()));
  EXPECT_FALSE(bench_.known("other.test", "app", config_.to_string()));
  EXPECT_FALSE(bench_.known("nowhere.test", "app", "v1"));
  EXPECT_EQ(bench_.known("reg.test", "a/../b", "v1").error().code(), Errc::kInvalid);
  EXPECT_EQ(bench_.known("reg.test", "app", "no tag").error().code(), Errc::kInvalid);
}

// What a client's own credential brought is known, and opens nothing.
TEST_F(ServicePeersTest, TellsNoRightOfAClient) {
  bench_.site.add_manifest("app", manifest_, "v1");
  bench_.site["app"].readers = {"Bearer alice"};
  ASSERT_EQ(bench_.get(kTag, with("Bearer alice")).status, 200);
  const auto known = bench_.known("reg.test", "app", config_.to_string());
  ASSERT_TRUE(known);
  EXPECT_FALSE(known->anonymous || known->node);
}

// Asked as owner it asks upstream once within the TTL, with its own right alone, whatever the ring looks like here.
TEST_F(ServicePeersTest, AsksAsOwner) {
  bench_.site.add_manifest("app", manifest_, "v1");
  set_via_owner();
  for (int i = 0; i < 3; ++i) {
    const auto told = bench_.known("reg.test", "app", "v1", true);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->digest, Digest::sha256(manifest_));
    EXPECT_TRUE(told->anonymous);
  }
  EXPECT_EQ(bench_.site.count("HEAD"), 1U);
  EXPECT_EQ(peers_.questions(), 0U);
  EXPECT_EQ(bench_.known("reg.test", "app", "v2", true).error().code(), Errc::kNotFound);
  bench_.site.change([&] { bench_.site["app"].readers = {"Bearer alice"}; });
  ASSERT_EQ(bench_.get(kTag, with("Bearer alice")).status, 200);
  bench_.clock().advance(5s);
  EXPECT_EQ(bench_.known("reg.test", "app", "v1", true).error().code(), Errc::kDenied);
}

}  // namespace
}  // namespace oxbow::mirror
