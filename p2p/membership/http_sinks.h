// What most callers do with a response: the whole of it in memory, or a stream cut into lines.
// Thread rule: of the call. Lifetime: of the call. Units: bytes.
#pragma once

#include <functional>
#include <string>

#include "p2p/membership/http_call.h"

namespace oxbow::p2p {

inline constexpr std::size_t kMaxAnswerBytes = 64 << 20;  ///< 65,536 members of 700 bytes in base64

class WholeSink final : public CallSink {
 public:
  bool on_bytes(long, std::string_view bytes) override;

  std::string body;
  bool too_large = false;
};

struct StreamSink {
  std::function<Result<>(std::string_view line)> on_line;  ///< an error ends the stream and is what it ended with
  std::function<std::optional<std::chrono::milliseconds>()> on_turn;  ///< as CallSink::on_turn
  std::function<void()> on_open = [] {};                              ///< the head has come, and it is a 200
};

/// Of an answer that is no 200, `rest` is the beginning.
class LineSink final : public CallSink {
 public:
  explicit LineSink(const StreamSink& sink) : sink_(sink) {}

  void on_head(long status) override {
    if (status == 200) sink_.on_open();
  }
  bool on_bytes(long status, std::string_view bytes) override;
  std::optional<std::chrono::milliseconds> on_turn() override { return sink_.on_turn(); }

  std::string rest;
  std::optional<Error> error;  ///< why it was given up

 private:
  const StreamSink& sink_;
};

}  // namespace oxbow::p2p
