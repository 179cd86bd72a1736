#include "core/http/http1_connection.h"

#include "core/http/call_handler.h"
#include "core/http/http1_head.h"
#include "core/http/http1_parser.h"
#include "core/log.h"

namespace oxbow::http {
namespace {

/// The body is asked for more while less than this waits to be written: small pieces leave together.
constexpr std::size_t kPullBelowBytes = 64UL * 1024;
/// Pipelined requests of one connection before others have their turn.
constexpr int kRequestsPerTurn = 64;
/// An idle connection keeps no larger input buffer.
constexpr std::size_t kIdleInputBytes = 512;

class Http1Connection final : public Protocol {
 public:
  explicit Http1Connection(Connection& connection)
      : connection_(connection),
        parser_(Http1Limits{.header_bytes = connection.limits().header_bytes,
                            .target_bytes = connection.limits().header_bytes / 3,
                            .fields = 1'000,
                            .body_bytes = connection.limits().request_body_bytes},
                connection.context().config.keep_request_bodies) {}

  void start(std::string_view first_bytes) override {
    if (!first_bytes.empty()) take_input(first_bytes);
    run();
  }
  void run() override;
  bool idle() const override {
    return state_ == State::kReading && input_.empty() && !parser_.in_body() && out_.empty();
  }
  void on_deadline() override;
  void drain() override;
  void cut() override;
  void abandon() override;

 private:
  enum class State { kReading, kHandling, kSending, kEnded };

  /// Each returns false when the connection has to wait.
  bool read_request();
  bool begin_response();
  bool send_response();

  void take_input(std::string_view bytes);
  void on_progress(Http1Parser::Progress progress);
  void await_input(std::size_t left_bytes);
  void refuse(int status, std::string_view why);
  void dispatch();
  void pull();
  void push_piece_bytes(std::size_t bytes);
  bool admit(std::size_t bytes);
  void end_cut(std::string_view why);
  void finish_response();
  Connection::Time now() const { return connection_.worker().now(); }

  Connection& connection_;
  Http1Parser parser_;
  std::string input_;
  OutQueue out_;
  State state_ = State::kReading;
  bool running_ = false;
  bool request_ready_ = false;
  bool reading_header_ = false;
  int requests_this_turn_ = 0;

