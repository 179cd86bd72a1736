// The body of a response whose headers went out before its content was there: a blob of known size that is fetched
// whole. It is given when it has come and hashes to its digest; cut when it does not come, or is not as large as was
// said. Thread rule and lifetime: as http::Body.
#pragma once

#include "core/http/body.h"
#include "core/waker.h"
#include "mirror/small_content.h"

namespace oxbow::mirror {

class LateBody final : public http::Body {
 public:
  /// `part`: what of the content is given. `given` runs when it is, with its source, on the body's loop.
  LateBody(Loop& loop, std::shared_ptr<SmallContents::Fetch> fetch, std::uint64_t size, ByteRange part,
           std::move_only_function<void(const SmallContent&)> given)
      : waker_(std::make_shared<Waker>(loop)),
        fetch_(std::move(fetch)),
        size_(size),
        part_(part),
        given_(std::move(given)) {
    waker_->set([this] {
      if (auto wake = std::exchange(on_ready_, nullptr)) wake();
    });
    fetch_->listen(this, [waker = waker_] { waker->wake(); });
  }
  ~LateBody() override {
    waker_->clear();
    fetch_->leave(this);
  }

  http::Piece next(std::size_t max_bytes) override {
    if (!content_) {
      auto result = fetch_->result();
      if (!result) return http::Wait{};
      if (!*result) return http::Cut{std::move(result->error().error)};
      if ((*result)->body->bytes.size() != size_)
        return http::Cut{Error(Errc::kCorrupt, "the content is not as large as its manifest says")};
      given_(**result);
      content_ = std::move((*result)->body);
    }
    if (part_.empty()) return http::End{};
    const auto bytes = std::string_view(content_->bytes).substr(part_.begin, std::min(part_.size(), max_bytes));
    part_.begin += bytes.size();
    return http::MemoryPiece{bytes, content_};
  }

  void on_ready(std::move_only_function<void()> wake) override { on_ready_ = std::move(wake); }

 private:
  const std::shared_ptr<Waker> waker_;
  const std::shared_ptr<SmallContents::Fetch> fetch_;
  const std::uint64_t size_;
  ByteRange part_;
  std::move_only_function<void(const SmallContent&)> given_;
  std::move_only_function<void()> on_ready_;
  std::shared_ptr<const storage::SmallBody> content_;
};

}  // namespace oxbow::mirror
