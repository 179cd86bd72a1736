#include "peer_pair.h"

#include <gtest/gtest.h>

#include "core/geometry.h"
#include "core/tls/ca.h"

namespace oxbow::p2p::test {
namespace {

PeerContent::StripeAnswer answer(const FakeContent::Blob& blob, std::uint32_t stripe, std::uint64_t offset) {
  PeerContent::StripeAnswer answer;
  answer.facts.blob_bytes = blob.size;
  answer.facts.offset = offset;
  answer.facts.length = Geometry(blob.size).stripe(stripe).size() - offset;
  answer.facts.verified = true;
  answer.facts.checksum_hex = kChecksum;
  return answer;
}

}  // namespace

class FeedBody final : public http::Body {
 public:
  FeedBody(std::shared_ptr<Feed> feed, Loop& loop) : feed_(std::move(feed)), waker_(std::make_shared<Waker>(loop)) {
    waker_->set([this] {
      if (auto wake = std::exchange(wake_, nullptr)) wake();
    });
    const std::lock_guard lock(feed_->mutex_);
    feed_->waker_ = waker_;
    feed_->open_ = true;
    feed_->changed_.notify_all();
  }
  ~FeedBody() override {
    waker_->clear();
    const std::lock_guard lock(feed_->mutex_);
    feed_->closed_ = true;
    feed_->changed_.notify_all();
  }
  http::Piece next(std::size_t max_bytes) override {
    const std::lock_guard lock(feed_->mutex_);
    if (feed_->parts_.empty()) {
      if (feed_->cut_) return http::Cut{Error(Errc::kUnavailable, "cut by the test")};
      return http::Wait{};
    }
    auto& first = feed_->parts_.front();
    const auto bytes = std::make_shared<const std::string>(first.substr(0, max_bytes));
    first.erase(0, bytes->size());
    if (first.empty()) feed_->parts_.pop_front();
    return http::MemoryPiece{*bytes, bytes};
  }
  void on_ready(std::move_only_function<void()> wake) override {
    wake_ = std::move(wake);
    // What came between `next` and here has woken nobody.
    const std::lock_guard lock(feed_->mutex_);
    if (!feed_->parts_.empty() || feed_->cut_) waker_->wake();
  }

 private:
  std::shared_ptr<Feed> feed_;
  std::shared_ptr<Waker> waker_;
  std::move_only_function<void()> wake_;
};

void Feed::give(std::string bytes) {
  const std::lock_guard lock(mutex_);
  parts_.push_back(std::move(bytes));
  if (waker_) waker_->wake();
}

void Feed::cut() {
  const std::lock_guard lock(mutex_);
  cut_ = true;
  if (waker_) waker_->wake();
}

std::unique_ptr<http::Body> Feed::body(Loop& loop) { return std::make_unique<FeedBody>(shared_from_this(), loop); }

bool Feed::wait_until_open() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPairPatience, [&] { return open_; });
}

bool Feed::wait_until_closed() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPairPatience, [&] { return closed_; });
}

class FakeContent::Watch final : public PeerContent::HaveWatch {
 public:
  Watch(FakeContent& content, const Digest& digest) : content_(content), digest_(digest) {}
  ~Watch() override {
    const std::lock_guard lock(content_.mutex_);
    content_.watches_.erase(this);
  }
  State current() override {
    const std::lock_guard lock(content_.mutex_);
    const auto& blob = content_.blobs_.at(digest_);
    return {blob.have, blob.arriving, blob.gone};
  }
  std::optional<std::string> first_hand(std::uint32_t stripe) override {
    if (stripe != kFirstHandStripe) return std::nullopt;
    return kChecksum;
  }
  void on_change(std::function<void()> changed) override {
    const std::lock_guard lock(content_.mutex_);
    content_.watches_[this] = std::move(changed);
  }

 private:
  FakeContent& content_;
  const Digest digest_;
};

void FakeContent::change(const Digest& digest, const std::function<void(Blob&)>& change) {
  const std::lock_guard lock(mutex_);
  change(blobs_[digest]);
  for (const auto& [watch, changed] : watches_) changed();
}

