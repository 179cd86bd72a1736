#include "p2p/peer_calls.h"

#include <algorithm>

#include "p2p/protocol/stripe_fields.h"

namespace oxbow::p2p {
namespace {

/// Of an answer; after it, progress is the asker's business.
constexpr std::chrono::milliseconds kHeadTimeout{3'000};
/// A have stream shows a sign of life every 2 s.
constexpr std::chrono::milliseconds kHaveSilence{7'000};

class StripeCall final : public PeerCall, public StreamConsumer {
 public:
  StripeCall(StripeAsk ask, StripeSink& sink) : ask_(std::move(ask)), sink_(sink) {}

  void open(StreamParts parts, http::ClientRequest request, Loop& loop) {
    stream_ =
        PeerStream::open(std::move(parts), std::move(request), std::min(ask_.deadline, kHeadTimeout), loop, *this);
  }
  void resume() override {
    if (stream_) stream_->resume();
  }

  void on_head(int status, const http::Headers& headers) override;
  std::size_t on_data(std::span<const std::byte> bytes) override;
  void on_done(Result<> outcome) override;

 private:
  void finish(Result<> outcome, std::vector<std::string> alternatives = {}) {
    stream_.reset();
    sink_.on_done(std::move(outcome), std::move(alternatives));
  }

  const StripeAsk ask_;
  StripeSink& sink_;
  std::unique_ptr<PeerStream> stream_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::uint64_t length_ = 0;
  std::uint64_t taken_ = 0;
};

void StripeCall::on_head(int status, const http::Headers& headers) {
  const auto news = parse_answer_news(headers, ask_.blob_bytes);
  if (!news) return finish(fail(Errc::kUnavailable, news.error().what()));
  sink_.on_news(*news);
  if (auto outcome = outcome_of(status); !outcome) {
    auto names = split_names(headers.find(field::kAlternatives).value_or(""), kMaxAlternatives);
    // The strategy knows a peer that is busy, has it not, or cannot: a refusal is of the last kind.
    const auto code = outcome.error().code();
    if (code == Errc::kNotFound && ask_.along && headers.find(field::kLease) == "1") sink_.on_lease();
    if (code == Errc::kDenied || code == Errc::kInvalid) outcome = fail(Errc::kUnavailable, outcome.error().what());
    return finish(std::move(outcome), names ? std::move(*names) : std::vector<std::string>());
  }
  auto facts = parse_answer_fields(status, headers, ask_.stripe, ask_.blob_bytes, ask_.offset);
  if (!facts) return finish(fail(Errc::kUnavailable, facts.error().what()));
  length_ = facts->length;
  sink_.on_head(*facts);
}

std::size_t StripeCall::on_data(std::span<const std::byte> bytes) {
  if (bytes.size() > length_ - taken_) {
    finish(fail(Errc::kUnavailable, "more bytes than the stripe has"));
    return bytes.size();
  }
  const std::weak_ptr alive(alive_);
  const auto taken = sink_.on_data(bytes);
  if (!alive.expired()) taken_ += taken;
  return taken;
}

void StripeCall::on_done(Result<> outcome) {
  // Too many calls wait for this peer here: as good as busy.
  if (!outcome && outcome.error().code() == Errc::kLimit) outcome = fail(Errc::kBusy, outcome.error().what());
  if (outcome && taken_ < length_) outcome = fail(Errc::kUnavailable, "the stripe was cut short");
  finish(std::move(outcome));
}

class HaveCall final : public PeerCall, public StreamConsumer {
 public:
  HaveCall(std::uint32_t stripes, std::shared_ptr<void> counted, Loop& loop, std::function<void(HaveUpdate)> on_update,
           std::function<void(Error)> on_end)
      : stripes_(stripes),
        counted_(std::move(counted)),
        on_update_(std::move(on_update)),
        on_end_(std::move(on_end)),
        timer_(loop) {}

  void open(StreamParts parts, http::ClientRequest request, Loop& loop) {
    stream_ = PeerStream::open(std::move(parts), std::move(request), kHeadTimeout, loop, *this);
  }

  void on_head(int status, const http::Headers&) override {
    if (auto outcome = outcome_of(status); !outcome) return end(std::move(outcome.error()));
    expect_life();
  }
  std::size_t on_data(std::span<const std::byte> bytes) override;
  void on_done(Result<> outcome) override {
    end(outcome ? Error(Errc::kNotFound, "the peer has the blob no more") : std::move(outcome.error()));
  }

 private:
  void expect_life();
  void end(Error why) {
    stream_.reset();
    counted_.reset();
    timer_.cancel();
    // The function may destroy this, and with it itself.
    const auto on_end = std::exchange(on_end_, nullptr);
    if (on_end) on_end(std::move(why));
  }

  const std::uint32_t stripes_;
  std::shared_ptr<void> counted_;
  const std::function<void(HaveUpdate)> on_update_;
  std::function<void(Error)> on_end_;
  asio::steady_timer timer_;
  std::unique_ptr<PeerStream> stream_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::string line_;
};

void HaveCall::expect_life() {
  timer_.expires_after(kHaveSilence);
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    end({Errc::kTimeout, "the have stream has fallen silent"});
  });
}

std::size_t HaveCall::on_data(std::span<const std::byte> bytes) {
  expect_life();
  const std::weak_ptr alive(alive_);
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (!rest.empty()) {
    const auto newline = rest.find('\n');
    line_ += rest.substr(0, newline);
    if (line_.size() > kMaxHaveLineBytes) {
      end({Errc::kUnavailable, "a line of the have stream is too long"});
      break;
    }
    if (newline == rest.npos) break;
    rest.remove_prefix(newline + 1);
    auto update = parse_have_update(std::exchange(line_, {}), stripes_);
    if (!update) {
      end({Errc::kUnavailable, update.error().what()});
      break;
    }
    // The function may destroy this, and with it itself.
    const auto on_update = on_update_;
    on_update(std::move(*update));
    if (alive.expired() || !on_end_) break;
  }
  return bytes.size();
}

class NoCall final : public PeerCall {
 public:
  NoCall(Loop& loop, std::function<void()> failed) {
    asio::post(loop, [alive = std::weak_ptr(alive_), failed = std::move(failed)] {
      if (!alive.expired()) failed();
    });
  }

