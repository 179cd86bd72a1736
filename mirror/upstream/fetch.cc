#include "mirror/upstream/fetch.h"

#include <algorithm>

#include "core/digest.h"
#include "core/encoding.h"
#include "core/log.h"
#include "mirror/upstream/curl_core.h"
#include "mirror/upstream/http_values.h"
#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Of answers that are errors: OCI error JSON is small, a proxy's HTML page is not needed.
constexpr std::size_t kMaxJudgedBodyBytes = 64 * 1024;
// One more round over the URLs when all of them failed in a way that often passes.
constexpr milliseconds kRetryDelay{200};
constexpr milliseconds kLeastShareOfTime{250};

bool passes(int status) noexcept { return status == 500 || status == 502 || status == 503 || status == 504; }

bool set_by_us(std::string_view name) {
  for (const auto* ours : {"Authorization", "Host", "Range", "Accept-Encoding", "User-Agent", "Content-Length",
                           "Transfer-Encoding", "Connection", "Proxy-Authorization", "Cookie"}) {
    if (iequals(name, ours)) return true;
  }
  return false;
}

bool fits_a_line(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

Head make_head(const Incoming& incoming) {
  Head head{.status = incoming.status,
            .headers = incoming.headers,
            .origin = {},
            .redirected = false,
            .content_length = std::nullopt,
            .content_range = std::nullopt};
  if (const auto parts = split_url(incoming.effective_url)) head.origin = parts->origin();
  if (const auto length = head.headers.find("Content-Length")) head.content_length = parse_number(*length);
  if (const auto range = head.headers.find("Content-Range"); range && head.status == 206) {
    head.content_range = parse_content_range(*range);
  }
  return head;
}

}  // namespace

Fetch::Fetch(std::shared_ptr<Registry::Shared> shared, std::shared_ptr<CurlLoop::Core> core, FetchRequest request,
             Observer& observer)
    : shared_(std::move(shared)),
      core_(std::move(core)),
      request_(std::move(request)),
      observer_(&observer),
      signal_(core_->loop().get_executor()),
      bandwidth_timer_(core_->loop()),
      started_(steady_clock::now()),
      head_until_(started_ + request_.head_timeout),
      late_until_(started_ + std::max(request_.head_timeout, request_.late_timeout)) {}

void Fetch::launch() { asio::co_spawn(core_->loop(), run(shared_from_this()), asio::detached); }

void Fetch::cancel() {
  observer_ = nullptr;
  exchange_.reset();
  slot_.release();
  bandwidth_timer_.cancel();
  rest_.clear();
  signal_.notify();
}

Task<> Fetch::run(std::shared_ptr<Fetch> self) {
  // Never from inside `start`, however co_spawn begins.
  co_await asio::post(self->core_->loop(), asio::use_awaitable);
  if (self->stopped()) co_return;
  auto result = co_await self->work();
  co_await self->until_drained();
  self->exchange_.reset();
  self->slot_.release();
  if (self->stopped()) co_return;
  if (!result) result = std::unexpected(std::move(result).error().in(self->shared_->config.name));
  std::exchange(self->observer_, nullptr)->on_done(std::move(result));
}

Task<> Fetch::until_drained() {
  while (!stopped() && !rest_.empty()) co_await signal_.wait(SteadyTime::max());
}

Task<Result<>> Fetch::work() {
  const auto cancelled = [] { return fail(Errc::kCancelled, "given up"); };
  if (!request_.path.starts_with('/') || !fits_a_line(request_.path) || !fits_a_line(request_.query) ||
      !fits_a_line(request_.identity.authorization) ||
      (request_.method != http::Method::kGet && request_.method != http::Method::kHead)) {
    co_return fail(Errc::kInvalid, "not a request that can go upstream");
  }
  auto slot = co_await shared_->slots->acquire(request_.fetch_class,
                                               std::min(head_until_, started_ + shared_->config.queue_timeout));
  if (stopped()) co_return cancelled();
  if (!slot) co_return std::unexpected(std::move(slot).error());
  slot_ = std::move(*slot);

  auto remembered = co_await ask_remembered_location();
  if (stopped()) co_return cancelled();
  if (remembered) co_return std::move(*remembered);

  for (bool may_retry = true;;) {
    auto round = co_await ask_all(may_retry);
    if (stopped()) co_return cancelled();
    if (round.done) co_return std::move(*round.done);
    if (!round.retry_in || steady_clock::now() + *round.retry_in >= head_until_) co_return conclude(std::move(round));
    if (!round.throttled) may_retry = false;
    co_await signal_.wait(steady_clock::now() + *round.retry_in);
    if (stopped()) co_return cancelled();
  }
}

