#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "p2p/membership.h"
#include "p2p/membership/dns_lookup.h"
#include "p2p/membership/stoppable_thread.h"
#include "p2p/membership/view_publisher.h"

namespace oxbow::p2p {
namespace {

constexpr std::chrono::milliseconds kShortest{1'000};  // between two look-ups, whatever a TTL says
constexpr std::string_view kPart = "dns";

/// A look-up on a thread of its own. It cannot be cancelled; whoever stops leaves it behind, and it touches only what
/// it shares with this object.
class PendingLookup {
 public:
  static Result<std::shared_ptr<PendingLookup>> begin(const DnsOptions& options) {
    auto pending = std::make_shared<PendingLookup>();
    if (pending->done_fd_ < 0) return std::unexpected(errno_error(errno, "create an eventfd"));
    try {
      std::thread([pending, options] { pending->finish(look_up(options)); }).detach();
    } catch (const std::system_error& e) {
      return fail(Errc::kIo, std::string("start a thread: ") + e.what());
    }
    return pending;
  }

  PendingLookup() : done_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  PendingLookup(const PendingLookup&) = delete;
  PendingLookup& operator=(const PendingLookup&) = delete;
  ~PendingLookup() {
    if (done_fd_ >= 0) ::close(done_fd_);
  }

  int done_fd() const noexcept { return done_fd_; }
  std::optional<Result<DnsAnswer>> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(answer_, std::nullopt);
  }

 private:
  void finish(Result<DnsAnswer> answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(done_fd_, &one, sizeof one);
  }

  const int done_fd_;
  std::mutex mutex_;
  std::optional<Result<DnsAnswer>> answer_;
};

class DnsMembership final : public Membership {
 public:
  DnsMembership(DnsOptions options, MetricsRegistry& metrics)
      : options_(std::move(options)), publisher_("dns", metrics) {}
  ~DnsMembership() override { stop(); }

  Result<> start(OnView on_view) override {
    if (options_.name.empty()) return fail(Errc::kInvalid, "membership dns: no name");
    if (options_.port == 0) return fail(Errc::kInvalid, "membership dns: no port");
    publisher_.set_callback(std::move(on_view));
    return thread_.start("member-dns", [this] { run(); });
  }
  void stop() override { thread_.stop(); }
  std::string_view provider() const noexcept override { return "dns"; }
  std::string trouble() const override { return publisher_.trouble(); }

 private:
  void run() {
    auto pause = kShortest;
    do {
      auto answer = ask();
      if (thread_.stopping()) return;
      pause = std::max(options_.interval, kShortest);
      if (!answer) {
        publisher_.failed(kPart, std::move(answer.error()).in(options_.name));
        continue;
      }
      publisher_.well(kPart);
      if (answer->ttl) pause = std::clamp<std::chrono::milliseconds>(*answer->ttl, kShortest, pause);
      publish(std::move(answer->addresses));
    } while (thread_.wait(pause));
  }

  Result<DnsAnswer> ask() {
    const auto pending = PendingLookup::begin(options_);
    if (!pending) return std::unexpected(pending.error());
    do {
      if (auto answer = (*pending)->take()) return std::move(*answer);
    } while (thread_.wait(std::chrono::seconds(60), (*pending)->done_fd()));
    return fail(Errc::kCancelled, "stopped");
  }

  void publish(std::vector<std::string> addresses) {
    std::vector<Member> members;
    for (auto& address : addresses) members.emplace_back().addresses.push_back(std::move(address));
    publisher_.publish(std::move(members));
  }

  const DnsOptions options_;
  ViewPublisher publisher_;
  StoppableThread thread_;
};

}  // namespace

std::unique_ptr<Membership> make_dns_membership(DnsOptions options, MetricsRegistry& metrics) {
  return std::make_unique<DnsMembership>(std::move(options), metrics);
}

}  // namespace oxbow::p2p
