// What the HTTP tests share: a server on loopback with a handler made of functions, a raw TCP client that sees every
// byte and how the connection ended, and a body that the test feeds.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "core/http/server.h"

namespace oxbow::http::test {

/// Answers by path. Register before the server starts.
class Routes final : public Handler {
 public:
  using Function = std::function<Response(const Request&)>;
  void on(const std::string& path, Function function) { functions_[path] = std::move(function); }
  Task<Response> handle(Request request) override;
  /// Requests seen so far.
  int calls() const { return calls_; }

 private:
  std::map<std::string, Function> functions_;
  std::atomic<int> calls_{0};
};

/// A body driven from the test's thread. Every piece given wakes the server when it waits.
class FedBody final : public Body {
 public:
  struct Control : std::enable_shared_from_this<Control> {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Piece> pieces;
    Loops* loops = nullptr;  ///< set before the server answers
    std::thread::id thread;  ///< of the loop that asks
    FedBody* body = nullptr;
    bool waited = false;
    bool destroyed = false;
    std::size_t pulled_bytes = 0;

    void feed(Piece piece);
    void feed(std::string text);
    /// Waits until the server has asked in vain; false after 30 s.
    bool wait_until_waiting();
    bool wait_until_destroyed();
    std::size_t pulled();
    /// On whichever loop the body lives.
    void wake_later();
  };

  explicit FedBody(std::shared_ptr<Control> control) : control_(std::move(control)) {}
  ~FedBody() override;
  Piece next(std::size_t max_bytes) override;
  void on_ready(std::move_only_function<void()> wake) override;

 private:
  std::shared_ptr<Control> control_;
  std::move_only_function<void()> wake_;
};

/// An unlinked file of `bytes` bytes whose content is a function of the offset and `seed`.
struct TestFile {
  explicit TestFile(std::size_t bytes, unsigned seed = 1);
  std::shared_ptr<const int> fd;
  std::string content;
};

/// Serves a range of a file in pieces of at most what the server asks for.
class FileBody final : public Body {
 public:
  FileBody(std::shared_ptr<const int> fd, std::uint64_t offset, std::uint64_t length)
      : fd_(std::move(fd)), offset_(offset), left_(length) {}
  Piece next(std::size_t max_bytes) override;
  void on_ready(std::move_only_function<void()>) override {}

 private:
  std::shared_ptr<const int> fd_;
  std::uint64_t offset_;
  std::uint64_t left_;
};

Response file_response(const TestFile& file);

/// A running server on 127.0.0.1 (or `listen`).
class TestServer {
 public:
  explicit TestServer(Handler& handler, ServerConfig config = {});
  ~TestServer();
  std::uint16_t port() const;
  double limit_hits(const std::string& limit);
  double metric(const std::string& line_start);
  /// Waits until that many connections are open; false after 30 s.
  bool wait_for_connections(std::size_t count) const;

  MetricsRegistry metrics;
  Loops loops{2};
  std::unique_ptr<Server> server;
};

struct RawResponse {
  int status = 0;
  std::string head;
  std::string body;
  std::string header(std::string_view name) const;
};

/// A blocking client; every wait ends after 30 s.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer_bytes = 0, const char* host = "127.0.0.1");
  ~RawClient();
  RawClient(const RawClient&) = delete;

  void send(std::string_view bytes);
  /// One response, by Content-Length, chunked coding, or its head alone (`no_body`).
  RawResponse response(bool no_body = false);
  enum class Ending { kEof, kReset, kTimeout };
  /// Everything until the connection ends.
  std::pair<std::string, Ending> rest();
  std::string exactly(std::size_t bytes);
  void half_close();
  void close();
  int fd() const { return fd_; }

 private:
  bool fill();
  int fd_ = -1;
  std::string buffer_;
};

std::string get(std::string_view path, std::string_view more_headers = "");

}  // namespace oxbow::http::test
