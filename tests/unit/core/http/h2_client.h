// A blocking HTTP/2 client for tests, on nghttp2's client session.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/http/headers.h"
#include "tls_support.h"

struct nghttp2_session;

namespace oxbow::http::test {

class H2Client {
 public:
  struct Options {
    std::uint32_t window_bytes = 16U * 1024 * 1024;
    std::uint32_t frame_bytes = 16'384;
  };
  struct Result {
    int status = 0;
    Headers headers;
    std::string body;
    std::size_t largest_frame = 0;
    bool closed = false;
    std::uint32_t error = 0;
    std::vector<int> informational;
  };

  explicit H2Client(Channel& channel) : H2Client(channel, Options{}) {}
  H2Client(Channel& channel, Options options);
  ~H2Client();
  H2Client(const H2Client&) = delete;

  /// `more`: further fields. A body is sent with the request when not empty.
  std::int32_t request(const std::string& method, const std::string& path,
                       const std::vector<std::pair<std::string, std::string>>& more = {}, std::string body = "");
  /// Its body is not over with what was given, and nothing more comes. Before the request is sent.
  void keep_open(std::int32_t stream) { endless_.insert(stream); }
  void reset(std::int32_t stream);
  void ping();
  /// Gives the peer this much more window on the stream.
  void open_window(std::int32_t stream, int bytes);
  void send();
  /// Reads and writes until `done`; false when the connection ended or 10 s passed first.
  bool run_until(const std::function<bool()>& done);
  bool finish(std::int32_t stream) {
    return run_until([&] { return results[stream].closed; });
  }

  std::map<std::int32_t, Result> results;
  bool goaway = false;
  std::uint32_t goaway_error = 0;
  bool ended = false;

 private:
  struct Callbacks;
  Channel& channel_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, std::string> uploads_;
  std::set<std::int32_t> endless_;
};

}  // namespace oxbow::http::test
