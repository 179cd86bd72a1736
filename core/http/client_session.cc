#include "core/http/client_session.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/http/nghttp2_util.h"

namespace oxbow::http {
namespace {

constexpr std::size_t kFailureTextBytes = 120;

bool has_end(const nghttp2_frame* frame) noexcept { return (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0; }

}  // namespace

/// nghttp2's C callbacks.
struct ClientSession::Callbacks {
  static ClientSession& self(void* user) noexcept { return *static_cast<ClientSession*>(user); }
  /// Shared: what a sink does may end the call.
  static std::shared_ptr<CallState> call(void* user, std::int32_t stream) {
    const auto& calls = self(user).calls_;
    const auto it = calls.find(stream);
    return it == calls.end() ? nullptr : it->second;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_length,
                       const std::uint8_t* value, std::size_t value_length, std::uint8_t, void* user) {
    const auto call = Callbacks::call(user, frame->hd.stream_id);
    if (!call || call->head_given || call->decided()) return 0;  // trailers are nobody's business
    const auto& limits = self(user).limits_;
    call->head_bytes += name_length + value_length + kFieldOverheadBytes;
    if (call->head_bytes > limits.header_bytes || call->head.size() >= limits.fields) return 0;
    const auto key = as_text(name, name_length);
    const auto content = as_text(value, value_length);
    if (key == ":status") {
      std::from_chars(content.data(), content.data() + content.size(), call->status);
    } else if (!key.starts_with(':')) {
      call->head.add(std::string(key), std::string(content));
    }
    return 0;
  }

  static int on_frame_recv(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& me = self(user);
    if (frame->hd.type == NGHTTP2_SETTINGS) {
      me.ready_ = true;
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
      me.draining_ = true;
      if (frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        me.failure_ = fmt::format("GOAWAY {}", nghttp2_http2_strerror(frame->goaway.error_code));
      }
    } else if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) {
      const auto call = Callbacks::call(user, frame->hd.stream_id);
      if (!call || call->decided()) return 0;
      if (frame->hd.type == NGHTTP2_HEADERS && !call->head_given) me.finish_head(*call);
      if (has_end(frame) && !call->decided()) {
        // Answered before it has read all of the request: the rest is not sent.
        if (nghttp2_session_get_stream_local_close(session, call->stream) == 0) {
          nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_NO_ERROR);
        }
        call->finish({});
      }
    }
    return 0;
  }

  static int on_data_chunk(nghttp2_session* session, std::uint8_t, std::int32_t stream, const std::uint8_t* bytes,
                           std::size_t length, void* user) {
    const auto call = Callbacks::call(user, stream);
    const auto freed = call ? call->give_data(std::as_bytes(std::span(bytes, length))) : length;
    nghttp2_session_consume_connection(session, length);
    nghttp2_session_consume_stream(session, stream, freed);
    return 0;
  }

  static int on_frame_not_send(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    // The request was never sent: its stream does not exist, and nobody else tells of its end.
    on_stream_close(nullptr, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM, user);
    return 0;
  }

  static int on_stream_close(nghttp2_session*, std::int32_t stream, std::uint32_t code, void* user) {
    const auto call = Callbacks::call(user, stream);
    if (!call) return 0;
    auto& me = self(user);
    call->stream_open = false;
    if (!call->decided()) me.stream_failed(call, code);
    if (!call->live()) me.forget(*call);
    return 0;
  }

  static int on_error(nghttp2_session*, int, const char* text, std::size_t length, void* user) {
    self(user).failure_.assign(text, std::min(length, kFailureTextBytes));  // it may quote what was received
    return 0;
  }

  static ssize_t read_body(nghttp2_session*, std::int32_t, std::uint8_t* into, std::size_t length, std::uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    auto& call = *static_cast<CallState*>(source->ptr);
    const auto rest = std::string_view(call.request.body).substr(call.request_sent);
    const auto part = rest.copy(reinterpret_cast<char*>(into), length);
    call.request_sent += part;
    if (part == rest.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(part);
  }
};

ClientSession::ClientSession(Limits limits, std::string scheme, std::string authority, std::function<void()> wake)
    : limits_(limits), scheme_(std::move(scheme)), authority_(std::move(authority)), wake_(std::move(wake)) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* options = nullptr;
  OXBOW_INVARIANT(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame_recv);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data_chunk);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, Callbacks::on_frame_not_send);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_stream_close);
  nghttp2_session_callbacks_set_error_callback2(callbacks, Callbacks::on_error);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_max_continuations(options, limits_.header_bytes / 8192 + 4);
  const int made = nghttp2_session_client_new2(&session_, callbacks, this, options);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
  OXBOW_INVARIANT(made == 0);
  const std::array<nghttp2_settings_entry, 4> settings{
      {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits_.stream_window_bytes},
       {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, std::clamp(limits_.frame_bytes, 1U << 14, (1U << 24) - 1)},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits_.header_bytes)}}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<std::int32_t>(limits_.connection_window_bytes));
}