std::optional<BlobFacts> FakeContent::facts(const Digest& digest, bool with_midstates) {
  const std::lock_guard lock(mutex_);
  const auto found = blobs_.find(digest);
  if (found == blobs_.end()) return std::nullopt;
  BlobFacts facts{.size = found->second.size, .verified = true, .have = found->second.have, .midstates = {}};
  if (with_midstates) {
    facts.midstates = MidstateList{"server", std::vector(facts.have.size() - 1, std::string(32, 'm'))};
  }
  return facts;
}

Result<PeerContent::StripeAnswer> FakeContent::stripe(const Digest& digest, std::uint64_t blob_bytes,
                                                      std::uint32_t stripe, std::uint64_t offset, Loop& loop) {
  const std::lock_guard lock(mutex_);
  const auto found = blobs_.find(digest);
  if (found == blobs_.end()) return fail(Errc::kNotFound, "no such blob");
  auto& blob = found->second;
  if (blob.size != blob_bytes) return fail(Errc::kInvalid, "another size");
  auto out = answer(blob, stripe, offset);
  if (const auto fed = blob.feeds.find(stripe); fed != blob.feeds.end()) {
    out.body = fed->second->body(loop);
  } else if (const auto whole = blob.stripes.find(stripe); whole != blob.stripes.end()) {
    out.body = std::make_unique<http::StringBody>(whole->second.substr(offset));
  } else {
    return fail(Errc::kNotFound, "no such stripe here");
  }
  return out;
}

std::optional<HaveSlice> FakeContent::have_around(const Digest& digest, std::uint64_t blob_bytes,
                                                  std::uint32_t stripe) {
  const std::lock_guard lock(mutex_);
  const auto found = blobs_.find(digest);
  if (found == blobs_.end() || found->second.size != blob_bytes) return std::nullopt;
  const auto& have = found->second.have;
  return slice_around(have.size(), stripe, [&](std::uint32_t i) { return have.has(i); });
}

std::unique_ptr<PeerContent::HaveWatch> FakeContent::watch_have(const Digest& digest) {
  {
    const std::lock_guard lock(mutex_);
    if (!blobs_.contains(digest)) return nullptr;
  }
  return std::make_unique<Watch>(*this, digest);
}

Task<Result<PeerContent::StripeAnswer>> FakeContent::stripe_along(Digest, std::uint64_t, std::uint32_t, std::uint64_t,
                                                                  AlongAsk ask) {
  {
    const std::lock_guard lock(mutex_);
    last_ask = std::move(ask);
  }
  co_await sleep_for(along_takes);
  co_return fail(Errc::kNotFound, "no right to fetch");
}

Task<Result<KnownFacts>> FakeContent::known(std::string registry, std::string repository, std::string reference,
                                            bool may_ask) {
  if (reference != "latest" && !may_ask) co_return fail(Errc::kNotFound, "no such tag");
  KnownFacts facts;
  facts.digest = Digest::sha256(registry + "|" + repository + "|" + reference);
  facts.size = 7;
  facts.anonymous = true;
  facts.age = std::chrono::milliseconds(may_ask ? 0 : 1'500);
  co_return facts;
}

Task<PeerContent::SmallAnswer> FakeContent::small(Digest digest) {
  const auto found = smalls.find(digest);
  co_return found == smalls.end() ? SmallAnswer{} : found->second;
}

void Collector::on_head(const StripeFacts& got) {
  const std::lock_guard lock(mutex_);
  facts = got;
}

std::size_t Collector::on_data(std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  const auto taken = std::min(data.size(), room_ - std::min(room_.load(), bytes.size()));
  bytes.append(reinterpret_cast<const char*>(data.data()), taken);
  changed_.notify_all();
  return taken;
}

void Collector::on_news(const AnswerNews& got) {
  const std::lock_guard lock(mutex_);
  EXPECT_FALSE(facts || outcome) << "news come first";
  news = got;
}

void Collector::on_done(Result<> got, std::vector<std::string> names) {
  const std::lock_guard lock(mutex_);
  EXPECT_FALSE(outcome) << "done twice";
  outcome = std::move(got);
  alternatives = std::move(names);
  changed_.notify_all();
}

bool Collector::wait_for_bytes(std::size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPairPatience, [&] { return bytes.size() >= count; });
}

bool Collector::wait_done() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPairPatience, [&] { return outcome.has_value(); });
}

Hello hello_of(std::string name) {
  Hello hello;
  hello.facts = facts(std::move(name), 42);
  hello.strategy = "swarm";
  return hello;
}

