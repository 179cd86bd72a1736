#include "mirror/upstream/curl_loop.h"

#include "mirror/upstream/curl_core.h"

namespace oxbow::mirror::upstream {
namespace {

/// curl_global_init is not thread-safe in every build of libcurl, and has to come before everything else.
void init_libcurl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

EasyHandle::~EasyHandle() {
  if (easy != nullptr) curl_easy_cleanup(easy);
  curl_slist_free_all(header_list);
}

CurlLoop::Core::Core(Loop& loop, CurlLoopOptions options) : loop_(loop), timer_(loop) {
  init_libcurl_once();
  multi_ = curl_multi_init();
  OXBOW_INVARIANT(multi_ != nullptr);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Core::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Core::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(options.max_connections));
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options.max_idle_connections));
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
}

CurlLoop::Core::~Core() { close(); }

void CurlLoop::Core::close() {
  if (multi_ == nullptr) return;
  OXBOW_INVARIANT(!inside_libcurl_);
  auto running = std::exchange(running_, {});
  auto waiting = std::exchange(to_add_, {});
  for (auto& [easy, handle] : running) curl_multi_remove_handle(multi_, easy);
  to_remove_.clear();
  timer_.cancel();
  ++timer_round_;
  curl_multi_cleanup(multi_);
  multi_ = nullptr;
  for (auto& [socket, watch] : watches_) {
    watch->removed = true;
    if (watch->descriptor.is_open()) watch->descriptor.release();
  }
  watches_.clear();
  for (auto& [easy, handle] : running) waiting.push_back(std::move(handle));
  for (auto& handle : waiting) {
    asio::post(loop_, [handle = std::move(handle)] { handle->finished(CURLE_ABORTED_BY_CALLBACK); });
  }
}

void CurlLoop::Core::add(std::shared_ptr<EasyHandle> handle) {
  if (closed()) {
    asio::post(loop_, [handle = std::move(handle)] { handle->finished(CURLE_ABORTED_BY_CALLBACK); });
    return;
  }
  to_add_.push_back(std::move(handle));
  settle();
}

void CurlLoop::Core::remove(const std::shared_ptr<EasyHandle>& handle) {
  handle->abandon();
  if (closed()) return;
  std::erase(to_add_, handle);
  if (!running_.contains(handle->easy)) return;
  to_remove_.push_back(handle);
  settle();
}

void CurlLoop::Core::unpause(const std::shared_ptr<EasyHandle>& handle) {
  if (closed() || inside_libcurl_ || !running_.contains(handle->easy)) return;
  inside_libcurl_ = true;  // what was held back is delivered from inside this call
  curl_easy_pause(handle->easy, CURLPAUSE_CONT);
  inside_libcurl_ = false;
  settle();
}

void CurlLoop::Core::act(curl_socket_t socket, int flags) {
  if (closed()) return;
  const auto self = shared_from_this();
  int running = 0;
  inside_libcurl_ = true;
  curl_multi_socket_action(multi_, socket, flags, &running);
  inside_libcurl_ = false;
  settle();
}

void CurlLoop::Core::detach(EasyHandle& handle) {
  inside_libcurl_ = true;
  curl_multi_remove_handle(multi_, handle.easy);
  inside_libcurl_ = false;
  running_.erase(handle.easy);
}

