#include "core/http/client_reactor.h"

namespace oxbow::http {
namespace {

constexpr std::size_t kReadScratchBytes = 256UL * 1024;
constexpr std::size_t kWriteScratchBytes = 64UL * 1024;
/// A batch brings at most what comes in a tick: streams below 32 MB/s a loop are taken in portions.
constexpr Moderation kModeration{.below_bytes = 128UL * 1024};

}  // namespace

boost::asio::execution_context::id ClientReactor::id;

ClientReactor::ClientReactor(boost::asio::execution_context& loop)
    : service(loop),
      loop_(static_cast<Loop&>(loop)),
      read_scratch_(kReadScratchBytes),
      write_scratch_(kWriteScratchBytes) {}

bool ClientReactor::watch(int fd, EventTarget& target) {
  if (!events_) {
    auto made = EventSet::create(loop_, [] {}, [] {}, kModeration);
    if (!made) return false;
    events_ = std::move(*made);
  }
  if (!events_->watch(fd, target, true)) return false;
  // A wait keeps the loop alive, so it lasts only while somebody is connected.
  if (++watched_ == 1) events_->start();
  return true;
}

void ClientReactor::unwatch(int fd, EventTarget& target) {
  if (!events_) return;  // the loop is being destroyed
  events_->unwatch(fd, target);
  if (--watched_ == 0) events_->pause();
}

}  // namespace oxbow::http
