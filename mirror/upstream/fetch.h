// One request to a registry, from waiting for a slot to the last byte: which URL, with what authorization, what to do
// with each answer. The way of a request is `run` → `ask_all` (the URLs in order) → `ask` (one URL, its challenge) →
// `exchange` (libcurl). Thread rule: its loop. A coroutine holds it until it has ended; `cancel` takes connection and
// slot away at once.
#pragma once

#include "mirror/upstream/shared.h"

namespace oxbow::mirror::upstream {

class Fetch final : public std::enable_shared_from_this<Fetch>, private ExchangeEvents {
 public:
  Fetch(std::shared_ptr<Registry::Shared> shared, std::shared_ptr<CurlLoop::Core> core, FetchRequest request,
        Observer& observer);

  void launch();
  void cancel();
  void resume();

 private:
  /// What one exchange came to.
  struct Outcome {
    std::optional<Head> head;
    std::string body;        ///< of answers that are judged before anyone sees them
    bool delivered = false;  ///< the observer has the head; there is no way back
    std::optional<Error> error;
    std::uint64_t body_bytes = 0;

    int status() const noexcept { return head ? head->status : 0; }
  };
  /// What asking all URLs came to.
  struct Round {
    std::optional<Result<>> done;
    std::optional<Outcome> answer;
    std::optional<Error> error;
    bool all_missing = true;
    std::optional<std::chrono::milliseconds> retry_in;
    bool throttled = false;
  };
  using Authorization = Authenticator::Authorization;

  static Task<> run(std::shared_ptr<Fetch> self);
  Task<Result<>> work();
  Task<std::optional<Result<>>> ask_remembered_location();
  Task<Round> ask_all(bool may_retry);
  Task<Outcome> ask(std::shared_ptr<Endpoint> endpoint, SteadyTime head_until);
  Task<Outcome> exchange(std::string url, Authorization authorization, SteadyTime head_until);
  Task<> until_drained();

  static Outcome failure(Error error);
  Result<> conclude(Round round);
  Result<> deliver(Outcome outcome);
  /// The time an URL may take for its head, when others follow.
  SteadyTime share_of_time(std::size_t urls_left) const;
  Outgoing outgoing(std::string url, const Authorization& authorization) const;
  std::optional<Error> overdue(SteadyTime head_until, SteadyTime now) const;
  std::string location_key() const;
  bool is_blob() const { return request_.path.contains("/blobs/"); }
  bool stopped() const noexcept { return observer_ == nullptr; }
  bool held() const noexcept { return paused_ || bandwidth_pause_; }

  void on_incoming(Incoming incoming) override;
  bool on_bytes(std::string_view bytes) override;
  void on_ending(Ending ending) override;

  /// The rest stays in `rest_`, which pauses.
  void offer(std::string_view bytes);
  void pause_for(std::chrono::nanoseconds wait);
  void go_on();
  void do_resume();

  const std::shared_ptr<Registry::Shared> shared_;
  const std::shared_ptr<CurlLoop::Core> core_;
  const FetchRequest request_;
  Observer* observer_;
  Signal signal_;
  asio::steady_timer bandwidth_timer_;
  const SteadyTime started_;
  const SteadyTime head_until_;  ///< shared among the URLs
  const SteadyTime late_until_;  ///< of the last one

  Slots::Slot slot_;
  std::unique_ptr<Exchange> exchange_;
  std::shared_ptr<Endpoint> endpoint_;  ///< null while a remembered location is asked
  std::optional<Ending> ending_;
  Outcome outcome_;
  SteadyTime last_progress_{};
  bool paused_ = false;
  bool bandwidth_pause_ = false;
  bool curl_paused_ = false;
  std::string rest_;
};

}  // namespace oxbow::mirror::upstream
