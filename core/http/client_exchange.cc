#include "core/http/client.h"

namespace oxbow::http {
namespace {

class WholeExchange final : public ClientSink, public std::enable_shared_from_this<WholeExchange> {
 public:
  using Done = std::move_only_function<void(Result<WholeClientResponse>)>;

  WholeExchange(boost::asio::any_io_executor executor, std::size_t max_body_bytes, Done done)
      : timer_(std::move(executor)), max_body_bytes_(max_body_bytes), done_(std::move(done)) {}

  void start(ClientConnection& connection, ClientRequest request, std::chrono::milliseconds timeout) {
    timer_.expires_after(timeout);
    // The timer's handler keeps the object until all is over.
    timer_.async_wait([self = shared_from_this(), timeout](const boost::system::error_code& error) {
      if (!error) self->finish(fail(Errc::kTimeout, fmt::format("no whole answer within {} ms", timeout.count())));
    });
    call_ = connection.call(std::move(request), *this);
  }

 private:
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
  const std::size_t max_body_bytes_;
  Done done_;
  WholeClientResponse response_;
  std::unique_ptr<ClientCall> call_;
};

}  // namespace

Task<Result<WholeClientResponse>> exchange(std::shared_ptr<ClientConnection> connection, ClientRequest request,
                                           std::chrono::milliseconds timeout, std::size_t max_body_bytes) {
  const auto executor = co_await asio::this_coro::executor;
  co_return co_await await_callback<Result<WholeClientResponse>>([&](auto done) {
    std::make_shared<WholeExchange>(executor, max_body_bytes, std::move(done))
        ->start(*connection, std::move(request), timeout);
  });
}

}  // namespace oxbow::http
