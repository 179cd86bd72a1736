#include "h2_client.h"

#include <nghttp2/nghttp2.h>

#include <chrono>

namespace oxbow::http::test {
namespace {

nghttp2_nv nv(const std::string& name, const std::string& value) {
  return {const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(name.data())),
          const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

struct H2Client::Callbacks {
  static H2Client& self(void* user) { return *static_cast<H2Client*>(user); }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_length,
                       const std::uint8_t* value, std::size_t value_length, std::uint8_t, void* user) {
    auto& result = self(user).results[frame->hd.stream_id];
    const std::string key(reinterpret_cast<const char*>(name), name_length);
    const std::string content(reinterpret_cast<const char*>(value), value_length);
    if (key == ":status") {
      if (content.front() == '1')
        result.informational.push_back(std::stoi(content));
      else
        result.status = std::stoi(content);
    } else {
      result.headers.add(key, content);
    }
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t length,
                     void* user) {
    self(user).results[id].body.append(reinterpret_cast<const char*>(bytes), length);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto& me = self(user);
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      me.goaway = true;
      me.goaway_error = frame->goaway.error_code;
    }
    if (frame->hd.type == NGHTTP2_DATA) {
      auto& largest = me.results[frame->hd.stream_id].largest_frame;
      largest = std::max(largest, frame->hd.length);
    }
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
    self(user).results[id].closed = true;
    self(user).results[id].error = error;
    return 0;
  }
  static ssize_t read_upload(nghttp2_session*, std::int32_t id, std::uint8_t* into, std::size_t length,
                             std::uint32_t* flags, nghttp2_data_source*, void* user) {
    auto& rest = self(user).uploads_[id];
    const auto part = std::min(length, rest.size());
    std::copy_n(rest.data(), part, into);
    rest.erase(0, part);
    const bool endless = self(user).endless_.contains(id);
    if (endless && part == 0) return NGHTTP2_ERR_DEFERRED;
    if (rest.empty() && !endless) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(part);
  }
};

H2Client::H2Client(Channel& channel, Options options) : channel_(channel) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_close);
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_max_send_header_block_length(option, 1 << 20);
  nghttp2_option_set_peer_max_concurrent_streams(option, 100'000);
  nghttp2_session_client_new2(&session_, callbacks, this, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  const std::array<nghttp2_settings_entry, 2> settings{{{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.window_bytes},
                                                        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, options.frame_bytes}}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 1 << 28);
  send();
}

H2Client::~H2Client() { nghttp2_session_del(session_); }

std::int32_t H2Client::request(const std::string& method, const std::string& path,
                               const std::vector<std::pair<std::string, std::string>>& more, std::string body) {
  const std::vector<std::pair<std::string, std::string>> base{
      {":method", method}, {":scheme", "http"}, {":authority", "mirror:5050"}, {":path", path}};
  std::vector<nghttp2_nv> fields;
  for (const auto& [name, value] : base) fields.push_back(nv(name, value));
  for (const auto& [name, value] : more) fields.push_back(nv(name, value));
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::read_upload;
  const auto id = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                         body.empty() ? nullptr : &provider, nullptr);
  uploads_[id] = std::move(body);
  results[id];
  return id;
}

void H2Client::reset(std::int32_t stream) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

void H2Client::ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void H2Client::open_window(std::int32_t stream, int bytes) {
  nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, stream, bytes);
}

void H2Client::send() {
  const std::uint8_t* bytes = nullptr;
  for (;;) {
    const auto length = nghttp2_session_mem_send(session_, &bytes);
    if (length <= 0) return;
    channel_.write({reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length)});
  }
}

bool H2Client::run_until(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!done()) {
    send();
    if (ended || std::chrono::steady_clock::now() > end) return false;
    if (!channel_.wait_readable(100)) continue;
    const auto bytes = channel_.read();
    if (bytes.empty()) {
      ended = true;
      continue;
    }
    nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  send();
  return true;
}

}  // namespace oxbow::http::test
