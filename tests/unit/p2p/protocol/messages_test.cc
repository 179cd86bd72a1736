#include "p2p/protocol/messages.h"

#include <gtest/gtest.h>

#include "core/geometry.h"

namespace oxbow::p2p {
namespace {

constexpr std::uint64_t kMiB = 1024ULL * 1024;
const Digest kDigest = Digest::sha256(std::string_view("blob"));

MidstateList midstates(std::uint32_t count) {
  MidstateList list{.publisher = "node-3", .states = {}};
  for (std::uint32_t i = 0; i < count; ++i) list.states.emplace_back(32, static_cast<char>(i));
  return list;
}

Announce full_announce() {
  Announce announce;
  announce.digest = kDigest;
  announce.size = 64 * kMiB;
  announce.interest = Interest::kHolding;
  announce.have = HaveMap(Geometry(announce.size).stripes());
  announce.have.set(5);
  announce.may_fetch = true;
  announce.ask = {3, 1, 2};
  announce.leases = {{.span = 4, .bytes = 77}};
  announce.released = {9};
  announce.unreachable = {"node-9"};
  announce.gone = {"node-9"};
  announce.wanters = 7;
  announce.want_neighbours = false;
  announce.know_midstates = true;
  announce.midstates = midstates(127);
  return announce;
}

// All fields of an announcement arrive as they were sent.
TEST(Messages, AnnounceRoundTrip) {
  const auto sent = full_announce();
  const auto got = parse_announces(to_json(std::vector{sent, Announce{}}));
  ASSERT_TRUE(got) << got.error().what();
  ASSERT_EQ(got->size(), 2U);
  const auto& one = got->front();
  EXPECT_EQ(one.digest, sent.digest);
  EXPECT_EQ(one.size, sent.size);
  EXPECT_EQ(one.interest, sent.interest);
  EXPECT_EQ(one.have, sent.have);
  EXPECT_TRUE(one.may_fetch);
  EXPECT_EQ(one.ask, sent.ask);
  ASSERT_EQ(one.leases.size(), 1U);
  EXPECT_EQ(one.leases[0].span, 4U);
  EXPECT_EQ(one.leases[0].bytes, 77U);
  EXPECT_EQ(one.released, sent.released);
  EXPECT_EQ(one.unreachable, sent.unreachable);
  EXPECT_EQ(one.gone, sent.gone);
  EXPECT_EQ(one.wanters, sent.wanters);
  EXPECT_FALSE(one.want_neighbours);
  EXPECT_TRUE(one.know_midstates);
  EXPECT_EQ(one.midstates, sent.midstates);
  EXPECT_EQ(got->back().size, 0U);
  EXPECT_EQ(got->back().interest, Interest::kWanting);
  EXPECT_TRUE(got->back().want_neighbours);
}

// All fields of a coordinator's answer arrive as they were sent.
TEST(Messages, ReplyRoundTrip) {
  AnnounceReply sent;
  sent.digest = kDigest;
  sent.size = 64 * kMiB;
  sent.neighbours = {{.name = "node-2", .complete = true, .stripes = 128}};
  sent.granted = {{.span = 15, .ttl = std::chrono::milliseconds(2'500)}};
  sent.lost = {1};
  sent.midstates = midstates(127);
  sent.again = std::chrono::milliseconds(777);
  sent.fresh = true;
  sent.wanters = 12;
  const auto got = parse_announce_replies(to_json(std::vector{sent}));
  ASSERT_TRUE(got) << got.error().what();
  const auto& one = got->front();
  EXPECT_EQ(one.digest, sent.digest);
  EXPECT_EQ(one.size, sent.size);
  ASSERT_EQ(one.neighbours.size(), 1U);
  EXPECT_EQ(one.neighbours[0].name, "node-2");
  EXPECT_TRUE(one.neighbours[0].complete);
  EXPECT_EQ(one.neighbours[0].stripes, 128U);
  ASSERT_EQ(one.granted.size(), 1U);
  EXPECT_EQ(one.granted[0].span, 15U);
  EXPECT_EQ(one.granted[0].ttl, sent.granted[0].ttl);
  EXPECT_EQ(one.lost, sent.lost);
  EXPECT_EQ(one.midstates, sent.midstates);
  EXPECT_EQ(one.again, sent.again);
  EXPECT_TRUE(one.fresh);
  EXPECT_EQ(one.wanters, 12U);
}

// A hello keeps its 64-bit incarnation, and unknown fields of a newer version are ignored.
TEST(Messages, HelloRoundTripAndUnknownFields) {
  Hello sent;
  sent.facts = {.name = "node-7",
                .location = {"zone-a", "rack-2"},
                .weight = 2.5,
                .protocol_oldest = 1,
                .protocol_newest = 2,
                .incarnation = 0xfedcba9876543210,
                .draining = true};
  sent.version = "0.2.0";
  sent.strategy = "swarm";
  sent.replicas = 5;
  sent.settings_epoch = 9;
  sent.advertise = "10.0.0.7:5051";
  auto text = to_json(sent);
  text.insert(1, R"("later":{"x":[1,2]},)");
  const auto got = parse_hello(text);
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->facts.name, "node-7");
  EXPECT_EQ(got->facts.location, sent.facts.location);
  EXPECT_EQ(got->facts.weight, 2.5);
  EXPECT_EQ(got->facts.protocol_newest, 2U);
  EXPECT_EQ(got->facts.incarnation, sent.facts.incarnation);
  EXPECT_TRUE(got->facts.draining);
  EXPECT_EQ(got->strategy, "swarm");
  EXPECT_EQ(got->replicas, 5U);
  EXPECT_EQ(got->settings_epoch, 9U);
  EXPECT_EQ(got->advertise, sent.advertise);
  EXPECT_TRUE(parse_hello(R"({"name":"a"})"));
  EXPECT_FALSE(parse_hello(R"({"name":"a","weight":-1})"));
  EXPECT_FALSE(parse_hello(R"({"name":"a,b"})"));
  EXPECT_FALSE(parse_hello(R"({})"));
}

// Every bound holds: lists, spans of the blob, sizes, nesting, types.
TEST(Messages, BoundsAreHeld) {
  const auto announce = [](const std::string& more) {
    return parse_announces(R"({"announces":[{"digest":")" + kDigest.to_string() + R"(","interest":"wanting")" + more +
                           "}]}");
  };
  EXPECT_TRUE(announce(""));
  EXPECT_TRUE(announce(R"(,"size":67108864,"have":"none","ask":[15])"));
  EXPECT_FALSE(announce(R"(,"size":67108864,"have":"none","ask":[16])"));
  EXPECT_TRUE(announce(R"(,"size":67108864,"have":"none","leases":[{"span":15}])"));
  for (const auto* list : {R"("ask":[16])", R"("released":[16])", R"("leases":[{"span":16}])"}) {
    const auto outside = announce(R"(,"size":67108864,"have":"none",)" + std::string(list));
    ASSERT_FALSE(outside) << list;
    EXPECT_EQ(outside.error().code(), Errc::kInvalid) << list;
  }
  EXPECT_FALSE(announce(R"(,"size":67108864)"));
  EXPECT_FALSE(announce(R"(,"size":-1)"));
  EXPECT_EQ(announce(R"(,"size":18446744073709551615)").error().code(), Errc::kLimit);
  EXPECT_FALSE(announce(R"(,"interest":"else")"));
  EXPECT_FALSE(announce(R"(,"ask":[1.5])"));
  EXPECT_FALSE(announce(R"(,"leases":[3])"));
  EXPECT_FALSE(announce(R"(,"may_fetch":"yes")"));
  std::string long_list = R"(,"ask":[0)";
  for (std::size_t i = 0; i < kMaxSpanList; ++i) long_list += ",0";
  EXPECT_EQ(announce(long_list + "]").error().code(), Errc::kLimit);
  EXPECT_EQ(parse_announces(std::string(100, '[')).error().code(), Errc::kLimit);
  EXPECT_FALSE(parse_announces("[]"));
  EXPECT_FALSE(parse_announces("{}"));
  EXPECT_FALSE(parse_announces(R"({"announces":[{"digest":"sha256:00","interest":"left"}]})"));
  EXPECT_TRUE(is_blob_size(kMaxStripes * kMaxStripeBytes));
  EXPECT_FALSE(is_blob_size(kMaxStripes * kMaxStripeBytes + 1));
}

// A midstate list that does not fit the blob is refused as a whole.
TEST(Messages, MidstatesMustFitTheBlob) {
  auto announce = full_announce();
  announce.midstates = midstates(126);
  EXPECT_FALSE(parse_announces(to_json(std::vector{announce})));
}

// States of the other algorithm's length are refused in announcements, replies and facts. None are of either's length.
TEST(Messages, MidstatesMustFitTheDigest) {
  const std::string content = "blob";
  const auto sha512 = Digest::of(Digest::Algorithm::kSha512, std::as_bytes(std::span(content)));
  const MidstateList long_ones{.publisher = "node-3", .states = std::vector(127, std::string(64, 'm'))};
  const auto announced = [](const Digest& digest, std::uint64_t size, const MidstateList& list) {
    Announce announce;
    announce.digest = digest;
    announce.size = size;
    announce.have = HaveMap(Geometry(size).stripes());
    announce.midstates = list;
    return parse_announces(to_json(std::vector{announce}));
  };
  const auto replied = [](const Digest& digest, const MidstateList& list) {
    AnnounceReply reply;
    reply.digest = digest;
    reply.size = 64 * kMiB;
    reply.midstates = list;
    return parse_announce_replies(to_json(std::vector{reply}));
  };
  const auto told = [](const Digest& digest, const MidstateList& list) {
    const BlobFacts facts{.size = 64 * kMiB, .verified = true, .have = HaveMap(128), .midstates = list};
    return parse_blob_facts(to_json(facts), digest.algorithm());
  };

  const auto refused = announced(kDigest, 64 * kMiB, long_ones);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::kInvalid);
  EXPECT_FALSE(announced(sha512, 64 * kMiB, midstates(127)));
  EXPECT_TRUE(announced(kDigest, 64 * kMiB, midstates(127)));
  EXPECT_TRUE(announced(sha512, 64 * kMiB, long_ones));
  EXPECT_TRUE(announced(sha512, 1'000, midstates(0)));

  EXPECT_FALSE(replied(kDigest, long_ones));
  EXPECT_TRUE(replied(sha512, long_ones));
  EXPECT_FALSE(told(kDigest, long_ones));
  EXPECT_TRUE(told(sha512, long_ones));
}

// What a writer cannot put into one message is left out rather than refused by the reader.
TEST(Messages, WritersKeepTheBounds) {
  auto announce = full_announce();
  announce.ask.assign(kMaxSpanList + 5, 1);
  const auto got = parse_announces(to_json(std::vector{announce}));
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->front().ask.size(), kMaxSpanList);
}

// The largest announcement there is fits into one message.
TEST(Messages, LargestBlobFits) {
  Announce announce;
  announce.digest = kDigest;
  announce.size = kMaxStripes * kMaxStripeBytes;
  announce.have = HaveMap(kMaxStripes);
  announce.have.set(1);
  announce.midstates = midstates(kMaxStripes - 1);
  const auto json = to_json(std::vector{announce});
  EXPECT_LT(json.size(), kMaxMessageBytes);
  const auto got = parse_announces(json);
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->front().midstates, announce.midstates);
}

// Lines of a have stream come back, and stripes outside the blob are refused.
TEST(Messages, HaveLines) {
  HaveUpdate sent;
  sent.map = HaveMap(100);
  sent.map->set(99);
  sent.have = {1, 2};
  sent.arriving = {3};
  sent.lost = {4};
  sent.load = Load{.used = 2, .slots = 8, .waiting = 1};
  sent.sums = {{99, "00112233445566778899aabbccddeeff"}};
  const auto line = to_json_line(sent);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto got = parse_have_update(line, 100);
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->map, sent.map);
  EXPECT_EQ(got->have, sent.have);
  EXPECT_EQ(got->arriving, sent.arriving);
  EXPECT_EQ(got->lost, sent.lost);
  EXPECT_EQ(got->load, sent.load);
  EXPECT_EQ(got->sums, sent.sums);
  EXPECT_FALSE(parse_have_update(R"({"sums":[[1,"00"]]})", 100));
  EXPECT_FALSE(parse_have_update(R"({"sums":[[100,"00112233445566778899aabbccddeeff"]]})", 100));
  EXPECT_FALSE(parse_have_update(line, 99));
  EXPECT_FALSE(parse_have_update(R"({"have":[100]})", 100));
  EXPECT_TRUE(parse_have_update("{}", 100));
  EXPECT_FALSE(parse_have_update(R"({"load":"1/2"})", 100));
}

// A blob's facts and the texts of fields come back.
TEST(Messages, FactsLoadsAndSlices) {
  BlobFacts facts{.size = 3 * kMiB, .verified = true, .have = HaveMap(6), .midstates = midstates(5)};
  facts.have.set(2);
  const auto got = parse_blob_facts(to_json(facts), kDigest.algorithm());
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->size, facts.size);
  EXPECT_TRUE(got->verified);
  EXPECT_EQ(got->have, facts.have);
  EXPECT_EQ(got->midstates, facts.midstates);
  EXPECT_FALSE(parse_blob_facts(R"({"size":3145728})", kDigest.algorithm()));

