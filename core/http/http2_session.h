// One HTTP/2 connection without I/O (RFC 9113, by nghttp2): bytes in, requests out; responses in, bytes out. DATA
// payload is never copied: frames are queued as a header and a range of the body's memory or file. Thread rule: the
// connection's loop. Lifetime: `wake` outlives it. A stream that is reset destroys its body at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/http/handler.h"
#include "core/http/out_queue.h"

struct nghttp2_session;

namespace oxbow::http {

struct Http2Limits {
  std::size_t header_bytes = 96UL * 1024;
  std::size_t fields = 1'000;
  std::size_t body_bytes = 1UL * 1024 * 1024;
  std::size_t bodies_bytes = 2UL * 1024 * 1024;  ///< of all requests that are still incomplete, headers included
  std::uint32_t streams = 128;
  std::uint32_t frame_bytes = 256U * 1024;
  std::uint32_t resets_per_second = 100;
  std::uint32_t control_frames_per_second = 1'000;
};

class Http2Session {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Incoming {
    std::int32_t stream = 0;
    Request request;
  };
  /// Limits that were hit since the last look.
  struct Hits {
    std::uint32_t streams = 0;
    std::uint32_t resets = 0;
    std::uint32_t control_frames = 0;
    std::uint32_t header_bytes = 0;
    std::uint32_t body_bytes = 0;
    std::uint32_t bodies_bytes = 0;
  };
  /// A stream that is over: for the log.
  struct Outcome {
    std::string method;
    std::string path;
    Time received;
    int status = 0;
    std::uint64_t body_bytes = 0;
    const char* end = "";
  };

  /// `wake`: a body that waited can be asked again; call `produce`. `outcome` is called for every stream that ends.
  Http2Session(Http2Limits limits, bool keep_bodies, std::function<void()> wake,
               std::function<void(const Outcome&)> outcome);
  ~Http2Session();
  Http2Session(const Http2Session&) = delete;

  /// False: the connection is broken or abused; what `produce` still gives (GOAWAY) is sent, then it ends.
  bool feed(std::string_view bytes, Time now);
  /// Requests that have become complete.
  std::vector<Incoming> take_requests();
  /// Ignored when the stream is gone.
  void respond(std::int32_t stream, Response response, std::string_view date, Time now);
  /// Queues frames until `out` holds `limit` bytes (at least a TLS record) or there is nothing to send. False when the
  /// session is broken.
  bool produce(OutQueue& out, std::size_t limit, Time now);

  /// GOAWAY: streams that run finish, new ones are not taken.
  void drain();
  /// RST_STREAM for all that runs, and GOAWAY.
  void cut();
  /// Destroys all bodies.
  void abandon();

  bool finished() const;
  std::size_t streams() const noexcept { return streams_.size(); }
  /// Responses that have bytes and are not let send them: by the peer's windows, once `produce` gives nothing.
  std::size_t sending() const noexcept { return sending_; }
  /// What a request has to keep to until it is complete.
  struct RequestTimes {
    std::chrono::milliseconds header;  ///< from its first byte to the end of its header, and between a body's bytes
    std::chrono::milliseconds body;    ///< from its first byte to the end of its body
  };
  /// When the first of the requests that are incomplete, if they go on no further, is too late; max: none is.
  Time request_due(const RequestTimes& times) const;
  /// Answers 408 to those that are too late with their body; how many. A header that stands still holds the connection.
  std::uint32_t refuse_late(const RequestTimes& times, Time now);
  /// Since when the oldest of the responses that are `sending` has moved no byte because a window is closed, its own or
  /// the connection's; max: none. A body that has nothing to give now is not one.
  Time stalled_since() const;
  /// RST_STREAM for those of them that have not moved since `then`; how many.
  std::uint32_t reset_stalled(Time then);
  Hits take_hits() { return std::exchange(hits_, {}); }

 private:
  struct Stream;
  struct Callbacks;
  struct Rate {
    std::int64_t second = -1;
    std::uint32_t count = 0;
  };

  bool count(Rate& rate, std::uint32_t limit, std::uint32_t& hits);
  void submit_settings();
  void begin(std::int32_t id);
  void finish_header(Stream& stream);
  void finish_request(Stream& stream);
  void reject(Stream& stream, int status, std::string_view why);
  void take_body(Stream& stream, std::string_view bytes);
  bool collect(Stream& stream, std::size_t bytes);
  static Time request_due(const Stream& stream, const RequestTimes& times);
  Time stalled_since(const Stream& stream) const;
  long read_body(Stream& stream, std::size_t length, std::uint32_t& flags);
  bool next_piece(Stream& stream);
  void queue_data(Stream& stream, std::string_view frame_header, std::size_t length);
  void set_sending(Stream& stream, bool sending);
  void end_stream(std::int32_t id);

  const Http2Limits limits_;
  const bool keep_bodies_;
  const std::function<void()> wake_;
  const std::function<void(const Outcome&)> outcome_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<std::int32_t, std::unique_ptr<Stream>> streams_;
  std::vector<Incoming> ready_requests_;
  std::vector<std::int32_t> ready_streams_;
  OutQueue* out_ = nullptr;
  std::size_t out_limit_ = 0;
  std::size_t sending_ = 0;
  std::size_t collected_bytes_ = 0;  // of incomplete requests
  Time now_{};
  Time moved_at_{};  // a response's bytes, last
  Rate resets_;
  Rate control_frames_;
  Hits hits_;
  std::string date_;
  bool abused_ = false;
};

}  // namespace oxbow::http