class Pair::Listening final : public http::Handler {
 public:
  explicit Listening(Pair& pair) : pair_(pair) {}
  Task<http::Response> handle(http::Request request) override {
    {
      const std::lock_guard lock(pair_.mutex);
      pair_.asked.push_back({request.path, request.headers});
    }
    return pair_.service->handle(std::move(request));
  }

 private:
  Pair& pair_;
};

Pair::Pair(PairOptions options) {
  http::ServerConfig config;
  config.name = "peer";
  config.listen = {"127.0.0.1:0"};
  config.keep_request_bodies = true;
  config.limits.request_body_bytes = kMaxMessageBytes;
  PeerClientOptions client_options{
      .own_name = options.client_name, .tls = nullptr, .http = options.http, .have_streams = options.have_streams};
  if (options.tls) {
    std::string pattern = (std::filesystem::temp_directory_path() / "oxbow-pair-XXXXXX").string();
    directory = ::mkdtemp(pattern.data());
    const auto now = std::chrono::floor<std::chrono::seconds>(clock.wall());
    tls::ClusterCa ca(directory / "ca");
    EXPECT_TRUE(ca.create("test", 10, now));
    const auto issue = [&](const std::string& name) {
      auto written =
          ca.issue({.identity = {.name = name, .dns = {}, .ips = {}}, .days = 5, .directory = directory}, now);
      if (!written) {
        ADD_FAILURE() << written.error().what();
        std::abort();
      }
      return std::move(*written);
    };
    const auto own = issue("server");
    const auto other = issue(options.client_name);
    server_ca = directory / "server-ca.crt";
    std::filesystem::copy(own.ca_file, server_ca);
    config.tls = http::TlsConfig{own.certificate_file, own.key_file, server_ca};
    auto made = http::make_client_tls({other.ca_file, other.certificate_file, other.key_file});
    EXPECT_TRUE(made) << made.error().what();
    client_options.tls = *made;
  }
  options.service.insecure = !options.tls;
  service = make_peer_service(
      options.service,
      {.table = server_side.table_,
       .content = content,
       .announce =
           [this](PeerId from, const Announce& announce) {
             const std::lock_guard lock(mutex);
             announced.push_back(announce);
             AnnounceReply reply;
             reply.digest = announce.digest;
             reply.size = announce.size;
             reply.wanters = from;
             if (!announce.know_midstates) reply.midstates = midstates;
             return reply;
           },
       .hello = [] { return hello_of("server"); },
       .on_hello =
           [this](const Hello& hello, const std::string&) {
             const std::lock_guard lock(mutex);
             greeted.push_back(hello.facts.name);
           },
       .alternatives = [](const Digest&, std::uint32_t) { return std::vector<std::string>{"node-8", "node-9"}; },
       .clock = clock,
       .revoked =
           [this](std::string_view name) {
             const std::lock_guard lock(mutex);
             return revoked.contains(std::string(name));
           },
       .preheats = [this] { return &preheats; }},
      server_side.metrics_);
  if (options.client_is_member) server_side.table_.set_members(named({options.client_name}));
  listening = std::make_unique<Listening>(*this);
  auto created = http::Server::create(std::move(config), server_loops, *listening, server_side.metrics_);
  if (!created) {
    ADD_FAILURE() << created.error().what();
    std::abort();
  }
  server = std::move(*created);
  server_loops.start();
  client_loops.start();
  server->start();
  options.addresses.push_back(address());
  client_side.table_.set_members({member("server", options.addresses)});
  client = make_peer_client(std::move(client_options), client_side.table_, client_loops, client_side.metrics_);
}

Pair::~Pair() {
  client->close();
  client_loops.finish(kPairPatience);
  client.reset();
  service->drain();
  server->drain(std::chrono::milliseconds(0));
  server.reset();
  if (!directory.empty()) std::filesystem::remove_all(directory);
}

std::string Pair::address() const { return server->addresses().front(); }

std::unique_ptr<PeerCall> Pair::ask(StripeAsk ask, Collector& sink) {
  return on_loop([&] { return client->stripe(server_id(), std::move(ask), loop(), sink); });
}

void Pair::drop(std::unique_ptr<PeerCall>& call) {
  on_loop([&] { call.reset(); });
}

}  // namespace oxbow::p2p::test