Task<std::optional<Result<>>> Fetch::ask_remembered_location() {
  if (!is_blob() || request_.method != http::Method::kGet) co_return std::nullopt;
  const auto key = location_key();
  auto url = shared_->locations.find(key);
  if (!url) co_return std::nullopt;
  endpoint_ = nullptr;
  auto outcome = co_await exchange(std::move(*url), std::nullopt, share_of_time(2));
  if (stopped()) co_return std::nullopt;
  if (outcome.delivered) {
    co_return outcome.error ? Result<>(std::unexpected(std::move(*outcome.error))) : Result<>();
  }
  if (outcome.status() == 416) co_return deliver(std::move(outcome));
  // Expired, gone or unwell: the registry knows another one.
  shared_->locations.forget(key);
  co_return std::nullopt;
}

SteadyTime Fetch::share_of_time(std::size_t urls_left) const {
  if (urls_left <= 1) return late_until_;
  const auto now = steady_clock::now();
  return std::min(head_until_, now + std::max<steady_clock::duration>((head_until_ - now) / 2, kLeastShareOfTime));
}

Task<Fetch::Round> Fetch::ask_all(bool may_retry) {
  Round round;
  std::optional<milliseconds> least_throttle;
  const auto throttled = [&](const Endpoint& endpoint) {
    const auto wait = endpoint.throttled_for();
    least_throttle = least_throttle ? std::min(*least_throttle, wait) : wait;
    round.all_missing = false;
  };
  bool passing = false;
  const auto& endpoints = shared_->endpoints;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    const auto& endpoint = endpoints[i];
    const auto admission = endpoint->admit();
    if (admission == Endpoint::Admission::kThrottled) throttled(*endpoint);
    if (admission == Endpoint::Admission::kOpen) {
      round.all_missing = false;
      if (!round.error)
        round.error = Error(Errc::kUnavailable, endpoint->origin() + ": failing, left alone for a while");
    }
    if (admission != Endpoint::Admission::kYes) continue;

    auto outcome = co_await ask(endpoint, share_of_time(endpoints.size() - i));
    if (stopped()) co_return round;
    if (outcome.delivered) {
      round.done = outcome.error ? Result<>(std::unexpected(std::move(*outcome.error))) : Result<>();
      co_return round;
    }
    const int status = outcome.status();
    if (status == 429 || (outcome.error && outcome.error->code() == Errc::kThrottled)) {
      throttled(*endpoint);
    } else if (outcome.error) {
      const auto code = outcome.error->code();
      round.all_missing = false;
      passing = passing || code == Errc::kUnavailable;
      round.error = std::move(outcome.error);
      if (code == Errc::kCancelled || code == Errc::kInvalid) break;
    } else if (status == 404) {
      if (!round.answer) round.answer = std::move(outcome);
    } else if (status >= 500) {
      round.all_missing = false;
      passing = passing || passes(status);
      round.answer = std::move(outcome);
    } else {
      round.done = deliver(std::move(outcome));
      co_return round;
    }
  }
  if (round.all_missing && round.answer) co_return round;
  if (least_throttle && !round.error && !round.answer) {
    round.throttled = true;
    round.retry_in = *least_throttle;
    round.error = Error(Errc::kThrottled, fmt::format("asked to wait {}", format_duration(*least_throttle)));
  } else if (passing && may_retry) {
    round.retry_in = kRetryDelay;
  }
  co_return round;
}

Result<> Fetch::conclude(Round round) {
  const bool missing_somewhere = round.answer && round.answer->status() == 404 && !round.all_missing;
  if (round.answer && !missing_somewhere) return deliver(std::move(*round.answer));
  if (round.error) return std::unexpected(std::move(*round.error));
  return fail(Errc::kUnavailable, "no URL could be asked");
}

Result<> Fetch::deliver(Outcome outcome) {
  observer_->on_head(*outcome.head);
  if (!stopped() && request_.method != http::Method::kHead && !outcome.body.empty()) offer(outcome.body);
  return {};
}

Fetch::Outcome Fetch::failure(Error error) {
  Outcome outcome;
  outcome.error = std::move(error);
  return outcome;
}

