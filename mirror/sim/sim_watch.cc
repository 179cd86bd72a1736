#include "mirror/sim/sim_watch.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "core/error.h"

namespace oxbow::mirror {
namespace {

constexpr int kRedrawMs = 200;
constexpr double kQuietS = 1;
constexpr std::uint64_t kBarColumns = 30;
constexpr int kInterrupted = 130;  // what a shell calls the end by SIGINT
constexpr const char* kClearLine = "\r\x1b[K";

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

SimWatch::SimWatch(p2p::sim::Progress& progress, std::FILE* errors, bool bar)
    : progress_(progress), errors_(errors), bar_(bar) {
  sigset_t wanted;
  ::sigemptyset(&wanted);
  ::sigaddset(&wanted, SIGINT);
  ::sigaddset(&wanted, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &wanted, &before_);
  signals_ = ::signalfd(-1, &wanted, SFD_CLOEXEC);
  ended_ = ::eventfd(0, EFD_CLOEXEC);
  OXBOW_INVARIANT(signals_ >= 0 && ended_ >= 0);
  thread_ = std::thread([this] { watch(); });
}

SimWatch::~SimWatch() {
  ::eventfd_write(ended_, 1);
  thread_.join();
  ::close(signals_);
  ::close(ended_);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void SimWatch::watch() {
  auto phase = progress_.phase();
  const auto start = std::chrono::steady_clock::now();
  auto phase_start = start;
  bool drawn = false;
  while (true) {
    pollfd wanted[] = {{signals_, POLLIN, 0}, {ended_, POLLIN, 0}};
    ::poll(wanted, 2, bar_ ? kRedrawMs : -1);
    if (wanted[1].revents != 0) break;
    if (wanted[0].revents != 0) {
      signalfd_siginfo info;
      [[maybe_unused]] const auto read = ::read(signals_, &info, sizeof(info));
      if (progress_.cancelled()) std::_Exit(kInterrupted);
      progress_.cancel();
      std::fprintf(errors_, "%scancelling; once more to end at once\n", drawn ? kClearLine : "");
      drawn = false;
    }
    if (auto now = progress_.phase(); now != phase) {
      phase = std::move(now);
      phase_start = std::chrono::steady_clock::now();
    }
    if (bar_ && seconds_since(start) > kQuietS && !progress_.cancelled()) {
      const auto line = progress_line(phase, progress_.done(), progress_.total(), seconds_since(phase_start));
      std::fprintf(errors_, "%s%s", kClearLine, line.c_str());
      std::fflush(errors_);
      drawn = true;
    }
  }
  if (drawn) std::fputs(kClearLine, errors_);
}

std::string progress_line(const std::string& phase, std::uint64_t done, std::uint64_t total, double elapsed_s) {
  if (total == 0) return phase + " …";
  done = std::min(done, total);
  const double share = static_cast<double>(done) / static_cast<double>(total);
  const auto filled = static_cast<std::size_t>(share * kBarColumns);
  auto out = fmt::format("[{:<{}}] {:3.0f} %  {}", std::string(filled, '#'), kBarColumns, 100 * share, phase);
  // Not from the first few percent: a guess of hours that is seconds only frightens.
  if (share > 0.02 && done < total) out += fmt::format("  about {:.0f} s left", elapsed_s / share * (1 - share));
  return out;
}

}  // namespace oxbow::mirror