  const Load load{.used = 8, .slots = 8, .waiting = 3};
  EXPECT_EQ(parse_load(to_text(load)), load);
  for (const auto* wrong : {"", "1", "1/2", "1/2/", "a/b/c", "1/2/3/4", "-1/2/3", "1/2/99999999999"}) {
    EXPECT_FALSE(parse_load(wrong)) << wrong;
  }

  HaveMap have(10'000);
  have.set(5'000);
  const auto has = [&](std::uint32_t stripe) { return have.has(stripe); };
  const auto slice = slice_around(10'000, 5'000, has);
  EXPECT_EQ(slice.have.size(), kHaveSliceStripes);
  EXPECT_TRUE(slice.have.has(5'000 - slice.first));
  EXPECT_EQ(parse_have_slice(to_text(slice), 10'000), slice);
  EXPECT_EQ(slice_around(10'000, 9'999, has).first, 10'000 - kHaveSliceStripes);
  EXPECT_EQ(slice_around(3, 2, has).have.size(), 3U);
  EXPECT_FALSE(parse_have_slice("10000:none", 10'000));
  EXPECT_FALSE(parse_have_slice("none", 10'000));

  KnownFacts said;
  said.digest = kDigest;
  said.size = 7;
  said.node = true;
  said.age = std::chrono::milliseconds(4'200);
  const auto known = parse_known_facts(to_json(said));
  ASSERT_TRUE(known);
  EXPECT_EQ(known->digest, kDigest);
  EXPECT_EQ(known->size, 7U);
  EXPECT_EQ(std::pair(known->anonymous, known->node), std::pair(false, true));
  EXPECT_EQ(known->age, std::chrono::milliseconds(4'200));
  // What is not said gives no right.
  const auto little = parse_known_facts(R"({"digest":")" + kDigest.to_string() + R"("})");
  ASSERT_TRUE(little);
  EXPECT_FALSE(little->size || little->anonymous || little->node);
  EXPECT_FALSE(parse_known_facts(R"({"digest":"x"})"));
  EXPECT_FALSE(parse_known_facts(R"({"digest":")" + kDigest.to_string() + R"(","age_ms":-1})"));
  EXPECT_FALSE(parse_known_facts(R"({"digest":")" + kDigest.to_string() + R"(","size":18446744073709551615})"));
}

}  // namespace
}  // namespace oxbow::p2p