  Method method_ = Method::kGet;
  bool http10_ = false;
  bool close_after_ = false;
  bool linger_after_ = false;  // unread input may follow: FIN first, then drain
  std::optional<Response> response_;
  std::unique_ptr<Body> body_;
  Framing framing_ = Framing::kNone;
  std::uint64_t body_left_ = 0;
  std::uint64_t response_sent_bytes_ = 0;
  bool may_be_abandoned_ = false;
  bool body_done_ = true;
  bool waiting_ = false;
  bool cut_ = false;
  RequestLog log_;
};

void Http1Connection::run() {
  if (running_) return;
  running_ = true;
  requests_this_turn_ = 0;
  bool on = true;
  while (on && !connection_.closed()) {
    switch (state_) {
      case State::kReading:
        on = read_request();
        break;
      case State::kHandling:
        on = begin_response();
        break;
      case State::kSending:
        on = send_response();
        break;
      case State::kEnded:
        on = false;
        break;
    }
  }
  running_ = false;
}

bool Http1Connection::read_request() {
  if (request_ready_) {
    if (++requests_this_turn_ > kRequestsPerTurn) {
      connection_.schedule();
      return false;
    }
    dispatch();
    return true;
  }
  auto& transport = connection_.transport();
  if (!out_.empty()) {  // "100 Continue" must be out before its body is waited for
    const auto sent = transport.flush(out_, out_.bytes(), connection_.worker().write_scratch());
    if (sent.status == Io::kClosed) connection_.close();
    if (sent.status != Io::kDone) return false;
  }
  if (!transport.readable()) return false;
  const auto scratch = connection_.worker().read_scratch();
  const auto got = transport.read(scratch);
  if (got.status == Io::kClosed) {
    connection_.close();
    return false;
  }
  if (got.status == Io::kBlocked) return false;
  take_input({scratch.data(), got.bytes});
  return true;
}

void Http1Connection::take_input(std::string_view bytes) {
  if (!input_.empty()) {
    input_.append(bytes);
    const auto progress = parser_.feed(input_);
    input_.erase(0, progress.consumed);
    return on_progress(progress);
  }
  const auto progress = parser_.feed(bytes);
  input_.assign(bytes.substr(progress.consumed));
  on_progress(progress);
}

void Http1Connection::on_progress(Http1Parser::Progress progress) {
  switch (progress.state) {
    case Http1Parser::State::kNeedMore:
      return await_input(input_.size());
    case Http1Parser::State::kContinue: {
      out_.push_bytes("HTTP/1.1 100 Continue\r\n\r\n");
      const auto next = parser_.feed(input_);
      input_.erase(0, next.consumed);
      return on_progress(next);
    }
    case Http1Parser::State::kComplete:
      request_ready_ = true;
      return;
    case Http1Parser::State::kError:
      return refuse(parser_.status(), parser_.why());
  }
}

void Http1Connection::await_input(std::size_t left_bytes) {
  if (parser_.in_body()) {
    if (std::exchange(reading_header_, false)) connection_.set_deadline(now() + connection_.limits().idle_timeout);
  } else if (left_bytes == 0) {
    connection_.set_deadline(now() + connection_.limits().idle_timeout);
  } else if (!std::exchange(reading_header_, true)) {
    connection_.set_deadline(now() + connection_.limits().header_timeout);
  }
}

void Http1Connection::refuse(int status, std::string_view why) {
  auto& limits = connection_.context().limits;
  if (status == 414 || status == 431) limits.header_bytes.Increment();
  if (status == 413) limits.request_body_bytes.Increment();
  log_ = {.method = "-", .path = "-", .received = now(), .status = status};
  method_ = Method::kGet;
  http10_ = false;
  close_after_ = true;
  linger_after_ = true;
  input_.clear();
  response_ = error_response(status, why);
  state_ = State::kHandling;
}

void Http1Connection::dispatch() {
  request_ready_ = false;
  reading_header_ = false;
  auto request = parser_.take();
  request.version = Version::kHttp11;
  request.secure = connection_.transport().secure();
  request.remote = connection_.remote();
  request.peer_name = connection_.peer_name();
  request.peer_serial = connection_.peer_serial();
  request.peer_certificate = connection_.peer_certificate();
  request.received = now();
  method_ = request.method;
  http10_ = parser_.http10();
  close_after_ = !parser_.keep_alive();
  linger_after_ = false;
  log_ = {.method = request.method_text, .path = request.path, .received = now()};
  state_ = State::kHandling;
  connection_.set_deadline(Connection::kNever);  // the handler's answer is its own promise
  call_handler(connection_.worker(), std::move(request),
               [this, owner = connection_.shared_from_this()](Response response) {
                 if (connection_.closed() || state_ != State::kHandling) return;
                 connection_.worker().touch_clock();
                 response_ = std::move(response);
                 run();
               });
}

bool Http1Connection::begin_response() {
  if (!response_) return false;
  auto response = std::move(*response_);
  response_.reset();
  if (connection_.worker().draining()) close_after_ = true;
  framing_ = framing_of(response, method_, http10_);
  if (framing_ == Framing::kClose) close_after_ = true;
  out_.push_bytes(write_head(response, framing_, method_, close_after_, connection_.worker().date()));
  log_.status = response.status;
  log_.body_bytes = 0;
  response_sent_bytes_ = 0;
  may_be_abandoned_ = response.may_be_abandoned;
  connection_.transport().set_unsent_limit(connection_.limits().unsent_bytes);
  cut_ = false;
  waiting_ = false;
  body_left_ = response.content_length.value_or(0);
  body_done_ = framing_ == Framing::kNone || (framing_ == Framing::kLength && body_left_ == 0);
  if (!body_done_ && !response.body) {
    cut_ = true;  // a length and nothing to fill it with
    body_done_ = true;
  }
  if (!body_done_) body_ = std::move(response.body);
  state_ = State::kSending;
  connection_.set_deadline(now() + connection_.limits().send_timeout);
  return true;
}

bool Http1Connection::send_response() {
  auto& transport = connection_.transport();
  std::size_t budget = connection_.limits().turn_bytes;
  for (;;) {
    if (!transport.writable()) return false;
    while (!body_done_ && !waiting_ && out_.bytes() < kPullBelowBytes) pull();
    if (out_.empty()) {
      if (!body_done_) {
        connection_.set_deadline(Connection::kNever);  // it is the body that is late, not the client
        return false;
      }
      finish_response();
      return true;
    }
    const auto sent = transport.flush(out_, budget, connection_.worker().write_scratch());
    if (sent.bytes > 0) {
      connection_.context().sent_h1.Increment(static_cast<double>(sent.bytes));
      response_sent_bytes_ += sent.bytes;
      // Whoever has taken this much is going to take the rest.
      if (!may_be_abandoned_ && response_sent_bytes_ >= connection_.limits().bulk_after_bytes) {
        transport.set_unsent_limit(connection_.limits().bulk_unsent_bytes);
      }
      connection_.set_deadline(now() + connection_.limits().send_timeout);
    }
    budget -= std::min(budget, sent.bytes);
    switch (sent.status) {
      case Io::kDone:
        break;
      case Io::kBlocked:
        return false;
      case Io::kClosed:
        connection_.close();
        return false;
      case Io::kFileFailed:
        end_cut("file could not be read");
        return false;
    }
    if (budget == 0 && !(out_.empty() && body_done_)) {
      connection_.schedule();
      return false;
    }
  }
}

void Http1Connection::pull() {
  constexpr std::size_t kPieceMin = 64UL * 1024;
  constexpr std::size_t kPieceMax = 1024UL * 1024;
  auto piece = body_->next(std::clamp(connection_.limits().turn_bytes, kPieceMin, kPieceMax));
  if (auto* memory = std::get_if<MemoryPiece>(&piece)) {
    if (!admit(memory->bytes.size())) return;
    if (framing_ == Framing::kChunked) out_.append_bytes(fmt::format("{:x}\r\n", memory->bytes.size()));
    out_.push_memory(memory->bytes, std::move(memory->pin));
    if (framing_ == Framing::kChunked) out_.append_bytes("\r\n");
  } else if (auto* file = std::get_if<FilePiece>(&piece)) {
    if (!admit(file->length)) return;
    if (framing_ == Framing::kChunked) out_.append_bytes(fmt::format("{:x}\r\n", file->length));
    out_.push_file(file->fd, file->offset, file->length, std::move(file->pin));
    if (framing_ == Framing::kChunked) out_.append_bytes("\r\n");
  } else if (std::holds_alternative<Wait>(piece)) {
    waiting_ = true;
    body_->on_ready([this] {
      waiting_ = false;
      // Not from here: sending may destroy the body that is calling.
      connection_.schedule();
    });
  } else if (std::holds_alternative<End>(piece)) {
    body_done_ = true;
    if (framing_ == Framing::kChunked) out_.append_bytes("0\r\n\r\n");
    if (framing_ == Framing::kLength) {
      cut_ = true;
      log::warn("body shorter than its length", {{"server", connection_.context().config.name}, {"path", log_.path}});
    }
  } else {
    body_done_ = true;
    cut_ = true;
    log::info("response cut", {{"path", log_.path}, log::Field(std::get<Cut>(piece).error)});
  }
}

/// Counts body bytes; false when the body is longer than was promised.
bool Http1Connection::admit(std::size_t bytes) {
  if (framing_ == Framing::kLength) {
    if (bytes > body_left_) {
      log::warn("body longer than its length", {{"server", connection_.context().config.name}, {"path", log_.path}});
      cut_ = true;
      body_done_ = true;
      return false;
    }
    body_left_ -= bytes;
    body_done_ = body_left_ == 0;
  }
  log_.body_bytes += bytes;
  return true;
}

void Http1Connection::end_cut(std::string_view why) {
  log::info("response cut", {{"path", log_.path}, {"error", why}});
  log_.write(connection_.remote(), "h1", "cut", now());
  state_ = State::kEnded;
  connection_.linger();
}

void Http1Connection::finish_response() {
  body_.reset();
  log_.write(connection_.remote(), "h1", cut_ ? "cut" : "sent", now());
  if (cut_ || close_after_ || connection_.worker().draining()) {
    state_ = State::kEnded;
    connection_.linger();
    return;
  }
  state_ = State::kReading;
  connection_.set_idle_since(now());
  connection_.set_deadline(now() + connection_.limits().idle_timeout);
  if (input_.empty()) {
    if (input_.capacity() > kIdleInputBytes) std::string().swap(input_);
    return;
  }
  const auto progress = parser_.feed(input_);
  input_.erase(0, progress.consumed);
  on_progress(progress);
}

void Http1Connection::on_deadline() {
  auto& limits = connection_.context().limits;
  if (state_ == State::kSending) {
    limits.send_timeout.Increment();
    return end_cut("client took no byte within send_timeout");
  }
  if (state_ != State::kReading) return;
  if (idle()) {
    limits.idle_timeout.Increment();
    return connection_.linger();
  }
  limits.header_timeout.Increment();
  refuse(408, "request not complete in time");
  run();
}

void Http1Connection::drain() {
  if (state_ != State::kReading) {
    close_after_ = true;
    return;
  }
  if (idle()) connection_.linger();
}

void Http1Connection::cut() {
  if (state_ != State::kEnded) end_cut("drain timeout");
}

void Http1Connection::abandon() {
  if (body_) log_.write(connection_.remote(), "h1", "abandoned", now());
  state_ = State::kEnded;
  body_.reset();
  response_.reset();
  out_.clear();
}

}  // namespace

std::unique_ptr<Protocol> make_http1(Connection& connection) { return std::make_unique<Http1Connection>(connection); }

}  // namespace oxbow::http
