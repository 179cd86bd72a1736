// Stripes along a path (`fingers`): a node that passes one on, keeps it, and acts as an owner, over real storage with
// peers that are made up.
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "body_reader.h"
#include "fake_source.h"
#include "mirror/blob_body.h"
#include "mirror/peer_contents.h"
#include "scratch.h"

namespace oxbow::mirror {
namespace {

using Along = p2p::PeerContent::AlongAsk;
using std::chrono::milliseconds;

constexpr std::size_t kMiB = 1024UL * 1024;
constexpr p2p::PeerId kSelf = 5;
constexpr std::uint64_t kClaimed = 16 * kMiB;

/// Peers that answer as the test says, each time they are asked.
class PathPeers final : public FetchPeers, public p2p::PeerClient {
 public:
  struct Answer {
    std::optional<Errc> error = {};  ///< nothing: the stripe
    bool lease = false;
    bool hold = false;  ///< half of it, and then nothing until `release`
    bool silent = false;
  };

  explicit PathPeers(const std::string& content) : content_(content), geometry_(content.size()) {
    std::vector<p2p::Peer> peers;
    for (p2p::PeerId id = 1; id <= 9; ++id) {
      p2p::Peer peer;
      peer.id = id;
      peer.member.name = fmt::format("node-{}", id);
      peer.self = id == kSelf;
      peers.push_back(std::move(peer));
    }
    snapshot_ = std::make_shared<const p2p::PeerSnapshot>(std::move(peers), 1);
  }

  void answers(p2p::PeerId peer, Answer answer) {
    const std::lock_guard lock(mutex_);
    answers_[peer] = answer;
  }
  std::vector<std::pair<p2p::PeerId, p2p::StripeAsk>> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  void release() { released_ = true; }

  // FetchPeers
  std::unique_ptr<p2p::Strategy> make_strategy(p2p::StrategyContext context) override {
    return p2p::make_strategy(strategy, std::move(context));
  }
  std::shared_ptr<const p2p::PeerSnapshot> snapshot() const override { return snapshot_; }
  std::unique_ptr<storage::Subscription> on_change(std::function<void()>) override { return nullptr; }
  Task<Result<p2p::AnnounceReply>> announce(p2p::PeerId, p2p::Announce, std::chrono::milliseconds) override {
    co_return p2p::AnnounceReply{};
  }
  p2p::PeerClient& client() override { return *this; }
  p2p::FingerOwner* finger_owner() override { return &owner; }
  void served_well(p2p::PeerId, double, double) override {}
  void sent_bad(p2p::PeerId, std::string_view) override { ++blamed; }
  void published_bad(std::string_view, std::string_view) override {}
  void holds(const Digest&) override {}

  // PeerClient
  std::unique_ptr<p2p::PeerCall> stripe(p2p::PeerId peer, p2p::StripeAsk ask, Loop& loop,
                                        p2p::StripeSink& sink) override;
  std::unique_ptr<p2p::PeerCall> watch_have(p2p::PeerId, Digest, std::uint32_t, Loop&,
                                            std::function<void(p2p::HaveUpdate)>, std::function<void(Error)>) override {
    return nullptr;
  }
  Task<Result<std::vector<p2p::AnnounceReply>>> announce(p2p::PeerId, std::vector<p2p::Announce>,
                                                         milliseconds) override {
    co_return std::vector<p2p::AnnounceReply>{};
  }
  Task<Result<p2p::BlobFacts>> facts(p2p::PeerId, Digest, bool, milliseconds) override {
    co_return fail(Errc::kNotFound, "no facts");
  }
  Task<Result<p2p::Hello>> hello(p2p::PeerId, p2p::Hello own, milliseconds) override { co_return own; }
  Task<Result<p2p::Hello>> hello_at(std::string, p2p::Hello own, milliseconds) override { co_return own; }
  Task<Result<p2p::KnownFacts>> known(p2p::PeerId, KnownAsk, milliseconds) override {
    co_return fail(Errc::kNotFound, "nothing is known");
  }
  Task<Result<SmallReply>> small(p2p::PeerId, Digest, milliseconds) override {
    co_return fail(Errc::kNotFound, "nothing is kept");
  }
  Task<Result<p2p::PreheatReport>> preheat(p2p::PeerId, PreheatCall, milliseconds) override {
    co_return fail(Errc::kUnsupported, "not here");
  }
  void close() override {}

