#include "core/loop_ticks.h"

namespace oxbow {

asio::execution_context::id LoopTicks::id;

LoopTicks::LoopTicks(asio::execution_context& loop)
    : service(loop), loop_(static_cast<Loop&>(loop)), timer_(std::in_place, loop_) {}

void LoopTicks::shutdown() {
  timer_.reset();
  now_.clear();
  // What is destroyed here may hold what adds more.
  std::vector<std::shared_ptr<Work>> last;
  {
    const std::lock_guard lock(mutex_);
    last.swap(waiting_);
    ticking_ = true;
  }
}

void LoopTicks::add(std::shared_ptr<Work> work) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
    if (std::exchange(ticking_, true)) return;
  }
  asio::post(loop_, [this] { run(); });
}

void LoopTicks::run() {
  {
    const std::lock_guard lock(mutex_);
    now_.swap(waiting_);
    if (now_.empty()) {
      ticking_ = false;
      return;
    }
  }
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(now_, [now](const auto& work) { return work->on_tick(now); });
  {
    // Those that are not due, before what came meanwhile.
    const std::lock_guard lock(mutex_);
    waiting_.insert(waiting_.begin(), std::make_move_iterator(now_.begin()), std::make_move_iterator(now_.end()));
  }
  now_.clear();
  timer_->expires_at(now + kEvery);
  timer_->async_wait([this](const boost::system::error_code& error) {
    if (!error) run();
  });
}

}  // namespace oxbow
