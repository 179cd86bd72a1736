#include <algorithm>
#include <deque>

#include "core/http/client.h"
#include "core/http/client_link.h"

namespace oxbow::http {
namespace {

class LazyConnection final : public ClientConnection,
                             public ClientLink::Owner,
                             public std::enable_shared_from_this<LazyConnection> {
 public:
  LazyConnection(Loop& loop, Target target, ClientOptions options)
      : loop_(loop), target_(std::move(target)), options_(options) {}
  ~LazyConnection() override {
    if (link_) link_->close();
    for (const auto& link : draining_) link->close();
  }

  std::unique_ptr<ClientCall> call(ClientRequest request, ClientSink& sink) override;
  void close() override;
  bool connected() const noexcept override { return link_ && link_->ready(); }
  std::chrono::steady_clock::time_point heard() const noexcept override {
    auto last = link_ ? link_->heard() : std::chrono::steady_clock::time_point::min();
    for (const auto& link : draining_) last = std::max(last, link->heard());
    return last;
  }
  std::optional<std::string> peer_name() const override { return link_ ? link_->peer_name() : std::nullopt; }

  void on_turn(ClientLink& link) override;
  void on_closed(ClientLink& link, Error why, ClientSession::Calls unprocessed, ClientSession::Calls broken) override;

 private:
  class Call;

  void end(const std::shared_ptr<CallState>& call);
  void resume(const std::shared_ptr<CallState>& call);
  void finish_later(std::shared_ptr<CallState> call, Error why);
  void start_waiting(ClientLink& link);
  void take_back(ClientSession::Calls unprocessed);
  void pump();
  void pump_later();

  Loop& loop_;
  const Target target_;
  const ClientOptions options_;
  std::deque<std::shared_ptr<CallState>> waiting_;
  std::shared_ptr<ClientLink> link_;                   // takes new calls
  std::vector<std::shared_ptr<ClientLink>> draining_;  // finish what they have
  bool pump_posted_ = false;
  bool closed_ = false;
};

/// What the caller holds. It keeps the connection.
class LazyConnection::Call final : public ClientCall {
 public:
  Call(std::shared_ptr<LazyConnection> connection, std::shared_ptr<CallState> state)
      : connection_(std::move(connection)), state_(std::move(state)) {}
  ~Call() override { connection_->end(state_); }
  void resume() override { connection_->resume(state_); }

 private:
  const std::shared_ptr<LazyConnection> connection_;
  const std::shared_ptr<CallState> state_;
};

std::unique_ptr<ClientCall> LazyConnection::call(ClientRequest request, ClientSink& sink) {
  auto state = std::make_shared<CallState>(std::move(request), sink);
  auto handle = std::make_unique<Call>(shared_from_this(), state);
  if (closed_) {
    finish_later(std::move(state), {Errc::kCancelled, "connection closed"});
  } else if (waiting_.size() >= options_.waiting_calls) {
    if (options_.waiting_calls_hit != nullptr) options_.waiting_calls_hit->Increment();
    finish_later(std::move(state), {Errc::kLimit, "too many calls wait for the connection"});
  } else {
    waiting_.push_back(std::move(state));
    pump_later();
  }
  return handle;
}

void LazyConnection::end(const std::shared_ptr<CallState>& call) {
  if (call->session == nullptr) std::erase(waiting_, call);
  call->cancel();
}

void LazyConnection::resume(const std::shared_ptr<CallState>& call) {
  if (!call->live() || std::exchange(call->resume_posted, true)) return;
  asio::post(loop_, [weak = std::weak_ptr(call)] {
    const auto state = weak.lock();
    if (!state) return;
    state->resume_posted = false;
    state->deliver();
  });
}

void LazyConnection::finish_later(std::shared_ptr<CallState> call, Error why) {
  asio::post(loop_, [call = std::move(call), why = std::move(why)]() mutable {
    call->finish(std::unexpected(std::move(why)));
  });
}

void LazyConnection::pump_later() {
  if (std::exchange(pump_posted_, true)) return;
  asio::post(loop_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->pump_posted_ = false;
    self->pump();
  });
}

void LazyConnection::pump() {
  if (closed_ || waiting_.empty()) return;
  if (link_) return link_->schedule();
  link_ = std::make_shared<ClientLink>(loop_, target_, options_, *this);
  link_->open();
}

void LazyConnection::take_back(ClientSession::Calls unprocessed) {
  for (auto& call : unprocessed) {
    call->retried = true;
    call->request_sent = 0;
    call->head = {};
    call->head_bytes = 0;
    if (call->live()) waiting_.push_front(std::move(call));
  }
}

void LazyConnection::start_waiting(ClientLink& link) {
  while (!waiting_.empty() && link.session().can_start()) {
    const auto call = std::move(waiting_.front());
    waiting_.pop_front();
    if (!link.session().start(call)) waiting_.push_front(call);
  }
}

void LazyConnection::on_turn(ClientLink& link) {
  take_back(link.session().take_unprocessed());
  if (&link == link_.get()) {
    start_waiting(link);
    if (link.session().draining()) draining_.push_back(std::move(link_));
  }
  const bool full = link_ && link_->established() && !link_->session().can_start();
  if (!waiting_.empty() && !full) pump_later();
}

void LazyConnection::on_closed(ClientLink& link, Error why, ClientSession::Calls unprocessed,
                               ClientSession::Calls broken) {
  const auto self = shared_from_this();
  take_back(std::move(unprocessed));
  if (&link == link_.get()) {
    link_.reset();
    // Never connected: for those who wait it is over too. A break lets them wait for the next connection.
    if (!link.ready()) {
      broken.insert(broken.end(), waiting_.begin(), waiting_.end());
      waiting_.clear();
    }
  }
  std::erase_if(draining_, [&](const auto& other) { return other.get() == &link; });
  for (const auto& call : broken) call->finish(std::unexpected(why));
  if (!waiting_.empty()) pump_later();
}

void LazyConnection::close() {
  if (std::exchange(closed_, true)) return;
  ClientSession::Calls calls(waiting_.begin(), waiting_.end());
  waiting_.clear();
  auto links = std::exchange(draining_, {});
  if (link_) links.push_back(std::move(link_));
  for (const auto& link : links) {
    auto some = link->close();
    calls.insert(calls.end(), some.begin(), some.end());
  }
  for (auto& call : calls) finish_later(std::move(call), {Errc::kCancelled, "connection closed"});
}

}  // namespace

std::shared_ptr<ClientConnection> ClientConnection::create(Loop& loop, Target target, ClientOptions options) {
  return std::make_shared<LazyConnection>(loop, std::move(target), options);
}

}  // namespace oxbow::http
