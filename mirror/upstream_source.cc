#include "mirror/upstream_source.h"

namespace oxbow::mirror {
namespace {

bool denies(int status) noexcept { return status == 401 || status == 403; }

class UpstreamSpan final : public SpanRequest, public upstream::Observer {
 public:
  UpstreamSpan(SpanSink& sink, Access& access, const Asker& asker) : sink_(sink), access_(access), asker_(asker) {}

  void start(upstream::CurlLoop& curl, upstream::FetchRequest request) {
    transfer_ = asker_.registry->upstream->start(curl, std::move(request), *this);
  }

  void resume() override { transfer_->resume(); }

  void on_head(const upstream::Head& head) override {
    if (head.status == 206 && head.content_range) {
      sink_.on_head({head.content_range->first, false, head.content_range->total});
    } else if (head.status == 200) {
      sink_.on_head({0, true, head.content_length});
    } else {
      // A 206 without a usable Content-Range cannot be placed.
      refused_ = head.status == 206 ? Error(Errc::kCorrupt, "upstream sent a 206 without a valid Content-Range")
                                    : answer_error(head, "blob");
      if (is_refusal(head)) access_.refused(asker_);
    }
  }

  std::size_t on_data(std::span<const std::byte> bytes) override {
    return refused_ ? bytes.size() : sink_.on_data(bytes);
  }

  void on_done(Result<> result) override {
    if (refused_ && (result || result.error().code() != Errc::kCancelled)) result = std::unexpected(*refused_);
    sink_.on_done(std::move(result));
  }

 private:
  SpanSink& sink_;
  Access& access_;
  const Asker asker_;
  std::optional<Error> refused_;
  std::unique_ptr<upstream::Transfer> transfer_;
};

}  // namespace

std::unique_ptr<SpanRequest> UpstreamSource::request(Loop& loop, ByteRange range, SpanSink& sink) {
  upstream::FetchRequest request;
  request.repository = asker_.repository.repository;
  request.path = content_path(asker_, digest_, Access::Kind::kBlob);
  request.range = upstream::ByteRange{range.begin, range.end - 1};
  request.identity = asker_.identity;
  request.fetch_class = fetch_class_;
  auto span = std::make_unique<UpstreamSpan>(sink, access_, asker_);
  span->start(curls_.at(loop), std::move(request));
  return span;
}

bool is_refusal(const upstream::Head& head) noexcept { return denies(head.status) && !head.redirected; }

bool is_refusal_elsewhere(const upstream::Head& head) noexcept { return denies(head.status) && head.redirected; }

Error answer_error(const upstream::Head& head, std::string_view what) {
  if (is_refusal_elsewhere(head))
    return {Errc::kUnavailable, fmt::format("{} answered {} for this {}", head.origin, head.status, what)};
  const auto text = fmt::format("upstream answered {} for this {}", head.status, what);
  switch (head.status) {
    case 400:
    case 404:
    case 410:
      return {Errc::kNotFound, text};
    case 401:
      return {Errc::kUnauthorized, text};
    case 403:
      return {Errc::kDenied, text};
    case 416:
      return {Errc::kCorrupt, text};
    case 405:
    case 501:
      return {Errc::kUnsupported, text};
    case 429:
      return {Errc::kThrottled, text};
    default:
      return {Errc::kUnavailable, text};
  }
}

}  // namespace oxbow::mirror
