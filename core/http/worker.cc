#include "core/http/worker.h"

#include <unistd.h>

#include <algorithm>

#include "core/http/connection.h"
#include "core/http/http1_head.h"
#include "core/log.h"

namespace oxbow::http {
namespace {

constexpr std::size_t kReadScratchBytes = 64UL * 1024;
/// Four TLS records: what is read stays in the core's cache until it is encrypted. 256 KiB cost a tenth more CPU per
/// GB.
constexpr std::size_t kWriteScratchBytes = 64UL * 1024;

/// Fine enough for the shortest time-out, coarse enough to cost nothing.
std::chrono::milliseconds tick_for(const ServerLimits& limits) {
  const auto shortest =
      std::min({limits.header_timeout, limits.idle_timeout, limits.send_timeout, limits.tls_timeout, limits.linger});
  return std::clamp(shortest / 8, std::chrono::milliseconds(10), std::chrono::milliseconds(500));
}

}  // namespace

Result<std::shared_ptr<Worker>> Worker::create(Loop& loop, std::shared_ptr<ServerContext> context) {
  auto worker = std::make_shared<Worker>(loop, std::move(context));
  auto events = EventSet::create(
      loop, [raw = worker.get()] { raw->touch_clock(); }, [raw = worker.get()] { raw->closed_.clear(); });
  if (!events) return std::unexpected(std::move(events.error()));
  worker->events_ = std::move(*events);
  return worker;
}

Worker::Worker(Loop& loop, std::shared_ptr<ServerContext> context)
    : loop_(loop),
      context_(std::move(context)),
      timer_(loop),
      tick_interval_(tick_for(context_->config.limits)),
      now_(std::chrono::steady_clock::now()),
      read_scratch_(kReadScratchBytes),
      write_scratch_(kWriteScratchBytes) {}

Worker::~Worker() {
  if (events_) events_->stop();
}

void Worker::start() {
  events_->start();
  start_tick();
}

void Worker::adopt(int fd, std::string remote) {
  if (stopped_) {
    ::close(fd);
    load_.fetch_sub(1, std::memory_order_relaxed);
    --context_->connections;
    return;
  }
  touch_clock();
  SSL* ssl = context_->tls ? context_->tls->new_session(now_) : nullptr;
  auto connection = std::make_shared<Connection>(*this, fd, ssl, std::move(remote));
  connections_.emplace(connection.get(), connection);
  context_->connections_gauge.Increment();
  if ((context_->tls && ssl == nullptr) || !events_->watch(fd, *connection, true)) {
    connection->close();
    closed_.clear();
    return;
  }
  connection->start();
  if (draining_) connection->drain();  // accepted before the listener stopped: as good as those that were here
}

void Worker::forget(Connection& connection) {
  const auto it = connections_.find(&connection);
  if (it == connections_.end()) return;
  closed_.push_back(std::move(it->second));
  connections_.erase(it);
  load_.fetch_sub(1, std::memory_order_relaxed);
  context_->connections_gauge.Decrement();
  --context_->connections;
}

bool Worker::evict_idle() {
  Connection* oldest = nullptr;
  for (const auto& [connection, owner] : connections_) {
    if (connection->idle() && (oldest == nullptr || connection->idle_since() < oldest->idle_since()))
      oldest = connection;
  }
  if (oldest == nullptr) return false;
  oldest->close();
  return true;
}

void Worker::schedule(const std::shared_ptr<Connection>& connection) {
  scheduled_.push_back(connection);
  if (std::exchange(scheduled_posted_, true)) return;
  boost::asio::post(loop_, [self = shared_from_this()] { self->run_scheduled(); });
}

void Worker::run_scheduled() {
  scheduled_posted_ = false;
  touch_clock();
  const auto turn = std::exchange(scheduled_, {});
  for (const auto& connection : turn) connection->on_turn();
  closed_.clear();
}

void Worker::start_tick() {
  timer_.expires_after(tick_interval_);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error || self->stopped_) return;
    self->tick();
    self->start_tick();
  });
}

void Worker::tick() {
  touch_clock();
  std::vector<std::shared_ptr<Connection>> late;
  for (const auto& [connection, owner] : connections_) {
    if (connection->deadline() <= now_) late.push_back(owner);
  }
  for (const auto& connection : late) connection->on_deadline();
  closed_.clear();
}

void Worker::drain() {
  if (stopped_) return;
  draining_ = true;
  touch_clock();
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [connection, owner] : connections_) all.push_back(owner);
  for (const auto& connection : all) connection->drain();
  closed_.clear();
}

void Worker::cut() {
  if (stopped_) return;
  touch_clock();
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [connection, owner] : connections_) all.push_back(owner);
  for (const auto& connection : all) connection->cut();
  closed_.clear();
}

void Worker::stop() {
  if (std::exchange(stopped_, true)) return;
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [connection, owner] : connections_) all.push_back(owner);
  for (const auto& connection : all) connection->close();
  closed_.clear();
  scheduled_.clear();
  events_->stop();
  timer_.cancel();
}

std::string_view Worker::date() {
  const auto second = std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch()).count();
  if (second != date_second_) {
    date_second_ = second;
    date_ = format_date(
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count());
  }
  return date_;
}

}  // namespace oxbow::http