void CurlLoop::Core::settle() {
  if (inside_libcurl_ || settling_) return;
  const auto self = shared_from_this();
  settling_ = true;
  for (bool busy = true; busy && multi_ != nullptr;) {
    busy = false;
    for (auto& handle : std::exchange(to_remove_, {})) {
      if (running_.contains(handle->easy)) detach(*handle);
      busy = true;
    }
    int left = 0;
    if (CURLMsg* message = curl_multi_info_read(multi_, &left); message != nullptr) {
      const CURLcode code = message->data.result;  // the message dies with the handle's removal
      if (const auto found = running_.find(message->easy_handle);
          message->msg == CURLMSG_DONE && found != running_.end()) {
        const auto handle = found->second;
        detach(*handle);
        handle->finished(code);
      }
      busy = true;
      continue;
    }
    for (auto& handle : std::exchange(to_add_, {})) {
      running_.emplace(handle->easy, handle);
      inside_libcurl_ = true;
      const auto code = curl_multi_add_handle(multi_, handle->easy);
      inside_libcurl_ = false;
      if (code != CURLM_OK) {
        running_.erase(handle->easy);
        asio::post(loop_, [handle = std::move(handle)] { handle->finished(CURLE_FAILED_INIT); });
      }
      busy = true;
    }
  }
  settling_ = false;
}

int CurlLoop::Core::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
  auto& core = *static_cast<Core*>(self);
  const auto found = core.watches_.find(socket);
  if (what == CURL_POLL_REMOVE) {
    if (found == core.watches_.end()) return 0;
    found->second->removed = true;
    found->second->descriptor.release();  // libcurl closes the socket, we only watched it
    core.watches_.erase(found);
    return 0;
  }
  std::shared_ptr<Watch> watch;
  if (found == core.watches_.end()) {
    watch = std::make_shared<Watch>(core.loop_);
    boost::system::error_code failed;
    watch->descriptor.assign(socket, failed);
    if (failed) return -1;
    core.watches_.emplace(socket, watch);
  } else {
    watch = found->second;
  }
  watch->wanted = what;
  core.arm(socket, watch);
  return 0;
}

void CurlLoop::Core::arm(curl_socket_t socket, const std::shared_ptr<Watch>& watch) {
  if (watch->removed) return;
  if ((watch->wanted & CURL_POLL_IN) != 0 && !watch->reading) {
    watch->reading = true;
    watch->descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                                 [self = weak_from_this(), socket, watch](const boost::system::error_code&) {
                                   watch->reading = false;
                                   if (const auto core = self.lock())
                                     core->socket_ready(socket, watch, CURL_CSELECT_IN);
                                 });
  }
  if ((watch->wanted & CURL_POLL_OUT) != 0 && !watch->writing) {
    watch->writing = true;
    watch->descriptor.async_wait(asio::posix::descriptor_base::wait_write,
                                 [self = weak_from_this(), socket, watch](const boost::system::error_code&) {
                                   watch->writing = false;
                                   if (const auto core = self.lock())
                                     core->socket_ready(socket, watch, CURL_CSELECT_OUT);
                                 });
  }
}

void CurlLoop::Core::socket_ready(curl_socket_t socket, const std::shared_ptr<Watch>& watch, int flag) {
  // The number may already name another socket; the watch tells.
  if (watch->removed) return;
  const int needed = flag == CURL_CSELECT_IN ? CURL_POLL_IN : CURL_POLL_OUT;
  if ((watch->wanted & needed) == 0) return;
  act(socket, flag);
  arm(socket, watch);
}

int CurlLoop::Core::on_timer(CURLM*, long timeout_ms, void* self) {
  auto& core = *static_cast<Core*>(self);
  const auto round = ++core.timer_round_;
  if (timeout_ms < 0) {
    core.timer_.cancel();
    return 0;
  }
  core.timer_.expires_after(std::chrono::milliseconds(timeout_ms));
  core.timer_.async_wait([weak = core.weak_from_this(), round](const boost::system::error_code& failed) {
    const auto held = weak.lock();
    if (failed || !held || held->timer_round_ != round) return;
    held->act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

CurlLoop::CurlLoop(Loop& loop, CurlLoopOptions options) : core_(std::make_shared<Core>(loop, options)) {}
CurlLoop::~CurlLoop() { close(); }
Loop& CurlLoop::loop() noexcept { return core_->loop(); }
void CurlLoop::close() { core_->close(); }

}  // namespace oxbow::mirror::upstream
