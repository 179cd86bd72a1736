#include "core/http/http2_connection.h"

#include "core/http/call_handler.h"
#include "core/http/http2_session.h"
#include "core/http/send_rate.h"
#include "core/log.h"

namespace oxbow::http {
namespace {

/// Queued at once where the link is not slow: one large frame, or 16 small ones.
constexpr std::size_t kBatchBytes = 256UL * 1024;

class Http2Connection final : public Protocol {
 public:
  explicit Http2Connection(Connection& connection)
      : connection_(connection),
        session_(
            Http2Limits{
                .header_bytes = connection.limits().header_bytes,
                .fields = 1'000,
                .body_bytes = connection.limits().request_body_bytes,
                .bodies_bytes = std::max(connection.limits().h2_bodies_bytes,
                                         connection.limits().request_body_bytes + connection.limits().header_bytes),
                .streams = connection.limits().h2_streams,
                .frame_bytes = std::max(connection.limits().h2_frame_bytes, 16'384U),
                .resets_per_second = connection.limits().h2_resets_per_second},
            connection.context().config.keep_request_bodies, [this] { connection_.schedule(); },
            [this](const Http2Session::Outcome& outcome) { write_log(outcome); }),
        progress_at_(connection.worker().now()) {}

  void start(std::string_view first_bytes) override {
    if (!first_bytes.empty()) take_input(first_bytes);
    run();
  }
  void run() override;
  bool idle() const override { return session_.streams() == 0 && out_.empty(); }
  void on_deadline() override;
  void drain() override;
  void cut() override;
  void abandon() override;

 private:
  void take_input(std::string_view bytes);
  void dispatch(Http2Session::Incoming incoming);
  bool read_turn();
  bool write_turn();
  void choose_unsent_limit(std::size_t sent_bytes);
  void count_hits();
  void set_deadline();
  /// As on HTTP/1.1 a body has `idle_timeout` in all.
  Http2Session::RequestTimes request_times() const {
    return {.header = connection_.limits().header_timeout, .body = connection_.limits().idle_timeout};
  }
  void write_log(const Http2Session::Outcome& outcome) const;
  Connection::Time now() const { return connection_.worker().now(); }

  Connection& connection_;
  Http2Session session_;
  OutQueue out_;
  std::size_t handlers_ = 0;
  Connection::Time progress_at_;
  SendRate rate_;
  bool may_be_abandoned_ = false;  // one of the responses since all was last silent
  bool pending_ = false;           // there is something to send
  bool running_ = false;
  bool ending_ = false;  // nothing is read any more; what is queued is sent, then FIN
  bool ended_ = false;
};

void Http2Connection::run() {
  if (running_ || ended_) return;
  running_ = true;
  const bool more_input = read_turn();
  const bool more_output = !ended_ && write_turn();
  running_ = false;
  if (ended_ || connection_.closed()) return;
  if (out_.empty() && !more_output && (ending_ || session_.finished())) {
    ended_ = true;
    connection_.linger();
    return;
  }
  if (more_input || more_output) connection_.schedule();
  set_deadline();
}

/// True when there is more to read than one turn allows.
bool Http2Connection::read_turn() {
  constexpr std::size_t kReadsPerTurn = 8;
  auto& transport = connection_.transport();
  for (std::size_t i = 0; i < kReadsPerTurn; ++i) {
    if (ending_ || !transport.readable()) return false;
    const auto scratch = connection_.worker().read_scratch();
    const auto got = transport.read(scratch);
    if (got.status == Io::kClosed) {
      ended_ = true;
      connection_.close();
      return false;
    }
    if (got.status == Io::kBlocked) return false;
    take_input({scratch.data(), got.bytes});
  }
  return true;
}

void Http2Connection::take_input(std::string_view bytes) {
  if (!session_.feed(bytes, now())) {
    ending_ = true;
    log::debug("http2 connection ended", {{"remote", connection_.remote()}});
  }
  count_hits();
  for (auto& incoming : session_.take_requests()) {
    // Streams that were reset leave their handlers behind; past twice the allowed streams that is an attack.
    if (handlers_ >= 2UL * connection_.limits().h2_streams) {
      connection_.context().limits.h2_streams.Increment();
      ending_ = true;
      session_.cut();
      return;
    }
    dispatch(std::move(incoming));
  }
}

void Http2Connection::dispatch(Http2Session::Incoming incoming) {
  auto& request = incoming.request;
  request.secure = connection_.transport().secure();
  request.remote = connection_.remote();
  request.peer_name = connection_.peer_name();
  request.peer_serial = connection_.peer_serial();
  request.peer_certificate = connection_.peer_certificate();
  ++handlers_;
  call_handler(connection_.worker(), std::move(request),
               [this, owner = connection_.shared_from_this(), id = incoming.stream](Response response) {
                 --handlers_;
                 if (ended_ || connection_.closed()) return;
                 connection_.worker().touch_clock();
                 may_be_abandoned_ = response.may_be_abandoned || (may_be_abandoned_ && session_.sending() > 0);
                 session_.respond(id, std::move(response), connection_.worker().date(), now());
                 run();
               });
}

/// True when there is more to write than one turn allows.
bool Http2Connection::write_turn() {
  auto& transport = connection_.transport();
  std::size_t budget = connection_.limits().turn_bytes;
  while (budget > 0) {
    if (!transport.writable()) return false;
    const auto batch = rate_.backlog(kBatchBytes, kBatchBytes);
    if (out_.bytes() < batch && !session_.produce(out_, batch, now())) ending_ = true;
    count_hits();
    if (out_.empty()) {
      rate_.pause();
      return false;
    }
    const auto sent = transport.flush(out_, budget, connection_.worker().write_scratch());
    if (sent.bytes > 0) {
      connection_.context().sent_h2.Increment(static_cast<double>(sent.bytes));
      progress_at_ = now();
      choose_unsent_limit(sent.bytes);
    }
    budget -= std::min(budget, sent.bytes);
    switch (sent.status) {
      case Io::kDone:
        break;
      case Io::kBlocked:
        return false;
      case Io::kClosed:
        ended_ = true;
        connection_.close();
        return false;
      case Io::kFileFailed:
        // The frame's header is out and promises bytes that do not exist: only the connection can end.
        log::info("connection cut", {{"remote", connection_.remote()}, {"error", "file could not be read"}});
        ended_ = true;
        connection_.linger();
        return false;
    }
  }
  return true;
}

void Http2Connection::choose_unsent_limit(std::size_t sent_bytes) {
  const auto& limits = connection_.limits();
  rate_.note(sent_bytes, now());
  connection_.transport().set_unsent_limit(
      rate_.backlog(limits.unsent_bytes, may_be_abandoned_ ? limits.unsent_bytes : limits.bulk_unsent_bytes));
}

void Http2Connection::count_hits() {
  auto& limits = connection_.context().limits;
  const auto hits = session_.take_hits();
  if (hits.streams > 0) limits.h2_streams.Increment(hits.streams);
  if (hits.resets > 0) limits.h2_resets_per_second.Increment(hits.resets);
  if (hits.control_frames > 0) limits.h2_control_frames.Increment(hits.control_frames);
  if (hits.header_bytes > 0) limits.header_bytes.Increment(hits.header_bytes);
  if (hits.body_bytes > 0) limits.request_body_bytes.Increment(hits.body_bytes);
  if (hits.bodies_bytes > 0) limits.h2_bodies_bytes.Increment(hits.bodies_bytes);
}

void Http2Connection::set_deadline() {
  const auto& limits = connection_.limits();
  auto deadline = Connection::kNever;
  const bool pending = !out_.empty() || session_.sending() > 0;
  if (pending && !pending_) progress_at_ = now();
  pending_ = pending;
  if (pending) deadline = progress_at_ + limits.send_timeout;
  // PING and other streams move bytes past a response that its receiver has stopped by a window.
  if (const auto since = session_.stalled_since(); since != Connection::kNever)
    deadline = std::min(deadline, since + limits.send_timeout);
  if (session_.streams() == 0) {
    connection_.set_idle_since(std::max(progress_at_, connection_.idle_since()));
    deadline = std::min(deadline, connection_.idle_since() + limits.idle_timeout);
  } else {
    deadline = std::min(deadline, session_.request_due(request_times()));
  }
  connection_.set_deadline(deadline);
}

void Http2Connection::on_deadline() {
  auto& counters = connection_.context().limits;
  const auto then = now() - connection_.limits().send_timeout;
  const bool pending = !out_.empty() || session_.sending() > 0;
  if (!ending_ && progress_at_ > then) {
    if (const auto stalled = session_.reset_stalled(then); stalled > 0) {
      counters.send_timeout.Increment(stalled);
      return run();
    }
  }
  if (!ending_ && (progress_at_ > then || !pending)) {
    // A body that comes too slowly must not cost the other streams their connection.
    if (const auto late = session_.refuse_late(request_times(), now()); late > 0) {
      counters.header_timeout.Increment(late);
      return run();
    }
  }
  if (ending_ || pending) {
    counters.send_timeout.Increment();
    ended_ = true;
    connection_.linger();
    return;
  }
  (session_.streams() == 0 ? counters.idle_timeout : counters.header_timeout).Increment();
  cut();
}

void Http2Connection::drain() {
  session_.drain();
  run();
}

void Http2Connection::cut() {
  session_.cut();
  ending_ = true;
  run();
  // A client that takes nothing keeps nobody waiting.
  if (!ended_ && !connection_.closed()) connection_.set_deadline(now() + connection_.limits().linger);
}

void Http2Connection::abandon() {
  ended_ = true;
  session_.abandon();
  out_.clear();
}

void Http2Connection::write_log(const Http2Session::Outcome& outcome) const {
  if (!log::enabled(log::Level::kDebug)) return;
  RequestLog line{.method = outcome.method,
                  .path = outcome.path,
                  .received = outcome.received,
                  .status = outcome.status,
                  .body_bytes = outcome.body_bytes};
  line.write(connection_.remote(), "h2", outcome.end, now());
}

}  // namespace

std::unique_ptr<Protocol> make_http2(Connection& connection) { return std::make_unique<Http2Connection>(connection); }

}  // namespace oxbow::http
