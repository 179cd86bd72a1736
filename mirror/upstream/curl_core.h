// The multi handle and its sockets and timer on the loop. Private to the upstream client.
// Thread rule: its loop. libcurl forbids adding and removing handles from inside its callbacks, where observers may
// well do both; so both are put off until libcurl has returned.
#pragma once

#include <curl/curl.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "mirror/upstream/curl_loop.h"

namespace oxbow::mirror::upstream {

/// One easy handle and what libcurl keeps pointers to. Whoever uses it sets the private data (CURLOPT_PRIVATE) to this.
class EasyHandle {
 public:
  EasyHandle() = default;
  virtual ~EasyHandle();
  EasyHandle(const EasyHandle&) = delete;
  EasyHandle& operator=(const EasyHandle&) = delete;

  /// The exchange has ended by itself; called outside of libcurl. May destroy whoever owns this.
  virtual void finished(CURLcode code) = 0;
  /// No callback must reach the owner any more.
  virtual void abandon() noexcept = 0;

  CURL* easy = nullptr;
  curl_slist* header_list = nullptr;
  char error_text[CURL_ERROR_SIZE] = {};
};

class CurlLoop::Core : public std::enable_shared_from_this<CurlLoop::Core> {
 public:
  Core(Loop& loop, CurlLoopOptions options);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  Loop& loop() noexcept { return loop_; }
  bool closed() const noexcept { return multi_ == nullptr; }
  void close();

  /// Starts driving. On a closed core the handle ends with CURLE_ABORTED_BY_CALLBACK, posted.
  void add(std::shared_ptr<EasyHandle> handle);
  /// Stops driving at once: nothing reaches the handle's owner any more, and the connection is closed if it was busy.
  void remove(const std::shared_ptr<EasyHandle>& handle);
  void unpause(const std::shared_ptr<EasyHandle>& handle);

 private:
  struct Watch {
    explicit Watch(Loop& loop) : descriptor(loop) {}
    asio::posix::stream_descriptor descriptor;
    int wanted = 0;
    bool reading = false;
    bool writing = false;
    bool removed = false;
  };

  static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void* watch);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);
  void arm(curl_socket_t socket, const std::shared_ptr<Watch>& watch);
  void socket_ready(curl_socket_t socket, const std::shared_ptr<Watch>& watch, int flag);
  void act(curl_socket_t socket, int flags);
  /// What had to wait until libcurl returned.
  void settle();
  void detach(EasyHandle& handle);

  Loop& loop_;
  CURLM* multi_ = nullptr;
  asio::steady_timer timer_;
  std::uint64_t timer_round_ = 0;
  bool inside_libcurl_ = false;
  bool settling_ = false;
  std::unordered_map<curl_socket_t, std::shared_ptr<Watch>> watches_;
  std::unordered_map<CURL*, std::shared_ptr<EasyHandle>> running_;
  std::vector<std::shared_ptr<EasyHandle>> to_add_;
  std::vector<std::shared_ptr<EasyHandle>> to_remove_;
};

}  // namespace oxbow::mirror::upstream
