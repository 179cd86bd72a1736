#include "core/tls/safe_files.h"
#include "p2p/membership.h"
#include "p2p/membership/file_watch.h"
#include "p2p/membership/member_format.h"
#include "p2p/membership/stoppable_thread.h"
#include "p2p/membership/view_publisher.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxFileBytes = 32 << 20;  // 65,536 members of 500 bytes
// One change comes as several events (create, write, rename): read once, when they are over.
constexpr std::chrono::milliseconds kSettle{30};
constexpr std::string_view kPart = "file";

class FileMembership final : public Membership {
 public:
  FileMembership(FileOptions options, MetricsRegistry& metrics)
      : options_(std::move(options)), publisher_("file", metrics) {}
  ~FileMembership() override { stop(); }

  Result<> start(OnView on_view) override {
    if (options_.path.empty()) return fail(Errc::kInvalid, "membership file: no path");
    publisher_.set_callback(std::move(on_view));
    return thread_.start("member-file", [this] { run(); });
  }
  void stop() override { thread_.stop(); }
  std::string_view provider() const noexcept override { return "file"; }
  std::string trouble() const override { return publisher_.trouble(); }

 private:
  void run() {
    FileWatch watch(options_.path);
    do {
      watch.rearm();  // before the read: what happens meanwhile is seen by the next wait
      read();
    } while (thread_.wait(std::max(options_.poll, kSettle), watch.fd()) && thread_.wait(kSettle));
  }

  void read() {
    auto members = load();
    if (!members) return publisher_.failed(kPart, members.error());
    publisher_.well(kPart);
    publisher_.publish(std::move(*members));
  }

  Result<std::vector<Member>> load() const {
    const auto text = tls::read_file(options_.path, kMaxFileBytes);
    if (!text) return std::unexpected(text.error());
    auto members = parse_member_file(*text);
    if (!members) return std::unexpected(std::move(members.error()).in(options_.path));
    return members;
  }

  const FileOptions options_;
  ViewPublisher publisher_;
  StoppableThread thread_;
};

}  // namespace

std::unique_ptr<Membership> make_file_membership(FileOptions options, MetricsRegistry& metrics) {
  return std::make_unique<FileMembership>(std::move(options), metrics);
}

}  // namespace oxbow::p2p
