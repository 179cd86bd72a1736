#include "mirror/peer_first_source.h"

#include "core/log.h"
#include "mirror/outcome.h"

namespace oxbow::mirror {
namespace {

/// Peers asked for one stripe before upstream is.
constexpr std::size_t kAskedMax = 3;
/// Peers that are fetching the blob themselves get a stripe any moment; who runs ahead of them, in order, would be
/// ahead of them to the end and bring a second copy from upstream. Waited in vain, the patience halves; served, it is
/// whole again.
constexpr std::chrono::milliseconds kPatience{2'000};
constexpr std::chrono::milliseconds kAskAgain{100};
/// Between questions to the coordinator: who comes first knows of nobody, and others come.
constexpr std::chrono::milliseconds kLookAgain{500};
/// A peer that neither answers nor goes on for this long is given up. Its stripe is asked for elsewhere.
constexpr std::chrono::milliseconds kSilent{3'000};

Task<> find_holders(FetchPeers& peers, Digest digest, std::uint64_t blob_bytes,
                    std::function<void(std::vector<p2p::PeerId>)> done) {
  std::vector<p2p::PeerId> holders;
  const auto snapshot = peers.snapshot();
  for (const auto coordinator : snapshot->ranked(p2p::key_of(digest), 2)) {
    p2p::Announce question;
    question.digest = digest;
    question.size = blob_bytes;
    question.interest = p2p::Interest::kWanting;  // and has nothing to give
    question.have = p2p::HaveMap(Geometry(blob_bytes).stripes());
    question.know_midstates = true;
    const auto reply = co_await peers.announce(coordinator, std::move(question), p2p::kLongestQuiet);
    if (!reply) continue;
    for (const auto& neighbour : reply->neighbours) {
      const auto* peer = snapshot->find(neighbour.name);
      if (peer != nullptr && !peer->self && peer->state == p2p::PeerState::kEligible) holders.push_back(peer->id);
    }
    if (!holders.empty()) break;
  }
  done(std::move(holders));
}

}  // namespace

class PeerFirstRequest final : public SpanRequest, public p2p::StripeSink, public SpanSink {
 public:
  PeerFirstRequest(PeerFirstSource& source, Loop& loop, ByteRange range, SpanSink& sink)
      : source_(source),
        loop_(loop),
        range_(range),
        sink_(sink),
        timer_(loop),
        watch_(loop),
        alive_(std::make_shared<PeerFirstRequest*>(this)) {}
  ~PeerFirstRequest() override { *alive_ = nullptr; }

  void begin() {
    if (upstream_first_) return ask_upstream(range_.end);
    look();
  }

  void look() {
    looked_ = std::chrono::steady_clock::now();
    asio::co_spawn(loop_,
                   find_holders(source_.peers_, source_.digest_, source_.geometry_.blob_bytes(),
                                [alive = alive_](std::vector<p2p::PeerId> holders) {
                                  if (*alive == nullptr) return;
                                  (*alive)->holders_ = std::move(holders);
                                  (*alive)->next();
                                }),
                   asio::detached);
  }

  void resume() override {
    hear();
    if (call_) call_->resume();
    if (upstream_) upstream_->resume();
  }

  // From a peer; `on_data` from upstream too:
  void on_head(const p2p::StripeFacts& facts) override {
    hear();
    if (source_.order_ == PeerFirstSource::Order::kPeersFirst || facts.verified) return head();
    // It only passes the stripe on, and nobody could check it here.
    unwanted_ = true;
    ++at_;
    later();
  }
  std::size_t on_data(std::span<const std::byte> bytes) override {
    if (refused_ || unwanted_) return bytes.size();
    const auto skipped = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), skip_));
    skip_ -= skipped;
    // A peer gives its stripe to the end, and upstream may give more than it was asked for: the rest is dropped.
    const auto rest = bytes.subspan(skipped);
    const auto wanted = rest.first(std::min<std::uint64_t>(rest.size(), range_.size()));
    const auto taken = wanted.empty() ? 0 : sink_.on_data(wanted);
    range_.begin += taken;
    if (call_) source_.peer_bytes_ += taken;
    hear();
    full_ = taken < wanted.size();
    return full_ ? skipped + taken : bytes.size();
  }
  void on_done(Result<> outcome, std::vector<std::string>) override {
    if (unwanted_) return;
    if (outcome) {
      arrived();
      patience_ = kPatience;
    } else {
      ++at_;  // not this one again
      const auto code = outcome.error().code();
      may_come_ = may_come_ || code == Errc::kNotFound || code == Errc::kBusy;
    }
    later();
  }