Task<Fetch::Outcome> Fetch::ask(std::shared_ptr<Endpoint> endpoint, SteadyTime head_until) {
  struct Undecided {
    Endpoint& endpoint;
    bool decided = false;
    ~Undecided() {
      if (!decided) endpoint.undecided();
    }
  } verdict{*endpoint};
  const auto url = endpoint->url() + request_.path + (request_.query.empty() ? "" : "?" + request_.query);
  const bool ours = request_.identity.kind != IdentityKind::kClient;
  const Authenticator::Ask who{.core = core_,
                               .endpoint = endpoint,
                               .repository = request_.repository,
                               .kind = request_.identity.kind,
                               .until = head_until};
  Authorization authorization;
  if (ours) {
    auto known = co_await shared_->authenticator->known(who);
    if (stopped()) co_return Outcome{};
    if (!known) co_return failure(std::move(known).error());
    authorization = std::move(*known);
  } else if (!request_.identity.authorization.empty()) {
    authorization = request_.identity.authorization;
  }
  endpoint_ = endpoint;
  auto outcome = co_await exchange(url, authorization, head_until);
  if (stopped()) co_return outcome;
  // A host that the registry sends us to does not say who gets our credentials.
  if (ours && outcome.status() == 401 && !outcome.head->redirected) {
    auto answer = co_await shared_->authenticator->answer(who, registry_api::parse_challenges(outcome.head->headers),
                                                          authorization);
    if (stopped()) co_return outcome;
    if (!answer) co_return failure(std::move(answer).error());
    if (*answer) outcome = co_await exchange(url, *answer, head_until);
    if (stopped()) co_return outcome;
  }
  const bool unwell = outcome.status() >= 500 || (outcome.error && (outcome.error->code() == Errc::kUnavailable ||
                                                                    outcome.error->code() == Errc::kTimeout ||
                                                                    outcome.error->code() == Errc::kCorrupt));
  verdict.decided = true;
  if (outcome.delivered) co_return outcome;  // judged when its head came
  if (unwell) {
    endpoint->failed(outcome.error ? outcome.error->what() : fmt::format("answers with status {}", outcome.status()),
                     outcome.error && outcome.error->code() == Errc::kTimeout);
  } else if (outcome.status() == 429) {
    const auto after = outcome.head->headers.find("Retry-After");
    endpoint->throttle(after ? parse_retry_after(*after, shared_->services.clock.wall()) : std::nullopt);
  } else if (outcome.error) {
    endpoint->undecided();
  } else {
    endpoint->succeeded();
  }
  co_return outcome;
}

Outgoing Fetch::outgoing(std::string url, const Authorization& authorization) const {
  Outgoing out{.url = std::move(url),
               .method = request_.method,
               .headers = {},
               .form = {},
               .follow_redirects = true,
               .allow_http2 = !is_blob(),
               .large_body = is_blob()};
  for (const auto& [name, value] : request_.headers) {
    if (!set_by_us(name) && fits_a_line(name) && fits_a_line(value)) out.headers.add(name, value);
  }
  if (request_.range) out.headers.add("Range", format_range(*request_.range));
  if (authorization) out.headers.add("Authorization", *authorization);
  return out;
}

Task<Fetch::Outcome> Fetch::exchange(std::string url, Authorization authorization, SteadyTime head_until) {
  outcome_ = {};
  ending_.reset();
  curl_paused_ = false;
  last_progress_ = steady_clock::now();
  ExchangeEvents& events = *this;
  exchange_ = std::make_unique<Exchange>(core_, shared_->transport, outgoing(url, authorization), events);
  exchange_->start();
  std::optional<Error> given_up;
  while (!ending_ && !stopped() && !given_up) {
    auto until = held() || curl_paused_ ? SteadyTime::max() : last_progress_ + shared_->config.no_progress_timeout;
    if (!outcome_.head) until = std::min(until, head_until);
    co_await signal_.wait(until);
    if (!ending_ && !stopped()) given_up = overdue(head_until, steady_clock::now());
  }
  exchange_.reset();
  if (stopped()) co_return Outcome{};
  auto outcome = std::exchange(outcome_, {});
  if (given_up) {
    outcome.error = std::move(given_up);
  } else if (!ending_->ok()) {
    outcome.error = ending_error(*ending_, outcome.body_bytes);
  }
  // An answer that is an error is an answer, even when its body did not come whole.
  if (outcome.error && outcome.head && !outcome.delivered && !ending_.value_or(Ending{}).refused_address)
    outcome.error.reset();
  const auto code = outcome.head ? fmt::to_string(outcome.status()) : std::string("error");
  shared_->requests.Add({{"registry", shared_->config.name}, {"code", code}}).Increment();
  log::debug("upstream request", {{"registry", shared_->config.name},
                                  {"method", http::to_string(request_.method)},
                                  {"url", printable_url(url)},
                                  {"code", code},
                                  {"bytes", outcome.body_bytes},
                                  {"error", outcome.error ? outcome.error->what() : std::string()}});
  if (outcome.error) outcome.error = std::move(*outcome.error).in(split_url(url).value_or(UrlParts{}).origin());
  co_return outcome;
}

