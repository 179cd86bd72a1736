#include "mirror/preheat_queue.h"

#include <algorithm>

#include "core/log.h"

namespace oxbow::mirror {

using p2p::PreheatReport;
using p2p::PreheatState;

PreheatQueue::PreheatQueue(Limits limits, PreheatJob::Parts parts, Loops& loops, MetricsRegistry& metrics)
    : limits_(limits),
      parts_(std::move(parts)),
      loops_(loops),
      waiting_hits_(limit_counter(metrics, "preheats_waiting")),
      running_hits_(limit_counter(metrics, "preheats_running")),
      running_gauge_(gauge_family(metrics, "oxbow_preheats_running", "Preheats that this node carries out").Add({})) {}

PreheatQueue::Job PreheatQueue::find(std::string_view id) const {
  const auto is = [&](const Job& job) { return job->ask().id == id; };
  if (const auto found = std::ranges::find_if(running_, is); found != running_.end()) return *found;
  if (const auto found = std::ranges::find_if(waiting_, is); found != waiting_.end()) return *found;
  const auto found = std::find_if(ended_.rbegin(), ended_.rend(), is);
  return found != ended_.rend() ? *found : nullptr;
}

Result<PreheatReport> PreheatQueue::start(const std::string& from, const p2p::PreheatAsk& ask) {
  auto platform = registry_api::parse_platform_choice(ask.platform);
  if (!platform) return std::unexpected(std::move(platform.error()).in("platform"));
  const std::lock_guard lock(mutex_);
  if (closed_) return fail(Errc::kBusy, "going away");
  if (const auto known = find(ask.id)) {
    if (known->ask() != ask) return fail(Errc::kInvalid, "another preheat has this id");
    const auto report = known->report();
    if (report.state != PreheatState::kFailed && report.state != PreheatState::kCancelled) return report;
    // Its jobs may still be on their way out.
    std::erase(ended_, known);
    if (std::ranges::find(running_, known) != running_.end()) return fail(Errc::kBusy, "it is just ending");
  }
  if (waiting_.size() >= limits_.waiting) {
    waiting_hits_.Increment();
    return fail(Errc::kBusy, "too many preheats wait on this node");
  }
  log::info(
      "preheat asked for",
      {{"id", ask.id}, {"by", from}, {"image", ask.registry + '/' + ask.repository + '@' + ask.digest.to_string()}});
  auto job = std::make_shared<PreheatJob>(parts_, ask, std::move(*platform));
  waiting_.push_back(job);
  if (running_.size() >= limits_.running) running_hits_.Increment();
  begin_next();
  return job->report();
}

void PreheatQueue::begin_next() {
  while (!waiting_.empty() && running_.size() < limits_.running) {
    auto job = waiting_.front();
    waiting_.pop_front();
    running_.push_back(job);
    // Posted: its first steps may come back here, and the lock is held.
    auto& loop = loops_.at(next_loop_++ % loops_.size());
    asio::post(loop, [this, &loop, job = std::move(job)]() mutable {
      asio::co_spawn(loop, run(std::move(job)), asio::detached);
    });
  }
  running_gauge_.Set(static_cast<double>(running_.size()));
}

Task<> PreheatQueue::run(Job job) {
  co_await job->run();
  const std::lock_guard lock(mutex_);
  std::erase(running_, job);
  ended_.push_back(std::move(job));
  forget_oldest();
  begin_next();
}

void PreheatQueue::forget_oldest() {
  while (ended_.size() > limits_.remembered) ended_.pop_front();
}

Result<PreheatReport> PreheatQueue::report(std::string_view id) {
  const std::lock_guard lock(mutex_);
  const auto job = find(id);
  if (!job) return fail(Errc::kNotFound, "this node knows no such preheat");
  return job->report();
}

Result<PreheatReport> PreheatQueue::cancel(std::string_view id) {
  const std::lock_guard lock(mutex_);
  const auto job = find(id);
  if (!job) return fail(Errc::kNotFound, "this node knows no such preheat");
  auto report = job->report();
  if (p2p::is_over(report.state)) return report;
  job->cancel();
  if (std::erase(waiting_, job) == 0) return report;  // running: it says so itself when it has ended
  report.state = PreheatState::kCancelled;
  return report;
}

std::size_t PreheatQueue::running() const {
  const std::lock_guard lock(mutex_);
  return running_.size();
}

void PreheatQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  waiting_.clear();
  for (const auto& job : running_) job->cancel();
}

}  // namespace oxbow::mirror