  p2p::FingerOwner owner;
  p2p::StrategyKind strategy = p2p::StrategyKind::kSwarm;
  std::atomic<int> blamed = 0;

 private:
  class Call;
  const std::string content_;
  const Geometry geometry_;
  std::shared_ptr<const p2p::PeerSnapshot> snapshot_;
  mutable std::mutex mutex_;
  std::map<p2p::PeerId, Answer> answers_;
  std::vector<std::pair<p2p::PeerId, p2p::StripeAsk>> asked_;
  std::atomic<bool> released_ = false;
};

class PathPeers::Call final : public p2p::PeerCall {
 public:
  Call(PathPeers& peers, Answer answer, p2p::StripeAsk ask, Loop& loop, p2p::StripeSink& sink)
      : peers_(peers), answer_(answer), timer_(loop), sink_(sink) {
    const auto range = peers_.geometry_.stripe(ask.stripe);
    bytes_ = peers_.content_.substr(range.begin + ask.offset, range.size() - ask.offset);
    facts_.blob_bytes = peers_.content_.size();
    facts_.offset = ask.offset;
    facts_.length = bytes_.size();
    later();
  }
  void resume() override { later(); }

 private:
  void later() {
    timer_.expires_after(milliseconds(1));
    timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& cancelled) {
      if (!cancelled && !alive.expired()) step();
    });
  }
  void step() {
    if (answer_.silent) return;
    if (answer_.error) {
      if (answer_.lease) sink_.on_lease();
      return sink_.on_done(fail(*answer_.error, "as told"), {});
    }
    const std::weak_ptr alive(alive_);
    if (!std::exchange(headed_, true)) sink_.on_head(facts_);
    if (alive.expired()) return;
    auto part = std::string_view(bytes_).substr(given_, 65'536);
    if (answer_.hold && !peers_.released_ && given_ >= bytes_.size() / 2) return later();
    if (part.empty()) return sink_.on_done({}, {});
    const auto taken = sink_.on_data(std::as_bytes(std::span(part)));
    if (alive.expired()) return;
    given_ += taken;
    if (taken == part.size()) later();
  }

  PathPeers& peers_;
  const Answer answer_;
  asio::steady_timer timer_;
  p2p::StripeSink& sink_;
  std::string bytes_;
  p2p::StripeFacts facts_;
  std::size_t given_ = 0;
  bool headed_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

std::unique_ptr<p2p::PeerCall> PathPeers::stripe(p2p::PeerId peer, p2p::StripeAsk ask, Loop& loop,
                                                 p2p::StripeSink& sink) {
  Answer answer;
  {
    const std::lock_guard lock(mutex_);
    asked_.emplace_back(peer, ask);
    answer = answers_.contains(peer) ? answers_[peer] : Answer{Errc::kUnavailable};
  }
  return std::make_unique<Call>(*this, answer, std::move(ask), loop, sink);
}

/// Reads a body to its end.
Task<Result<std::string>> drain(std::unique_ptr<http::Body> body) {
  auto& loop = *co_await this_loop();
  std::string out;
  for (;;) {
    auto piece = body->next(256UL * 1024);
    if (const auto* file = std::get_if<http::FilePiece>(&piece)) {
      std::string part(file->length, '\0');
      if (::pread(file->fd, part.data(), part.size(), static_cast<off_t>(file->offset)) < 0)
        co_return fail(Errc::kIo, "read");
      out += part;
    } else if (const auto* cut = std::get_if<http::Cut>(&piece)) {
      co_return std::unexpected(cut->error);
    } else if (std::holds_alternative<http::End>(piece)) {
      co_return out;
    } else {
      asio::steady_timer timer(loop);
      timer.expires_after(milliseconds(1));
      co_await timer.async_wait(asio::use_awaitable);
    }
  }
}

class PeerPathsTest : public ::testing::Test {
 protected:
  PeerPathsTest() { blobs_.set_peers(&peers_); }
  ~PeerPathsTest() override { scratch_.stop(); }

  using Answer = Result<p2p::PeerContent::StripeAnswer>;
  Task<Result<std::string>> get(std::uint32_t stripe, Along ask, std::uint64_t offset = 0) {
    auto answer = co_await contents_.stripe_along(digest_, content_.size(), stripe, offset, std::move(ask));
    if (!answer) co_return std::unexpected(answer.error());
    co_return co_await drain(std::move(answer->body));
  }
  Task<Result<std::string>> read(std::shared_ptr<SpanSource> source) {
    auto& loop = *co_await this_loop();
    BlobRead what{digest_, content_.size(), {{0, content_.size()}}, true, {}, std::move(source)};
    co_return co_await drain(std::make_unique<BlobBody>(blobs_, loop, std::move(what)));
  }
  std::string bytes_of(std::uint32_t stripe, std::uint64_t offset = 0) const {
    const auto range = Geometry(content_.size()).stripe(stripe);
    return content_.substr(range.begin + offset, range.size() - offset);
  }
  std::optional<Errc> refusal_of(const Digest& digest, Along ask) {
    const auto answer = scratch_.run(contents_.stripe_along(digest, kClaimed, 0, 0, std::move(ask)));
    return answer ? std::nullopt : std::optional(answer.error().code());
  }
  bool has(std::uint32_t stripe) {
    const auto blob = scratch_.store().lookup(digest_);
    return blob && blob->has(stripe);
  }
  /// Its last bytes are given on before it is whole in the file.
  bool will_have(std::uint32_t stripe) {
    return eventually([&] { return has(stripe); });
  }
  static constexpr milliseconds kDeadline{30'000};
  static Along path(std::vector<std::string> names, std::string client = "node-1", std::uint32_t wants = 2) {
    return {std::move(names), std::move(client), wants, kDeadline};
  }

  const std::string content_ = pattern(4 * kMiB);
  const Digest digest_ = Digest::sha256(content_);
  PathPeers peers_{content_};
  Scratch scratch_;
  SystemClock clock_;
  Blobs blobs_{scratch_.store(), scratch_.pool(), clock_, scratch_.metrics(), {}};
  PeerContents contents_{blobs_, "node-5"};
};

// What is not here comes from the next of the path, which gets the rest of it and the client; it is given on, and
// stays.
TEST_F(PeerPathsTest, PassesOnAndKeeps) {
  peers_.answers(2, {});
  const auto got = scratch_.run(get(1, path({"node-2", "node-3"})));
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_TRUE(*got == bytes_of(1));
  EXPECT_TRUE(will_have(1));
  const auto asked = peers_.asked();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].first, 2U);
  EXPECT_TRUE(asked[0].second.along);
  EXPECT_EQ(asked[0].second.path, std::vector<std::string>{"node-3"});
  EXPECT_EQ(asked[0].second.client, "node-1");
  EXPECT_EQ(asked[0].second.wants, 2U);
  EXPECT_LT(asked[0].second.deadline, kDeadline);
  // The second time it is here; also a tail of it.
  EXPECT_TRUE(*scratch_.run(get(1, path({"node-3"}), 1'000)) == bytes_of(1, 1'000));
  EXPECT_EQ(peers_.asked().size(), 1U);
}

// Bytes are given on while they arrive, and two who ask at once cost one fetch.
TEST_F(PeerPathsTest, StreamsAndCoalesces) {
  peers_.answers(2, {.error = {}, .lease = false, .hold = true, .silent = false});
  auto first = scratch_.start(get(2, path({"node-2", "node-3"})));
  auto second = scratch_.start(get(2, path({"node-2", "node-3"}, "node-4")), 1);
  auto answer = scratch_.run(contents_.stripe_along(digest_, content_.size(), 2, 0, path({"node-2", "node-3"})));
  ASSERT_TRUE(answer);  // although half of it is all that has come
  EXPECT_FALSE(has(2));
  peers_.release();
  EXPECT_TRUE(*first.get() == bytes_of(2));
  EXPECT_TRUE(*second.get() == bytes_of(2));
  EXPECT_TRUE(*scratch_.run(drain(std::move(answer->body))) == bytes_of(2));
  EXPECT_EQ(peers_.asked().size(), 1U);
}

// A peer of the path that cannot be reached is passed over.
TEST_F(PeerPathsTest, PassesOverADeadHop) {
  peers_.answers(2, {Errc::kUnavailable});
  peers_.answers(3, {});
  EXPECT_TRUE(*scratch_.run(get(0, path({"node-2", "node-3"}))) == bytes_of(0));
  const auto asked = peers_.asked();
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_TRUE(asked[1].second.along);
  EXPECT_TRUE(asked[1].second.path.empty());
}

// The lease comes back along the path as kNotFound; nothing else does.
TEST_F(PeerPathsTest, TheLeaseComesBack) {
  peers_.answers(3, {Errc::kNotFound, true});
  EXPECT_EQ(scratch_.run(get(0, path({"node-3"}))).error().code(), Errc::kNotFound);
  peers_.answers(3, {Errc::kNotFound, false});
  EXPECT_EQ(scratch_.run(get(0, path({"node-3"}))).error().code(), Errc::kUnavailable);
  peers_.answers(3, {Errc::kBusy});
  EXPECT_EQ(scratch_.run(get(0, path({"node-3"}))).error().code(), Errc::kBusy);
}

// As owner: the first client has the lease, everybody else gets the stripe from it, and the owner keeps it.
TEST_F(PeerPathsTest, ActsAsOwner) {
  EXPECT_EQ(scratch_.run(get(0, path({}, "", 0))).error().code(), Errc::kBusy);  // may not fetch, nobody has it
  EXPECT_EQ(scratch_.run(get(0, path({}, "node-1"))).error().code(), Errc::kNotFound);
  peers_.answers(1, {});
  EXPECT_TRUE(*scratch_.run(get(0, path({}, "node-7"))) == bytes_of(0));
  EXPECT_FALSE(peers_.asked().front().second.along);
  EXPECT_TRUE(will_have(0));
}

// The holder that cannot be reached has lost the lease; one that has not got it yet has time.
TEST_F(PeerPathsTest, TheHolderDoesNotGive) {
  EXPECT_EQ(scratch_.run(get(0, path({}, "node-1"))).error().code(), Errc::kNotFound);
  peers_.answers(1, {Errc::kNotFound, false});
  EXPECT_EQ(scratch_.run(get(0, path({}, "node-7"))).error().code(), Errc::kBusy);
  peers_.answers(1, {.silent = true});
  auto impatient = path({}, "node-7");
  impatient.deadline = milliseconds(100);
  EXPECT_EQ(scratch_.run(get(0, std::move(impatient))).error().code(), Errc::kBusy);
  peers_.answers(1, {Errc::kUnavailable});
  EXPECT_EQ(scratch_.run(get(0, path({}, "node-7"))).error().code(), Errc::kNotFound);
}

// What nobody has leaves nothing here, whatever size the asker says it has.
TEST_F(PeerPathsTest, WhatGotNothingIsNotKept) {
  peers_.answers(2, {Errc::kUnavailable});
  for (int i = 0; i < 100; ++i) {
    const auto digest = Digest::sha256(fmt::format("nothing {}", i));
    EXPECT_EQ(refusal_of(digest, path({}, "", 0)), Errc::kBusy);
    EXPECT_EQ(refusal_of(digest, path({"node-2"})), Errc::kUnavailable);
    EXPECT_EQ(refusal_of(digest, path({}, "node-1")), Errc::kNotFound);
  }
  EXPECT_TRUE(scratch_.store().list().empty());
  EXPECT_EQ(blobs_.running_count(), 0U);
}

// A blob that this node's own client has asked for stays.
TEST_F(PeerPathsTest, AFailedPathLeavesAClientsBlobAlone) {
  const auto own = blobs_.fetch(digest_, content_.size(), scratch_.loop());
  ASSERT_TRUE(own);
  EXPECT_EQ(scratch_.run(get(0, path({}, "", 0))).error().code(), Errc::kBusy);
  EXPECT_FALSE((*own)->blob().gone());
  EXPECT_EQ(blobs_.running(digest_), *own);
}

// Peers that ask along a path for a blob of another size, and send a stripe of it, do not keep it out: not what has
// come, nor what is coming. They themselves do not end what has another size here.
TEST_F(PeerPathsTest, AnotherSizeAlongAPathKeepsNobodyOut) {
  peers_.answers(2, {});
  ASSERT_TRUE(scratch_.run(get(0, path({"node-2"}))));
  ASSERT_TRUE(will_have(0));
  const auto size = content_.size() - 1'000;
  EXPECT_EQ(scratch_.run(contents_.stripe_along(digest_, size, 1, 0, path({"node-2"}))).error().code(), Errc::kInvalid);
  EXPECT_FALSE(blobs_.relay(digest_, size, scratch_.loop()));
  ASSERT_TRUE(has(0));
  const auto relay = blobs_.relay(digest_, content_.size(), scratch_.loop());
  ASSERT_TRUE(relay);
  const auto own = blobs_.fetch(digest_, size, scratch_.loop());
  ASSERT_TRUE(own) << own.error().what();
  EXPECT_EQ((*own)->blob().geometry().blob_bytes(), size);
  EXPECT_TRUE((*relay)->blob().gone());
  // Of two clients the first has it while it is fetched.
  EXPECT_FALSE(blobs_.fetch(digest_, content_.size(), scratch_.loop()));
}

// The same for what was here before a restart, of which nobody knows who asked for it.
TEST_F(PeerPathsTest, AnUncheckedBlobOfAnotherSizeIsOnlyACache) {
  peers_.answers(2, {});
  ASSERT_TRUE(scratch_.run(get(0, path({"node-2"}))));
  ASSERT_TRUE(blobs_.fetch(digest_, content_.size(), scratch_.loop()));
  Blobs later(scratch_.store(), scratch_.pool(), clock_, scratch_.metrics(), {});
  EXPECT_FALSE(later.relay(digest_, 1'000, scratch_.loop()));
  EXPECT_TRUE(later.fetch(digest_, 1'000, scratch_.loop()));
  scratch_.stop();
}

// No loops: a node that stands in its own path refuses.
TEST_F(PeerPathsTest, NoLoops) {
  EXPECT_EQ(scratch_.run(get(0, path({"node-2", "node-5"}))).error().code(), Errc::kUnavailable);
  EXPECT_TRUE(peers_.asked().empty());
}

// A reader of this node, with the strategy itself: what peers have comes from them, although none is the sender that
// anybody would be named for; upstream gives nothing.
TEST_F(PeerPathsTest, AReaderWhosePeersHaveIt) {
  peers_.strategy = p2p::StrategyKind::kFingers;
  for (p2p::PeerId id = 1; id <= 9; ++id) peers_.answers(id, {});
  // Its own keys: as their owner it knows who has them.
  for (std::uint32_t stripe = 0; stripe < 8; ++stripe) peers_.owner.ask(p2p::Time{0}, digest_, stripe, 3, 8);
  auto source = std::make_shared<FakeSource>(content_);
  const auto got = scratch_.run(read(source));
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_TRUE(*got == content_);
  EXPECT_EQ(source->bytes_given(), 0U);
  EXPECT_EQ(peers_.blamed, 0);
}

// The same where nobody has it: the owner's lease comes back, and every byte leaves upstream once.
TEST_F(PeerPathsTest, AReaderThatIsGivenTheLease) {
  peers_.strategy = p2p::StrategyKind::kFingers;
  for (p2p::PeerId id = 1; id <= 9; ++id) peers_.answers(id, {Errc::kNotFound, true});
  auto source = std::make_shared<FakeSource>(content_);
  const auto got = scratch_.run(read(source));
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_TRUE(*got == content_);
  EXPECT_EQ(source->bytes_given(), content_.size());
}

// And where nobody can be reached: the pull succeeds all the same.
TEST_F(PeerPathsTest, AReaderAlone) {
  peers_.strategy = p2p::StrategyKind::kFingers;
  auto source = std::make_shared<FakeSource>(content_);
  const auto got = scratch_.run(read(source));
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_TRUE(*got == content_);
  EXPECT_EQ(source->bytes_given(), content_.size());
}

// A next hop that never answers costs its part of the deadline.
TEST_F(PeerPathsTest, ASilentHop) {
  peers_.answers(2, {.error = {}, .lease = false, .hold = false, .silent = true});
  peers_.answers(3, {});
  auto ask = path({"node-2", "node-3"});
  ask.deadline = milliseconds(3'000);
  EXPECT_TRUE(*scratch_.run(get(0, std::move(ask))) == bytes_of(0));
}

}  // namespace
}  // namespace oxbow::mirror
