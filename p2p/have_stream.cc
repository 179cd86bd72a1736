#include "p2p/have_stream.h"

#include <algorithm>

#include "core/waker.h"

namespace oxbow::p2p {
namespace {

bool differs_by_much(const Load& a, const Load& b) noexcept {
  const auto used = a.used > b.used ? a.used - b.used : b.used - a.used;
  return a.busy() != b.busy() || a.slots != b.slots || (a.waiting == 0) != (b.waiting == 0) ||
         used * 4 > std::max(a.slots, 4U);
}

class HaveStream final : public http::Body {
 public:
  HaveStream(Loop& loop, HaveStreamParts parts, HaveStreamTimes times)
      : parts_(std::move(parts)), times_(times), timer_(loop), waker_(std::make_shared<Waker>(loop, times.line)) {
    waker_->set([this] {
      changed_ = true;
      // Lines are as far apart as the waker's wake-ups: a timer is for the load alone, and not set with each change.
      if (parts_.clock.steady() < line_at_ + times_.line) return arm();
      wake_reader();
    });
    parts_.watch->on_change([waker = waker_] { waker->wake(); });
  }
  ~HaveStream() override { waker_->clear(); }

  http::Piece next(std::size_t max_bytes) override {
    wake_ = nullptr;
    if (rest_.empty()) {
      if (!parts_.allowed()) return http::End{};
      const auto update = next_update(parts_.clock.steady());
      if (gone_) return http::End{};
      if (!update) return http::Wait{};
      line_ = std::make_shared<const std::string>(to_json_line(*update));
      rest_ = *line_;
    }
    const auto part = rest_.substr(0, max_bytes);
    rest_.remove_prefix(part.size());
    return http::MemoryPiece{part, line_};
  }

  void on_ready(std::move_only_function<void()> wake) override {
    wake_ = std::move(wake);
    arm();
  }

 private:
  void arm();
  /// May destroy this.
  void wake_reader() {
    if (auto wake = std::exchange(wake_, nullptr)) wake();
  }
  std::optional<HaveUpdate> next_update(Clock::Steady now);
  void add_changes(HaveUpdate& update);
  void add_sums(HaveUpdate& update);
  void add_arriving(HaveUpdate& update, const std::vector<std::uint32_t>& arriving);

  HaveStreamParts parts_;
  const HaveStreamTimes times_;
  asio::steady_timer timer_;
  std::optional<Clock::Steady> armed_until_;  ///< when the timer rings
  std::shared_ptr<Waker> waker_;
  std::move_only_function<void()> wake_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();

  std::shared_ptr<const std::string> line_;
  std::string_view rest_;
  bool first_ = true;
  bool changed_ = true;
  bool gone_ = false;
  Clock::Steady line_at_{};
  // What the asker knows.
  HaveMap have_;
  std::vector<std::uint32_t> arriving_;  // sorted
  std::uint32_t unsummed_from_ = 0;      // stripes from here on have not been looked at for their sums,
  std::deque<std::uint32_t> unsummed_;   // nor have these
  Load load_;
};

void HaveStream::arm() {
  if (!wake_) return;
  const auto now = parts_.clock.steady();
  const auto due = changed_ ? std::max(line_at_ + times_.line, now) : now + times_.look;
  if (armed_until_ && *armed_until_ <= due) return;
  armed_until_ = due;
  timer_.expires_after(due - now);
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    armed_until_.reset();
    wake_reader();
  });
}

std::optional<HaveUpdate> HaveStream::next_update(Clock::Steady now) {
  if (!first_ && now - line_at_ < times_.line) return std::nullopt;
  HaveUpdate update;
  if (changed_) add_changes(update);
  if (gone_) return std::nullopt;
  const auto load = parts_.load();
  if (first_ || differs_by_much(load, load_) || now - line_at_ >= times_.keep_alive) {
    update.load = load;
    load_ = load;
  }
  if (!update.map && update.have.empty() && update.arriving.empty() && update.lost.empty() && !update.load &&
      update.sums.empty()) {
    return std::nullopt;
  }
  first_ = false;
  line_at_ = now;
  return update;
}

void HaveStream::add_changes(HaveUpdate& update) {
  changed_ = false;
  auto state = parts_.watch->current();
  if (state.gone) {
    gone_ = true;
    return;
  }
  if (!first_ && state.have.size() == have_.size()) state.have.changes_since(have_, update.have, update.lost);
  if (first_ || state.have.size() != have_.size() || update.have.size() > kMaxHaveChanges ||
      update.lost.size() > kMaxHaveChanges) {
    update.map = state.have;
    update.have.clear();
    update.lost.clear();
    arriving_.clear();  // a map replaces everything
    unsummed_.clear();
    unsummed_from_ = 0;
  }
  for (const auto stripe : update.have) {
    if (stripe < unsummed_from_) unsummed_.push_back(stripe);
  }
  have_ = std::move(state.have);
  std::ranges::sort(state.arriving);
  add_arriving(update, state.arriving);
  add_sums(update);
}

/// Of stripes that came from upstream itself. At most so many are looked at for one line that no line takes long; at
/// least as many as one line can add.
void HaveStream::add_sums(HaveUpdate& update) {
  const auto look = [&](std::uint32_t stripe) {
    if (!have_.has(stripe)) return;
    if (auto sum = parts_.watch->first_hand(stripe)) update.sums.emplace_back(stripe, std::move(*sum));
  };
  std::size_t looks = 0;
  for (; !unsummed_.empty() && looks < kMaxHaveChanges && update.sums.size() < kMaxHaveSums; ++looks) {
    look(unsummed_.front());
    unsummed_.pop_front();
  }
  for (; unsummed_from_ < have_.size() && looks < kMaxHaveChanges && update.sums.size() < kMaxHaveSums; ++looks) {
    look(unsummed_from_++);
  }
  if (!unsummed_.empty() || unsummed_from_ < have_.size()) changed_ = true;
}

/// Tells of what has begun to arrive, and of what has stopped without having come. What finds no room waits for the
/// next line.
void HaveStream::add_arriving(HaveUpdate& update, const std::vector<std::uint32_t>& arriving) {
  std::vector<std::uint32_t> known;
  for (const auto stripe : arriving_) {
    if (have_.has(stripe)) continue;
    if (std::ranges::binary_search(arriving, stripe)) {
      known.push_back(stripe);
    } else if (update.lost.size() < kMaxHaveChanges) {
      update.lost.push_back(stripe);
    } else {
      known.push_back(stripe);
      changed_ = true;
    }
  }
  for (const auto stripe : arriving) {
    if (have_.has(stripe) || std::ranges::binary_search(arriving_, stripe)) continue;
    if (update.arriving.size() >= kMaxHaveChanges) {
      changed_ = true;
      break;
    }
    update.arriving.push_back(stripe);
    known.push_back(stripe);
  }
  std::ranges::sort(known);
  arriving_ = std::move(known);
}

}  // namespace

std::unique_ptr<http::Body> make_have_stream(Loop& loop, HaveStreamParts parts, HaveStreamTimes times) {
  return std::make_unique<HaveStream>(loop, std::move(parts), times);
}

}  // namespace oxbow::p2p
