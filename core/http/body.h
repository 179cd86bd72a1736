// A response body that is pulled: the server asks for the next piece when the connection can take it. So a slow reader
// holds no memory, and giving a response up is nothing but destroying its body.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "core/error.h"

namespace oxbow::http {

/// Bytes in memory; `pin` keeps them alive.
struct MemoryPiece {
  std::string_view bytes;
  std::shared_ptr<const void> pin;
};

/// Bytes of a file, resident in the page cache as far as the body could tell; `pin` keeps `fd` open and the bytes
/// unevicted. Plaintext connections send it with sendfile, TLS connections read it in 256 KiB parts.
struct FilePiece {
  int fd = -1;
  std::uint64_t offset = 0;
  std::size_t length = 0;
  std::shared_ptr<const void> pin;
};

struct Wait {};  ///< nothing yet: `on_ready` says when to ask again
struct End {};   ///< all bytes have been given

/// The response must be cut short: short body and FIN on HTTP/1.1, RST_STREAM on HTTP/2.
struct Cut {
  Error error;
};

using Piece = std::variant<MemoryPiece, FilePiece, Wait, End, Cut>;

/// Thread rule: created, asked and destroyed on the connection's loop. Lifetime: destroying it abandons the response
/// and forgets the wake-up. Destroying may happen in any state, also between Wait and the wake-up.
class Body {
 public:
  virtual ~Body() = default;

  /// The next piece: never empty, at most `max_bytes` (callers pass 64 KiB to 1 MiB). Never blocks. After End or Cut it
  /// is not asked again.
  virtual Piece next(std::size_t max_bytes) = 0;

  /// After Wait: `wake` is called once, on the connection's loop and never from within this call, when asking again
  /// pays. A second call replaces the first.
  virtual void on_ready(std::move_only_function<void()> wake) = 0;
};

/// A body that is all there.
class StringBody final : public Body {
 public:
  explicit StringBody(std::string text) : text_(std::make_shared<const std::string>(std::move(text))), rest_(*text_) {}
  explicit StringBody(std::shared_ptr<const std::string> text) : text_(std::move(text)), rest_(*text_) {}

  Piece next(std::size_t max_bytes) override {
    if (rest_.empty()) return End{};
    const auto part = rest_.substr(0, max_bytes);
    rest_.remove_prefix(part.size());
    return MemoryPiece{part, text_};
  }
  void on_ready(std::move_only_function<void()>) override {}

 private:
  std::shared_ptr<const std::string> text_;
  std::string_view rest_;
};

}  // namespace oxbow::http
