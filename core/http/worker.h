// A server's part on one loop: its connections, their readiness, time-outs and turns.
//
// Thread rule: everything on the loop, except `create`. Lifetime: shared; alive until `stop`.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "core/http/event_set.h"
#include "core/http/server_context.h"
#include "core/task.h"

namespace oxbow::http {

class Connection;

class Worker : public std::enable_shared_from_this<Worker> {
 public:
  static Result<std::shared_ptr<Worker>> create(Loop& loop, std::shared_ptr<ServerContext> context);
  Worker(Loop& loop, std::shared_ptr<ServerContext> context);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start();
  /// A connected socket becomes a connection. Takes `fd`.
  void adopt(int fd, std::string remote);
  /// Ends the connection that has been idle longest; false when there is none.
  bool evict_idle();
  /// Idle connections end now, the others after their response.
  void drain();
  /// What drain has left is cut with FIN.
  void cut();
  /// Closes everything at once and forgets the loop.
  void stop();

  EventSet& events() noexcept { return *events_; }
  /// Gives `connection` another turn after everybody else had one.
  void schedule(const std::shared_ptr<Connection>& connection);
  /// Called by a connection that has closed.
  void forget(Connection& connection);

  Loop& loop() noexcept { return loop_; }
  ServerContext& context() noexcept { return *context_; }
  const std::shared_ptr<ServerContext>& context_owner() const noexcept { return context_; }
  const ServerLimits& limits() const noexcept { return context_->config.limits; }
  bool draining() const noexcept { return draining_; }
  std::size_t load() const noexcept { return load_.load(std::memory_order_relaxed); }
  void add_load() noexcept { load_.fetch_add(1, std::memory_order_relaxed); }

  std::chrono::steady_clock::time_point now() const noexcept { return now_; }
  void touch_clock() noexcept { now_ = std::chrono::steady_clock::now(); }
  std::string_view date();
  /// Memory for one read or one write, free again when the caller returns to the loop.
  std::span<char> read_scratch() noexcept { return read_scratch_; }
  std::span<char> write_scratch() noexcept { return write_scratch_; }

 private:
  void run_scheduled();
  void start_tick();
  void tick();

  Loop& loop_;
  std::shared_ptr<ServerContext> context_;
  std::shared_ptr<EventSet> events_;
  boost::asio::steady_timer timer_;
  std::chrono::milliseconds tick_interval_;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> closed_;  // destroyed after the batch that may still name them
  std::vector<std::shared_ptr<Connection>> scheduled_;
  std::atomic<std::size_t> load_{0};
  std::chrono::steady_clock::time_point now_;
  std::int64_t date_second_ = -1;
  std::string date_;
  std::vector<char> read_scratch_;
  std::vector<char> write_scratch_;
  bool scheduled_posted_ = false;
  bool draining_ = false;
  bool stopped_ = false;
};

}  // namespace oxbow::http
