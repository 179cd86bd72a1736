#include "mirror/upstream/small_fetch.h"

#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {
namespace {

class Collecting final : public ExchangeEvents {
 public:
  Collecting(const asio::any_io_executor& executor, std::size_t max_body_bytes)
      : signal(executor), max_body_bytes_(max_body_bytes) {}

  void on_incoming(Incoming incoming) override {
    answer.status = incoming.status;
    answer.headers = std::move(incoming.headers);
  }
  bool on_bytes(std::string_view bytes) override {
    too_long = too_long || answer.body.size() + bytes.size() > max_body_bytes_;
    if (too_long) {
      signal.notify();
    } else {
      answer.body.append(bytes);
    }
    return true;
  }
  void on_ending(Ending how) override {
    ending = std::move(how);
    signal.notify();
  }

  Signal signal;
  SmallAnswer answer;
  std::optional<Ending> ending;
  bool too_long = false;

 private:
  std::size_t max_body_bytes_;
};

}  // namespace

Task<Result<SmallAnswer>> fetch_small(std::shared_ptr<CurlLoop::Core> core, Transport transport, Outgoing outgoing,
                                      std::size_t max_body_bytes, SteadyTime until) {
  const auto where = printable_url(outgoing.url);
  Collecting collecting(co_await asio::this_coro::executor, max_body_bytes);
  Exchange exchange(std::move(core), transport, std::move(outgoing), collecting);
  exchange.start();
  const bool ended = co_await collecting.signal.wait(until);
  if (collecting.too_long) co_return fail(Errc::kLimit, where + ": the answer is too long");
  if (!ended || !collecting.ending) co_return fail(Errc::kTimeout, where + ": no answer in time");
  if (!collecting.ending->ok()) {
    co_return std::unexpected(ending_error(*collecting.ending, collecting.answer.body.size()).in(where));
  }
  co_return std::move(collecting.answer);
}

Error ending_error(const Ending& ending, std::uint64_t body_bytes) {
  if (ending.refused_address) return {Errc::kDenied, ending.text};
  if (ending.refused_redirect) return {Errc::kDenied, "redirect to a forbidden scheme: " + ending.text};
  switch (ending.code) {
    case CURLE_OPERATION_TIMEDOUT:
      return {Errc::kTimeout, ending.text};
    case CURLE_TOO_MANY_REDIRECTS:
      return {Errc::kUnavailable, "too many redirects"};
    case CURLE_URL_MALFORMAT:
      return {Errc::kInvalid, ending.text};
    case CURLE_ABORTED_BY_CALLBACK:
      return {Errc::kCancelled, "the loop is closing"};
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:  // HTTP/0.9
    case CURLE_WRITE_ERROR:
      return {Errc::kCorrupt, "not an HTTP answer that we can take: " + ending.text};
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2_STREAM:
    case CURLE_HTTP2:
      return {Errc::kUnavailable, fmt::format("cut short after {} body bytes: {}", body_bytes, ending.text)};
    default:
      return {Errc::kUnavailable, ending.text};
  }
}

}  // namespace oxbow::mirror::upstream
