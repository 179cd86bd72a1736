#include "core/task.h"

namespace oxbow {

Loops::Loops(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    loops_.push_back(std::make_unique<Loop>(1));
    work_.push_back(asio::make_work_guard(*loops_.back()));
  }
}

Loops::~Loops() {
  stop();
  join();
}

void Loops::start() {
  running_ = loops_.size();
  for (auto& loop : loops_) {
    threads_.emplace_back([this, &context = *loop] {
      context.run();
      const std::lock_guard lock(mutex_);
      --running_;
      ended_.notify_all();
    });
  }
}

void Loops::finish(std::chrono::milliseconds timeout) {
  work_.clear();
  {
    std::unique_lock lock(mutex_);
    ended_.wait_for(lock, timeout, [&] { return running_ == 0; });
  }
  stop();
  join();
  // Where something waits on for longer, what is ready is still done: it may be the end of something whose parts do not
  // live as long as the loops do. Bounded, because each may make the next.
  std::size_t left = 100'000;
  for (bool any = true; any && left > 0;) {
    any = false;
    for (auto& loop : loops_) {
      loop->restart();
      for (; left > 0 && loop->poll_one() > 0; --left) any = true;
    }
  }
}

void Loops::stop() {
  work_.clear();
  for (auto& loop : loops_) loop->stop();
}

void Loops::join() {
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  threads_.clear();
}

Task<Loop*> this_loop() {
  auto executor = co_await asio::this_coro::executor;
  co_return static_cast<Loop*>(&asio::query(executor, asio::execution::context));
}

Task<> sleep_for(std::chrono::milliseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace oxbow