ClientSession::~ClientSession() {
  take_all();
  nghttp2_session_del(session_);
}

bool ClientSession::can_start() const {
  const auto theirs = nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return !draining_ && calls_.size() < std::min(limits_.streams, theirs);
}

bool ClientSession::start(const std::shared_ptr<CallState>& call) {
  const auto& request = call->request;
  const auto length = std::to_string(request.body.size());
  std::vector<nghttp2_nv> fields;
  fields.reserve(request.headers.size() + 5);
  fields.push_back(header_field(":method", to_string(request.method)));
  fields.push_back(header_field(":scheme", scheme_));
  fields.push_back(header_field(":authority", authority_));
  fields.push_back(header_field(":path", request.path));
  for (const auto& [name, value] : request.headers) fields.push_back(header_field(name, value));
  if (!request.body.empty()) fields.push_back(header_field("content-length", length));
  nghttp2_data_provider provider{};
  provider.source.ptr = call.get();
  provider.read_callback = Callbacks::read_body;
  const auto stream = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                             request.body.empty() ? nullptr : &provider, nullptr);
  if (stream < 0) {
    draining_ = true;  // all stream ids are used
    return false;
  }
  call->session = this;
  call->stream = stream;
  call->stream_open = true;
  calls_.emplace(stream, call);
  return true;
}

void ClientSession::finish_head(CallState& call) {
  if (call.head_bytes > limits_.header_bytes || call.head.size() >= limits_.fields) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call.stream, NGHTTP2_CANCEL);
    call.finish(fail(Errc::kLimit, "response header too large"));
  } else if (call.status >= 200) {
    call.give_head(call.status);
  } else {
    call.head = {};  // informational: the real one follows
    call.head_bytes = 0;
  }
}

void ClientSession::stream_failed(const std::shared_ptr<CallState>& call, std::uint32_t code) {
  if (code == NGHTTP2_REFUSED_STREAM && !call->head_given && !call->retried) {
    forget(*call);
    unprocessed_.push_back(call);
    wake_();
    return;
  }
  call->finish(fail(Errc::kUnavailable, fmt::format("stream reset: {}", nghttp2_http2_strerror(code))));
}

void ClientSession::consume(CallState& call, std::size_t bytes) {
  if (bytes == 0 || !call.stream_open) return;
  nghttp2_session_consume_stream(session_, call.stream, bytes);
  wake_();
}

void ClientSession::cancel(CallState& call) {
  if (!call.stream_open) return forget(call);
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call.stream, NGHTTP2_CANCEL);
  wake_();
}

void ClientSession::release(CallState& call) {
  if (call.stream_open) return;
  forget(call);
  wake_();  // there may be room for a call that waits
}

void ClientSession::forget(CallState& call) {
  call.session = nullptr;
  calls_.erase(call.stream);
}

bool ClientSession::feed(std::string_view bytes) {
  const auto used =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (used >= 0) return true;
  if (failure_.empty()) failure_ = nghttp2_strerror(static_cast<int>(used));
  nghttp2_session_terminate_session(session_, NGHTTP2_PROTOCOL_ERROR);
  return false;
}

bool ClientSession::produce(OutQueue& out, std::size_t limit) {
  while (out.bytes() < limit) {
    const std::uint8_t* bytes = nullptr;
    const auto length = nghttp2_session_mem_send(session_, &bytes);
    if (length < 0) return false;
    if (length == 0) break;
    out.append_bytes(as_text(bytes, static_cast<std::size_t>(length)));
  }
  return true;
}

void ClientSession::ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void ClientSession::drain() {
  draining_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
}

ClientSession::Calls ClientSession::take_all() {
  Calls out;
  for (const auto& [stream, call] : std::exchange(calls_, {})) {
    call->session = nullptr;
    call->stream_open = false;
    out.push_back(call);
  }
  return out;
}

bool ClientSession::finished() const {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

}  // namespace oxbow::http
