#include "core/http/client.h"

namespace oxbow::http {
namespace {

class WholeExchange final : public ClientSink, public std::enable_shared_from_this<WholeExchange> {
 public:
  using Done = std::move_only_function<void(Result<WholeClientResponse>)>;

  WholeExchange(boost::asio::any_io_executor executor, std::shared_ptr<ClientConnection> connection, Patience patience,
                std::size_t max_body_bytes, Done done)
      : timer_(std::move(executor)),
        connection_(std::move(connection)),
        patience_(patience),
        max_body_bytes_(max_body_bytes),
        done_(std::move(done)) {}

  void start(ClientRequest request) {
    wait_until(began_ + std::min(patience_.quiet, patience_.at_most));
    call_ = connection_->call(std::move(request), *this);
  }

 private:
  using Time = std::chrono::steady_clock::time_point;

  /// The timer's handler keeps the object until all is over.
  void wait_until(Time end) {
    timer_.expires_at(end);
    timer_.async_wait([self = shared_from_this(), end](const boost::system::error_code& error) {
      if (!error) self->on_timer(end);
    });
  }

  void on_timer(Time end) {
    const auto last = began_ + patience_.at_most;
    const auto heard = connection_->heard();
    if (end < last && heard > end - patience_.quiet) return wait_until(std::min(heard + patience_.quiet, last));
    const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(end - began_);
    finish(fail(Errc::kTimeout, fmt::format("no whole answer within {} ms", waited.count())));
  }

  void on_head(int status, const Headers& headers) override {
    response_.status = status;
    response_.headers = headers;
  }

  std::size_t on_data(std::span<const std::byte> bytes) override {
    if (bytes.size() > max_body_bytes_ - response_.body.size()) {
      finish(fail(Errc::kLimit, fmt::format("answer above {} bytes", max_body_bytes_)));
    } else {
      response_.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    return bytes.size();
  }

  void on_done(Result<> outcome) override {
    if (!outcome) return finish(std::unexpected(std::move(outcome.error())));
    finish(std::move(response_));
  }

  void finish(Result<WholeClientResponse> result) {
    if (!done_) return;
    auto done = std::exchange(done_, nullptr);
    call_.reset();
    timer_.cancel();
    done(std::move(result));
  }

  boost::asio::steady_timer timer_;
  const std::shared_ptr<ClientConnection> connection_;
  const Patience patience_;
  const Time began_ = std::chrono::steady_clock::now();
  const std::size_t max_body_bytes_;
  Done done_;
  WholeClientResponse response_;
  std::unique_ptr<ClientCall> call_;
};

}  // namespace

Task<Result<WholeClientResponse>> exchange(std::shared_ptr<ClientConnection> connection, ClientRequest request,
                                           Patience patience, std::size_t max_body_bytes) {
  const auto executor = co_await asio::this_coro::executor;
  co_return co_await await_callback<Result<WholeClientResponse>>([&](auto done) {
    std::make_shared<WholeExchange>(executor, std::move(connection), patience, max_body_bytes, std::move(done))
        ->start(std::move(request));
  });
}

}  // namespace oxbow::http
