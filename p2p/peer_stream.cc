#include "p2p/peer_stream.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <optional>

#include "core/loop_ticks.h"
#include "p2p/protocol/stripe_fields.h"

namespace oxbow::p2p {
namespace {

/// Fewer bytes than this wait for the asker's next tick.
constexpr std::size_t kSoonBytes = 128UL * 1024;

}  // namespace

/// Lives on two loops. The link's side makes the call and fills the queue; the asker's side empties it.
class PeerStream::Relay final : public http::ClientSink,
                                public LoopTicks::Work,
                                public std::enable_shared_from_this<Relay> {
 public:
  Relay(StreamParts parts, http::ClientRequest request, Loop& asker, StreamConsumer& consumer)
      : parts_(std::move(parts)),
        request_(std::move(request)),
        asker_(asker),
        ticks_(LoopTicks::of(asker)),
        direct_(&asker == &parts_.link->loop()),
        timer_(parts_.link->loop()),
        consumer_(&consumer) {}

  // The asker's side.
  void cancel();
  void resume();

  // The link's side.
  void start(std::chrono::milliseconds head_timeout);
  void on_head(int status, const http::Headers& headers) override;
  std::size_t on_data(std::span<const std::byte> bytes) override;
  void on_done(Result<> outcome) override;

 private:
  void attempt();
  void finish(Result<> outcome);
  void note(const Result<>& outcome);
  void end_call();
  std::size_t append(std::span<const std::byte> bytes);
  void wake();
  void wake_soon();
  bool on_tick(LoopTicks::Time now) override;
  void deliver();
  bool deliver_chunk();

  const StreamParts parts_;
  http::ClientRequest request_;
  Loop& asker_;
  LoopTicks& ticks_;
  const bool direct_;

  // Of the link's loop.
  asio::steady_timer timer_;
  std::shared_ptr<http::ClientConnection> connection_;
  std::unique_ptr<http::ClientCall> call_;
  Attempts attempts_;
  bool head_seen_ = false;
  bool over_ = false;

  // Of the asker's loop.
  StreamConsumer* consumer_;
  std::string current_;
  std::size_t current_done_ = 0;
  bool blocked_ = false;

  // Between the two.
  std::mutex mutex_;
  std::optional<std::pair<int, http::Headers>> head_;
  std::deque<std::string> queue_;
  std::size_t queued_bytes_ = 0;  // not taken by the consumer yet, `current_` included
  std::optional<Result<>> outcome_;
  bool stalled_ = false;  // the call has been told to wait
  bool awake_ = false;    // a delivery is under way
  bool soon_ = false;     // and one comes with the asker's next tick
};

void PeerStream::Relay::start(std::chrono::milliseconds head_timeout) {
  if (over_) return;
  timer_.expires_after(head_timeout);
  timer_.async_wait([self = shared_from_this(), head_timeout](const boost::system::error_code& error) {
    if (error || self->head_seen_) return;
    self->finish(fail(Errc::kTimeout, fmt::format("no answer within {} ms", head_timeout.count())));
  });
  attempt();
}

void PeerStream::Relay::attempt() {
  auto connection = parts_.link->connection();
  if (!connection) return finish(std::unexpected(std::move(connection.error())));
  connection_ = std::move(*connection);
  attempts_.begin(connection_->connected());
  const auto left = timer_.expiry() - std::chrono::steady_clock::now();
  renew_deadline(std::chrono::duration_cast<std::chrono::milliseconds>(left), request_.headers);
  call_ = connection_->call(request_, *this);
}

void PeerStream::Relay::on_head(int status, const http::Headers& headers) {
  head_seen_ = true;
  timer_.cancel();
  parts_.table.note_contact(parts_.peer, load_of(headers));
  if (direct_) {
    if (consumer_ != nullptr) consumer_->on_head(status, headers);
    return;
  }
  const std::lock_guard lock(mutex_);
  head_.emplace(status, headers);
  wake();
}

std::size_t PeerStream::Relay::on_data(std::span<const std::byte> bytes) {
  if (direct_) {
    const auto self = shared_from_this();
    const auto taken = consumer_ == nullptr ? bytes.size() : consumer_->on_data(bytes);
    parts_.bytes.Increment(static_cast<double>(taken));
    return taken;
  }
  const std::lock_guard lock(mutex_);
  const auto taken = append(bytes.first(std::min(bytes.size(), kQueueBytes - queued_bytes_)));
  stalled_ = taken < bytes.size();
  parts_.bytes.Increment(static_cast<double>(taken));
  if (queued_bytes_ < kSoonBytes)
    wake_soon();
  else
    wake();
  return taken;
}

std::size_t PeerStream::Relay::append(std::span<const std::byte> bytes) {
  auto rest = bytes;
  while (!rest.empty()) {
    if (queue_.empty() || queue_.back().size() >= StreamChunks::kChunkBytes)
      queue_.push_back(parts_.chunks->take(rest.size()));
    auto& chunk = queue_.back();
    const auto part = rest.first(std::min(rest.size(), StreamChunks::kChunkBytes - chunk.size()));
    chunk.append(reinterpret_cast<const char*>(part.data()), part.size());
    rest = rest.subspan(part.size());
  }
  queued_bytes_ += bytes.size();
  return bytes.size();
}

void PeerStream::Relay::on_done(Result<> outcome) {
  if (over_) return;
  if (!outcome && !head_seen_) {
    if (attempts_.again(*parts_.link, connection_, outcome.error())) {
      // Not from within the old call's last word.
      asio::post(parts_.link->loop(), [self = shared_from_this()] {
        if (!self->over_) self->attempt();
      });
      return;
    }
  }
  finish(std::move(outcome));
}

void PeerStream::Relay::note(const Result<>& outcome) {
  if (outcome) return;
  const auto code = outcome.error().code();
  // A stream that ends early on a connection that stands is the peer's word on that stripe, not on itself.
  const bool stands = connection_ && connection_->connected();
  const bool failed = code == Errc::kTimeout || ((code == Errc::kUnavailable || code == Errc::kDenied) && !stands);
  if (failed) parts_.table.note_failure(parts_.peer, outcome.error());
}

/// The last word of the link's side.
void PeerStream::Relay::finish(Result<> outcome) {
  if (std::exchange(over_, true)) return;
  const auto self = shared_from_this();
  note(outcome);
  timer_.cancel();
  call_.reset();
  if (direct_) {
    if (auto* consumer = std::exchange(consumer_, nullptr)) consumer->on_done(std::move(outcome));
    return;
  }
  const std::lock_guard lock(mutex_);
  outcome_ = std::move(outcome);
  wake();
}

/// Under the lock.
void PeerStream::Relay::wake() {
  if (std::exchange(awake_, true)) return;
  asio::post(asker_, [self = shared_from_this()] { self->deliver(); });
}

/// Under the lock. A few bytes are not worth a wake-up of their own.
void PeerStream::Relay::wake_soon() {
  if (awake_ || std::exchange(soon_, true)) return;
  ticks_.add(shared_from_this());
}

bool PeerStream::Relay::on_tick(LoopTicks::Time) {
  {
    const std::lock_guard lock(mutex_);
    soon_ = false;
    if (std::exchange(awake_, true)) return true;
  }
  deliver();
  return true;
}

void PeerStream::Relay::deliver() {
  for (;;) {
    std::optional<std::pair<int, http::Headers>> head;
    std::optional<Result<>> outcome;
    {
      const std::lock_guard lock(mutex_);
      if (consumer_ == nullptr || blocked_) {
        awake_ = false;
        return;
      }
      head = std::exchange(head_, std::nullopt);
      if (!head && current_.empty() && !queue_.empty()) {
        current_ = std::move(queue_.front());
        queue_.pop_front();
      }
      if (!head && current_.empty()) {
        outcome = std::exchange(outcome_, std::nullopt);
        if (!outcome) {
          awake_ = false;
          return;
        }
      }
    }
    if (head) {
      consumer_->on_head(head->first, head->second);
    } else if (outcome) {
      std::exchange(consumer_, nullptr)->on_done(std::move(*outcome));
    } else if (!deliver_chunk()) {
      blocked_ = true;
    }
  }
}

/// False: the consumer takes no more for now.
bool PeerStream::Relay::deliver_chunk() {
  const auto rest = std::as_bytes(std::span(current_)).subspan(current_done_);
  const auto taken = consumer_->on_data(rest);
  if (consumer_ == nullptr) return true;
  current_done_ += taken;
  const bool all = taken == rest.size();
  bool go_on = false;
  {
    const std::lock_guard lock(mutex_);
    queued_bytes_ -= taken;
    go_on = stalled_ && queued_bytes_ <= kQueueBytes / 2;
    if (go_on) stalled_ = false;
  }
  if (all) {
    parts_.chunks->give_back(std::exchange(current_, {}));
    current_done_ = 0;
  }
  if (go_on) {
    asio::post(parts_.link->loop(), [self = shared_from_this()] {
      if (self->call_) self->call_->resume();
    });
  }
  return all;
}

void PeerStream::Relay::resume() {
  if (direct_) {
    if (call_) call_->resume();
    return;
  }
  blocked_ = false;
  const std::lock_guard lock(mutex_);
  wake();
}

void PeerStream::Relay::end_call() {
  over_ = true;
  timer_.cancel();
  call_.reset();
}

void PeerStream::Relay::cancel() {
  consumer_ = nullptr;
  if (direct_) return end_call();
  asio::post(parts_.link->loop(), [self = shared_from_this()] { self->end_call(); });
}

PeerStream::PeerStream(std::shared_ptr<Relay> relay) : relay_(std::move(relay)) {}
PeerStream::~PeerStream() { relay_->cancel(); }
void PeerStream::resume() { relay_->resume(); }

std::unique_ptr<PeerStream> PeerStream::open(StreamParts parts, http::ClientRequest request,
                                             std::chrono::milliseconds head_timeout, Loop& asker,
                                             StreamConsumer& consumer) {
  auto& loop = parts.link->loop();
  auto relay = std::make_shared<Relay>(std::move(parts), std::move(request), asker, consumer);
  asio::post(loop, [relay, head_timeout] { relay->start(head_timeout); });
  return std::unique_ptr<PeerStream>(new PeerStream(std::move(relay)));
}

}  // namespace oxbow::p2p
