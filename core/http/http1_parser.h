// HTTP/1.1 requests out of bytes (RFC 9112), without I/O: Beast's parser behind the checks that keep requests from
// being smuggled. Refused: Content-Length together with Transfer-Encoding, any coding but `chunked`, folded lines,
// control characters, missing or repeated Host, a target that is neither a path, a URL nor `*`. Thread rule: plain
// object. After an error it is not fed again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/http/handler.h"

namespace oxbow::http {

struct Http1Limits {
  std::size_t header_bytes = 96UL * 1024;
  std::size_t target_bytes = 32UL * 1024;
  std::size_t fields = 1'000;
  std::size_t body_bytes = 1UL * 1024 * 1024;
};

class Http1Parser {
 public:
  enum class State {
    kNeedMore,
    kContinue,  ///< the header is there and its client waits for `100 Continue`; feeding goes on
    kComplete,  ///< take() the request
    kError,
  };
  struct Progress {
    State state = State::kNeedMore;
    std::size_t consumed = 0;
  };

  Http1Parser(Http1Limits limits, bool keep_body);
  ~Http1Parser();
  Http1Parser(Http1Parser&&) = delete;

  /// `input` starts with what the last call left over. The header is taken as a whole, the body in parts.
  Progress feed(std::string_view input);

  /// The complete request; the parser then stands before the next one.
  Request take();
  /// Whether the connection may carry another request after the taken one.
  bool keep_alive() const noexcept { return keep_alive_; }
  /// Of the taken request: an HTTP/1.0 client knows no chunked coding.
  bool http10() const noexcept { return http10_; }
  bool in_body() const noexcept { return header_done_; }

  /// After kError: 400, 413, 414, 417, 431 or 505, and why.
  int status() const noexcept { return status_; }
  std::string_view why() const noexcept { return why_; }

 private:
  class Machine;

  Progress feed_header(std::string_view input);
  Progress feed_body(std::string_view input, std::size_t consumed);
  bool check_header();
  bool set_target(std::string_view target);
  Progress fail(int status, std::string_view why, std::size_t consumed = 0);

  const Http1Limits limits_;
  const bool keep_body_;
  std::unique_ptr<Machine> machine_;
  Request request_;
  std::size_t scanned_bytes_ = 0;  // of an incomplete header, already searched for its end
  std::size_t blank_bytes_ = 0;    // empty lines let pass before this request
  bool header_done_ = false;
  bool keep_alive_ = true;
  bool http10_ = false;
  int status_ = 0;
  std::string_view why_;
};

}  // namespace oxbow::http
