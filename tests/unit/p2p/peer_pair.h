// Two nodes in one process: a PeerService with a content made of faults on a real server, and a PeerClient that asks
// it, over h2c or mutual TLS.
#pragma once

#include <boost/asio/use_future.hpp>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/http/server.h"
#include "core/waker.h"
#include "p2p/peer_client.h"
#include "p2p/peer_service.h"
#include "table_site.h"

namespace oxbow::p2p::test {

inline const std::string kChecksum = "00112233445566778899aabbccddeeff";
/// The stripe that the fake node got from upstream itself.
inline constexpr std::uint32_t kFirstHandStripe = 7;

/// Only a failing test waits so long.
inline constexpr std::chrono::seconds kPairPatience{30};

/// A stripe that the test lets arrive. Any thread.
class Feed : public std::enable_shared_from_this<Feed> {
 public:
  void give(std::string bytes);
  void cut();
  std::unique_ptr<http::Body> body(Loop& loop);
  bool wait_until_open();
  bool wait_until_closed();

 private:
  friend class FeedBody;
  void wake();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> parts_;
  bool cut_ = false;
  bool open_ = false;
  bool closed_ = false;
  std::shared_ptr<Waker> waker_;
};

class FakeContent final : public PeerContent {
 public:
  struct Blob {
    std::uint64_t size = 0;
    HaveMap have;
    std::map<std::uint32_t, std::string> stripes = {};
    std::map<std::uint32_t, std::shared_ptr<Feed>> feeds = {};
    std::vector<std::uint32_t> arriving = {};
    bool gone = false;
  };
  /// Changes a blob and tells its watchers.
  void change(const Digest& digest, const std::function<void(Blob&)>& change);

  std::optional<BlobFacts> facts(const Digest& digest, bool with_midstates) override;
  Result<StripeAnswer> stripe(const Digest& digest, std::uint64_t blob_bytes, std::uint32_t stripe,
                              std::uint64_t offset, Loop& loop) override;
  std::optional<HaveSlice> have_around(const Digest& digest, std::uint64_t blob_bytes, std::uint32_t stripe) override;
  std::unique_ptr<HaveWatch> watch_have(const Digest& digest) override;
  Task<Result<StripeAnswer>> stripe_along(Digest digest, std::uint64_t blob_bytes, std::uint32_t stripe,
                                          std::uint64_t offset, AlongAsk ask) override;
  Task<Result<KnownFacts>> known(std::string registry, std::string repository, std::string reference,
                                 bool may_ask) override;
  Task<SmallAnswer> small(Digest digest) override;

  std::map<Digest, SmallAnswer> smalls;  ///< before requests
  AlongAsk last_ask;
  std::chrono::milliseconds along_takes{0};

 private:
  class Watch;
  std::mutex mutex_;
  std::map<Digest, Blob> blobs_;
  std::map<Watch*, std::function<void()>> watches_;
};

/// Takes every preheat, and is full when the test says.
class FakePreheats final : public PeerPreheats {
 public:
  Result<PreheatReport> start(const std::string& from, const PreheatAsk& ask) override {
    const std::lock_guard lock(mutex_);
    if (full) return fail(Errc::kBusy, "too many wait");
    asked_by = from;
    asked = ask;
    return PreheatReport{.id = ask.id, .state = PreheatState::kRunning};
  }
  Result<PreheatReport> report(std::string_view id) override { return answer(id, PreheatState::kDone); }
  Result<PreheatReport> cancel(std::string_view id) override { return answer(id, PreheatState::kCancelled); }

  std::atomic<bool> full = false;
  // After an answer.
  std::string asked_by;
  std::optional<PreheatAsk> asked;

 private:
  Result<PreheatReport> answer(std::string_view id, PreheatState state) {
    const std::lock_guard lock(mutex_);
    if (!asked || asked->id != id) return fail(Errc::kNotFound, "never heard of it");
    return PreheatReport{.id = asked->id, .state = state, .bytes_done = 7, .bytes_total = 7};
  }
  std::mutex mutex_;
};

/// Collects what a stripe call tells; takes at most `room` bytes. Any thread asks.
class Collector final : public StripeSink {
 public:
  explicit Collector(std::size_t room = SIZE_MAX) : room_(room) {}
  void on_head(const StripeFacts& facts) override;
  std::size_t on_data(std::span<const std::byte> bytes) override;
  void on_news(const AnswerNews& news) override;
  void on_lease() override { lease = true; }
  void on_done(Result<> outcome, std::vector<std::string> alternatives) override;

  bool wait_for_bytes(std::size_t bytes);
  bool wait_done();
  void open_room() { room_ = SIZE_MAX; }

  // After wait_done.
  std::optional<StripeFacts> facts;
  std::string bytes;
  std::optional<AnswerNews> news;
  std::optional<Result<>> outcome;
  std::vector<std::string> alternatives;
  bool lease = false;

 private:
  std::atomic<std::size_t> room_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

/// What the server was asked, as it came.
struct Asked {
  std::string path;
  http::Headers headers;
};

struct PairOptions {
  bool tls = false;
  PeerServiceOptions service = {};
  std::vector<std::string> addresses = {};  ///< of the server, before its real one
  std::string client_name = "client";
  bool client_is_member = true;
  http::ClientOptions http = {};
  std::uint32_t have_streams = 512;  ///< that the client follows of one peer
};

/// The system's, and ahead of it in wall-clock time when the test says.
class AheadClock final : public Clock {
 public:
  Steady steady() const noexcept override { return std::chrono::steady_clock::now(); }
  Wall wall() const noexcept override { return std::chrono::system_clock::now() + ahead.load(); }
  std::atomic<std::chrono::hours> ahead{std::chrono::hours(0)};
};

class Pair {
 private:
  class Listening;  // remembers the requests before the service answers them

 public:
  explicit Pair(PairOptions options = {});
  ~Pair();
  Pair(const Pair&) = delete;

  PeerId server_id() const { return client_side.id("server"); }
  std::string address() const;
  Loop& loop() { return client_loops.at(0); }
  /// Runs `task` on the asker's loop and waits for its value.
  template <typename T>
  T run(Task<T> task) {
    return asio::co_spawn(loop(), std::move(task), asio::use_future).get();
  }
  template <typename Function>
  auto on_loop(Function function) {
    return asio::post(loop(), asio::use_future(std::move(function))).get();
  }
  std::unique_ptr<PeerCall> ask(StripeAsk ask, Collector& sink);
  /// Ends a call where it lives.
  void drop(std::unique_ptr<PeerCall>& call);

  TableSite server_side;
  TableSite client_side;
  FakeContent content;
  FakePreheats preheats;
  AheadClock clock;
  std::mutex mutex;
  std::vector<Announce> announced;        ///< under the mutex
  std::optional<MidstateList> midstates;  ///< of every blob, as the coordinator has them
  std::vector<std::string> greeted;
  std::set<std::string> revoked;
  std::vector<Asked> asked;

  std::filesystem::path directory;
  std::filesystem::path server_ca;  ///< the file of the CAs that the server believes; the client has one of its own
  std::unique_ptr<PeerService> service;
  std::unique_ptr<http::Handler> listening;
  Loops server_loops{2};
  Loops client_loops{2};
  std::unique_ptr<http::Server> server;
  std::unique_ptr<PeerClient> client;
};

Hello hello_of(std::string name);

}  // namespace oxbow::p2p::test