  // From upstream:
  void on_head(const SpanHead& from) override {
    if (auto right = check_head(from, source_.geometry_.blob_bytes(), range_.begin); !right) {
      refused_ = std::move(right.error());
      return;
    }
    skip_ = from.whole ? range_.begin : 0;
    head();
  }
  void on_done(Result<> outcome) override {
    if (refused_) outcome = std::unexpected(*refused_);
    if (!outcome) {
      if (!std::exchange(upstream_first_, false) || refused_ || !upstream_fails(outcome.error().code()))
        return sink_.on_done(std::move(outcome));
      return later();  // for the rest of this request peers come first
    }
    arrived();
    later();
  }

 private:
  void head() {
    if (!std::exchange(headed_, true)) sink_.on_head({range_.begin, false, source_.geometry_.blob_bytes()});
  }
  void hear() {
    heard_ = std::chrono::steady_clock::now();
    full_ = false;
  }
  void watch() {
    watch_.expires_at(heard_ + kSilent);
    watch_.async_wait([alive = alive_](const boost::system::error_code& error) {
      if (!error && *alive != nullptr) (*alive)->on_watch();
    });
  }
  void on_watch() {
    if (!call_) return;
    if (full_) heard_ = std::chrono::steady_clock::now();  // it is the reader that does not go on
    if (std::chrono::steady_clock::now() < heard_ + kSilent) return watch();
    ++at_;
    next();
  }
  void arrived() {
    asked_ = 0;
    waited_ = {};
    may_come_ = looked_again_ = false;
  }
  /// False: long enough.
  bool wait_for_peers() {
    if (!std::exchange(may_come_, false)) return false;
    if (waited_ >= patience_) {
      patience_ /= 2;
      return false;
    }
    waited_ += kAskAgain;
    asked_ = 0;
    timer_.expires_after(kAskAgain);
    timer_.async_wait([alive = alive_](const boost::system::error_code& error) {
      if (!error && *alive != nullptr) (*alive)->next();
    });
    return true;
  }
  /// Once for a stripe: peers that hang must not keep the reader from upstream.
  bool look_again() {
    if (std::chrono::steady_clock::now() - looked_ < kLookAgain || std::exchange(looked_again_, true)) return false;
    asked_ = 0;
    look();
    return true;
  }
  /// Posted: a call must not be ended from within its own callback.
  void later() {
    asio::post(loop_, [alive = alive_] {
      if (*alive != nullptr) (*alive)->next();
    });
  }

  void ask_upstream(std::uint64_t end) { upstream_ = source_.upstream_->request(loop_, {range_.begin, end}, *this); }

  void next() {
    call_.reset();
    upstream_.reset();
    unwanted_ = false;
    skip_ = 0;
    watch_.cancel();
    if (range_.empty()) return sink_.on_done({});
    const auto stripe = source_.geometry_.stripe_at(range_.begin);
    const auto bytes = source_.geometry_.stripe(stripe);
    if (asked_ >= std::min(kAskedMax, holders_.size())) {
      if (wait_for_peers() || look_again()) return;
      return ask_upstream(std::min(bytes.end, range_.end));
    }
    ++asked_;
    p2p::StripeAsk ask;
    ask.digest = source_.digest_;
    ask.blob_bytes = source_.geometry_.blob_bytes();
    ask.stripe = stripe;
    ask.offset = range_.begin - bytes.begin;
    call_ = source_.peers_.client().stripe(holders_[at_ % holders_.size()], std::move(ask), loop_, *this);
    hear();
    watch();
  }

  PeerFirstSource& source_;
  Loop& loop_;
  ByteRange range_;         ///< what is still to come
  std::uint64_t skip_ = 0;  ///< of a body that begins with the blob, because upstream knows no ranges
  SpanSink& sink_;
  std::chrono::steady_clock::time_point looked_{};
  std::vector<p2p::PeerId> holders_;
  std::size_t at_ = 0;
  std::size_t asked_ = 0;  ///< for the stripe at range_.begin
  bool looked_again_ = false;
  bool may_come_ = false;  ///< somebody who was asked for it may get it yet
  std::chrono::milliseconds waited_{0};
  std::chrono::milliseconds patience_ = kPatience;
  asio::steady_timer timer_;
  asio::steady_timer watch_;  ///< over `call_`
  std::chrono::steady_clock::time_point heard_{};
  bool full_ = false;  ///< the sink has not taken all
  bool headed_ = false;
  bool upstream_first_ = source_.order_ == PeerFirstSource::Order::kUpstreamFirst;  ///< and it has not failed yet
  bool unwanted_ = false;  ///< what `call_` still gives; `next` is on its way
  std::optional<Error> refused_;
  std::shared_ptr<PeerFirstRequest*> alive_;
  std::unique_ptr<p2p::PeerCall> call_;
  std::unique_ptr<SpanRequest> upstream_;
};

std::unique_ptr<SpanRequest> PeerFirstSource::request(Loop& loop, ByteRange range, SpanSink& sink) {
  auto request = std::make_unique<PeerFirstRequest>(*this, loop, range, sink);
  request->begin();
  return request;
}

}  // namespace oxbow::mirror