std::optional<Error> Fetch::overdue(SteadyTime head_until, SteadyTime now) const {
  if (!outcome_.head && now >= head_until) return Error(Errc::kTimeout, "no answer in time");
  if (held() || curl_paused_ || now < last_progress_ + shared_->config.no_progress_timeout) return std::nullopt;
  return Error(Errc::kTimeout, fmt::format("no progress for {} after {} body bytes",
                                           format_duration(shared_->config.no_progress_timeout), outcome_.body_bytes));
}

std::string Fetch::location_key() const {
  const auto& identity = request_.identity;
  std::string who = "anonymous";
  if (identity.kind == IdentityKind::kNode) who = "node";
  if (identity.kind == IdentityKind::kClient) who = Digest::sha256(identity.authorization).hex();
  return who + " " + request_.path + "?" + request_.query;
}

void Fetch::on_incoming(Incoming incoming) {
  auto head = make_head(incoming);
  const auto asked = endpoint_ ? endpoint_->origin() : head.origin;
  head.redirected = head.origin != asked;
  last_progress_ = steady_clock::now();
  signal_.notify();
  outcome_.head = std::move(head);
  const int status = outcome_.head->status;
  if (status < 200 || status >= 300) return;
  if (endpoint_) endpoint_->succeeded();
  if (endpoint_ && outcome_.head->redirected && is_blob() && request_.method == http::Method::kGet) {
    shared_->locations.remember(location_key(), std::move(incoming.effective_url));
  }
  outcome_.delivered = true;
  observer_->on_head(*outcome_.head);
}

bool Fetch::on_bytes(std::string_view bytes) {
  if (held()) {
    curl_paused_ = true;
    return false;
  }
  last_progress_ = steady_clock::now();
  outcome_.body_bytes += bytes.size();
  shared_->body_bytes.Increment(static_cast<double>(bytes.size()));
  if (!outcome_.delivered) {
    outcome_.body.append(bytes.substr(0, kMaxJudgedBodyBytes - outcome_.body.size()));
    return true;
  }
  const auto wait = shared_->bandwidth.take(request_.fetch_class, bytes.size(), last_progress_);
  if (wait > std::chrono::nanoseconds(0)) pause_for(wait);
  offer(bytes);
  return true;
}

void Fetch::on_ending(Ending ending) {
  ending_ = std::move(ending);
  signal_.notify();
}

void Fetch::offer(std::string_view bytes) {
  const auto taken = observer_->on_data(std::as_bytes(std::span(bytes)));
  if (stopped()) return;
  OXBOW_INVARIANT(taken <= bytes.size());
  rest_.assign(bytes.substr(taken));
  paused_ = !rest_.empty();
}

void Fetch::pause_for(std::chrono::nanoseconds wait) {
  bandwidth_pause_ = true;
  bandwidth_timer_.expires_after(wait);
  bandwidth_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& failed) {
    const auto self = weak.lock();
    if (failed || !self || self->stopped()) return;
    self->bandwidth_pause_ = false;
    self->go_on();
  });
}

void Fetch::resume() {
  asio::post(core_->loop(), [weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && !self->stopped()) self->do_resume();
  });
}

void Fetch::do_resume() {
  if (!paused_) return;
  paused_ = false;
  const auto rest = std::exchange(rest_, {});
  offer(rest);
  if (stopped() || paused_) return;
  signal_.notify();
  go_on();
}

void Fetch::go_on() {
  if (held()) return;
  last_progress_ = steady_clock::now();
  signal_.notify();
  if (!std::exchange(curl_paused_, false) || !exchange_) return;
  exchange_->unpause();
}

}  // namespace oxbow::mirror::upstream