 private:
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace

Result<> outcome_of(int status) {
  switch (status) {
    case 200:
    case 206:
      return {};
    case 404:
      return fail(Errc::kNotFound, "the peer does not have it");
    case 409:
      return fail(Errc::kNotFound, "the peer knows the blob with another size");
    case 400:
    case 405:
    case 413:
    case 416:
      return fail(Errc::kInvalid, fmt::format("the peer refuses the request with {}", status));
    case 403:
      return fail(Errc::kDenied, "the peer does not take this node for a member");
    case 503:
      return fail(Errc::kBusy, "the peer is busy");
    case 504:
      return fail(Errc::kTimeout, "the peer got no answer in time");
    default:
      return fail(Errc::kUnavailable, fmt::format("the peer answers {}", status));
  }
}

std::unique_ptr<PeerCall> open_stripe(StreamParts parts, http::ClientRequest request, StripeAsk ask, Loop& loop,
                                      StripeSink& sink) {
  auto call = std::make_unique<StripeCall>(std::move(ask), sink);
  call->open(std::move(parts), std::move(request), loop);
  return call;
}

std::unique_ptr<PeerCall> open_have_stream(StreamParts parts, http::ClientRequest request, std::uint32_t stripes,
                                           std::shared_ptr<void> counted, Loop& loop,
                                           std::function<void(HaveUpdate)> on_update,
                                           std::function<void(Error)> on_end) {
  auto call = std::make_unique<HaveCall>(stripes, std::move(counted), loop, std::move(on_update), std::move(on_end));
  call->open(std::move(parts), std::move(request), loop);
  return call;
}

std::unique_ptr<PeerCall> open_nothing(Loop& loop, std::function<void()> failed) {
  return std::make_unique<NoCall>(loop, std::move(failed));
}

}  // namespace oxbow::p2p
