// What an Http2Session keeps of one stream. Part of http2_session's implementation.
#pragma once

#include <optional>
#include <variant>

#include "core/http/http2_session.h"

namespace oxbow::http {

struct Http2Session::Stream {
  explicit Stream(std::int32_t stream_id) : id(stream_id) {}

  const std::int32_t id;
  Request request;
  std::size_t header_bytes = 0;
  std::size_t body_bytes = 0;
  std::size_t collected_bytes = 0;  // of both in memory, until the request is given out
  bool header_done = false;
  bool complete = false;   // the request has been given out or refused
  bool too_large = false;  // header
  bool too_many = false;   // no room for the header beside the other requests
  bool responded = false;

  Outcome outcome;
  Time heard_at{};  // bytes of the request, last
  Method method = Method::kGet;
  std::unique_ptr<Body> body;
  std::optional<std::uint64_t> length_left;
  std::variant<std::monostate, MemoryPiece, FilePiece> piece;
  std::size_t piece_left = 0;
  bool sending = false;
  Time moved_at{};  // bytes of it, or when it began to have some
};

}  // namespace oxbow::http
