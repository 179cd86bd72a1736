#include "core/http/http2_session.h"

#include <algorithm>
#include <array>

#include "core/encoding.h"
#include "core/http/http1_head.h"
#include "core/http/http2_stream.h"
#include "core/http/nghttp2_util.h"
#include "core/log.h"

namespace oxbow::http {
namespace {

/// With several streams, so that none holds the connection for long.
constexpr std::size_t kSharedFrameBytes = 64UL * 1024;
constexpr std::size_t kPullBytes = 256UL * 1024;
constexpr std::uint32_t kReceiveWindowBytes = 1U * 1024 * 1024;

}  // namespace

/// nghttp2's C callbacks.
struct Http2Session::Callbacks {
  static Http2Session& self(void* user) noexcept { return *static_cast<Http2Session*>(user); }
  static Stream* stream(nghttp2_session* session, std::int32_t id) noexcept {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      self(user).begin(frame->hd.stream_id);
    }
    return 0;
  }

  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_length, const std::uint8_t* value, std::size_t value_length, std::uint8_t,
                       void* user) {
    auto* s = stream(session, frame->hd.stream_id);
    if (s == nullptr || s->header_done) return 0;  // trailers must not pass for header fields
    auto& limits = self(user).limits_;
    const auto bytes = name_length + value_length + kFieldOverheadBytes;  // as SETTINGS_MAX_HEADER_LIST_SIZE counts
    s->header_bytes += bytes;
    if (s->header_bytes > limits.header_bytes || s->request.headers.size() >= limits.fields) s->too_large = true;
    if (!s->too_large && !self(user).collect(*s, bytes)) s->too_many = true;
    if (s->too_large || s->too_many) return 0;
    const auto key = as_text(name, name_length);
    const std::string content(as_text(value, value_length));
    auto& request = s->request;
    if (key == ":method")
      request.method_text = content;
    else if (key == ":path")
      request.target = content;
    else if (key == ":authority")
      request.headers.set("host", content);
    else if (key == "host" && request.headers.find("host"))
      return 0;
    else if (!key.starts_with(':'))
      request.headers.add(std::string(key), content);
    return 0;
  }

  static int on_frame_recv(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& me = self(user);
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_DATA: {
        auto* s = stream(session, frame->hd.stream_id);
        if (frame->hd.type == NGHTTP2_DATA && frame->hd.length == 0 &&
            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
          me.count(me.control_frames_, me.limits_.control_frames_per_second, me.hits_.control_frames);
        }
        if (s == nullptr) return 0;
        if (!s->header_done) me.finish_header(*s);
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && !s->complete) me.finish_request(*s);
        return 0;
      }
      case NGHTTP2_RST_STREAM:
        me.count(me.resets_, me.limits_.resets_per_second, me.hits_.resets);
        return 0;
      case NGHTTP2_PING:
      case NGHTTP2_SETTINGS:
      case NGHTTP2_PRIORITY:
        me.count(me.control_frames_, me.limits_.control_frames_per_second, me.hits_.control_frames);
        return 0;
      default:
        return 0;
    }
  }

  static int on_data_chunk(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                           std::size_t length, void* user) {
    auto* s = stream(session, id);
    auto& me = self(user);
    if (s != nullptr && !s->complete) me.take_body(*s, as_text(bytes, length));
    return 0;
  }

  static int on_frame_send(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& me = self(user);
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
      const auto code = frame->rst_stream.error_code;
      if (code == NGHTTP2_REFUSED_STREAM) ++me.hits_.streams;
      // A client can make us reset streams as fast as it resets them itself.
      if (code != NGHTTP2_NO_ERROR && code != NGHTTP2_INTERNAL_ERROR) {
        me.count(me.resets_, me.limits_.resets_per_second, me.hits_.resets);
      }
      return 0;
    }
    const bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (last && nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
      // Answered before the request's body was there: nobody will read it (RFC 9113, section 8.1).
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
    self(user).end_stream(id);
    return 0;
  }

  static ssize_t read_length(nghttp2_session*, std::uint8_t, std::int32_t, std::int32_t, std::int32_t,
                             std::uint32_t peer_max, void* user) {
    const auto& me = self(user);
    const std::size_t ours =
        me.sending_ > 1 ? std::min<std::size_t>(kSharedFrameBytes, me.limits_.frame_bytes) : me.limits_.frame_bytes;
    // No more than is queued at once; header and payload together fill TLS records to the byte.
    return static_cast<ssize_t>(std::min<std::size_t>({ours, peer_max, me.out_limit_}) - kFrameHeaderBytes);
  }

  static ssize_t read_data(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length, std::uint32_t* flags,
                           nghttp2_data_source* source, void* user) {
    return self(user).read_body(*static_cast<Stream*>(source->ptr), length, *flags);
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* header, std::size_t length,
                       nghttp2_data_source* source, void* user) {
    auto& me = self(user);
    if (me.out_->bytes() >= me.out_limit_) return NGHTTP2_ERR_WOULDBLOCK;
    me.queue_data(*static_cast<Stream*>(source->ptr), as_text(header, kFrameHeaderBytes), length);
    return 0;
  }
};

Http2Session::Http2Session(Http2Limits limits, bool keep_bodies, std::function<void()> wake,
                           std::function<void(const Outcome&)> outcome)
    : limits_(limits), keep_bodies_(keep_bodies), wake_(std::move(wake)), outcome_(std::move(outcome)) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* options = nullptr;
  OXBOW_INVARIANT(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame_recv);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data_chunk);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Callbacks::on_frame_send);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_stream_close);
  nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, Callbacks::read_length);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, Callbacks::send_data);
  nghttp2_option_set_no_closed_streams(options, 1);
  // The default of 8 is too few for 96 KiB of header in frames of 16 KiB that a client fills half.
  nghttp2_option_set_max_continuations(options, limits_.header_bytes / 8192 + 4);
  const int made = nghttp2_session_server_new2(&session_, callbacks, this, options);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
  OXBOW_INVARIANT(made == 0);
  submit_settings();
}

Http2Session::~Http2Session() {
  abandon();
  nghttp2_session_del(session_);
}

void Http2Session::submit_settings() {
  const std::array<nghttp2_settings_entry, 4> settings{
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.streams},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kReceiveWindowBytes},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits_.header_bytes)},
       {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 0}}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, static_cast<std::int32_t>(kReceiveWindowBytes));
}

bool Http2Session::count(Rate& rate, std::uint32_t limit, std::uint32_t& hits) {
  const auto second = std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch()).count();
  if (rate.second != second) rate = {second, 0};
  if (++rate.count <= limit) return true;
  if (!abused_) {
    ++hits;
    abused_ = true;
  }
  return false;
}

bool Http2Session::feed(std::string_view bytes, Time now) {
  now_ = now;
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const auto used = nghttp2_session_mem_recv(session_, data, bytes.size());
  if (used < 0) {
    // nghttp2 has a limit of its own: acknowledgements that the peer does not take.
    if (used == NGHTTP2_ERR_FLOODED && !abused_) ++hits_.control_frames;
    nghttp2_session_terminate_session(session_,
                                      used == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
    return false;
  }
  if (abused_) {
    nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
    return false;
  }
  return true;
}

std::vector<Http2Session::Incoming> Http2Session::take_requests() { return std::exchange(ready_requests_, {}); }

void Http2Session::begin(std::int32_t id) {
  auto stream = std::make_unique<Stream>(id);
  stream->outcome.received = stream->heard_at = now_;
  nghttp2_session_set_stream_user_data(session_, id, stream.get());
  streams_[id] = std::move(stream);
}

void Http2Session::finish_header(Stream& stream) {
  stream.header_done = true;
  stream.heard_at = now_;
  auto& request = stream.request;
  request.method = parse_method(request.method_text);
  stream.method = request.method;
  const auto question = request.target.find('?');
  request.path = request.target.substr(0, question);
  if (question != std::string::npos) request.query = request.target.substr(question + 1);
  stream.outcome.method = request.method_text;
  stream.outcome.path = request.path;
  if (stream.too_large) {
    ++hits_.header_bytes;
    return reject(stream, 431, "header too large");
  }
  if (stream.too_many) {
    ++hits_.bodies_bytes;
    return reject(stream, 503, "too many requests at once");
  }
  const auto& target = request.target;
  if (target.empty() || (target.front() != '/' && target != "*") || target.find('#') != std::string::npos) {
    return reject(stream, 400, "bad request target");
  }
  if (const auto expect = request.headers.find("expect"); expect && iequals(*expect, "100-continue")) {
    const auto status = header_field(":status", "100");
    nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id, nullptr, &status, 1, nullptr);
  }
}

/// Who asks is looked at when the request is complete: until then anybody whose connection stands could fill memory.
bool Http2Session::collect(Stream& stream, std::size_t bytes) {
  if (collected_bytes_ + bytes > limits_.bodies_bytes) return false;
  stream.collected_bytes += bytes;
  collected_bytes_ += bytes;
  return true;
}

void Http2Session::take_body(Stream& stream, std::string_view bytes) {
  if (!bytes.empty()) stream.heard_at = now_;
  stream.body_bytes += bytes.size();
  if (stream.body_bytes > limits_.body_bytes) {
    ++hits_.body_bytes;
    return reject(stream, 413, "request body too large");
  }
  if (!keep_bodies_) return;
  if (!collect(stream, bytes.size())) {
    ++hits_.bodies_bytes;
    return reject(stream, 503, "too many request bodies at once");
  }
  stream.request.body.append(bytes);
}

void Http2Session::finish_request(Stream& stream) {
  stream.complete = true;
  collected_bytes_ -= std::exchange(stream.collected_bytes, 0);
  stream.request.version = Version::kHttp2;
  stream.request.received = now_;
  ready_requests_.push_back({stream.id, std::move(stream.request)});
}

void Http2Session::reject(Stream& stream, int status, std::string_view why) {
  stream.complete = true;
  collected_bytes_ -= std::exchange(stream.collected_bytes, 0);
  stream.request = Request{};
  respond(stream.id, error_response(status, why), date_, now_);
}

void Http2Session::respond(std::int32_t id, Response response, std::string_view date, Time now) {
  now_ = now;
  const auto it = streams_.find(id);
  if (it == streams_.end() || it->second->responded) return;
  auto& stream = *it->second;
  stream.responded = true;
  stream.outcome.status = response.status;
  date_ = date;
  const auto framing = framing_of(response, stream.method, false);
  const auto status = std::to_string(response.status);
  const auto length = std::to_string(response.content_length.value_or(0));
  std::vector<std::pair<std::string, std::string_view>> lower;
  lower.reserve(response.headers.size());
  for (const auto& [name, value] : response.headers) {
    if (may_send(name, value)) lower.emplace_back(to_lower(name), value);
  }
  std::vector<nghttp2_nv> fields;
  fields.reserve(lower.size() + 4);
  fields.push_back(header_field(":status", status));
  fields.push_back(header_field("server", "oxbow"));
  if (!date.empty()) fields.push_back(header_field("date", date));
  for (const auto& [name, value] : lower) fields.push_back(header_field(name, value));
  const bool length_for_head =
      framing == Framing::kNone && response.content_length && response.status >= 200 && response.status != 204;
  if (framing == Framing::kLength || length_for_head) fields.push_back(header_field("content-length", length));

  const bool empty =
      framing == Framing::kNone || !response.body || (response.content_length && *response.content_length == 0);
  if (!empty) {
    stream.length_left = response.content_length;
    stream.body = std::move(response.body);
    set_sending(stream, true);
  } else if (framing == Framing::kLength && response.content_length.value_or(0) > 0) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id,
                              NGHTTP2_INTERNAL_ERROR);  // a length and nothing to fill it
    return;
  }
  nghttp2_data_provider provider{};
  provider.source.ptr = &stream;
  provider.read_callback = Callbacks::read_data;
  if (nghttp2_submit_response(session_, id, fields.data(), fields.size(), empty ? nullptr : &provider) != 0) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
  }
}

void Http2Session::set_sending(Stream& stream, bool sending) {
  if (stream.sending == sending) return;
  stream.sending = sending;
  stream.moved_at = now_;
  sending ? ++sending_ : --sending_;
}

/// Takes the next piece of the body; false when there is none now, with `body` gone when there never will be.
bool Http2Session::next_piece(Stream& stream) {
  auto piece = stream.body->next(kPullBytes);
  if (auto* memory = std::get_if<MemoryPiece>(&piece)) {
    stream.piece_left = memory->bytes.size();
    stream.piece = std::move(*memory);
    return true;
  }
  if (auto* file = std::get_if<FilePiece>(&piece)) {
    stream.piece_left = file->length;
    stream.piece = std::move(*file);
    return true;
  }
  if (std::holds_alternative<Wait>(piece)) {
    stream.body->on_ready([this, id = stream.id] {
      ready_streams_.push_back(id);
      wake_();
    });
    return false;
  }
  if (const auto* cut = std::get_if<Cut>(&piece)) {
    log::info("response cut", {{"path", stream.outcome.path}, log::Field(cut->error)});
    stream.outcome.end = "cut";
  }
  stream.body.reset();
  return false;
}

long Http2Session::read_body(Stream& stream, std::size_t length, std::uint32_t& flags) {
  if (stream.piece_left == 0 && !next_piece(stream)) {
    set_sending(stream, false);
    if (stream.body) return NGHTTP2_ERR_DEFERRED;
    if (*stream.outcome.end != '\0' || stream.length_left.value_or(0) != 0) {
      stream.outcome.end = "cut";
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // RST_STREAM(INTERNAL_ERROR)
    }
    flags |= NGHTTP2_DATA_FLAG_EOF;
    return 0;
  }
  if (stream.length_left && stream.piece_left > *stream.length_left) {
    log::warn("body longer than its length", {{"path", stream.outcome.path}});
    stream.outcome.end = "cut";
    set_sending(stream, false);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  const auto part = std::min(length, stream.piece_left);
  flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (stream.length_left && part == *stream.length_left) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
    set_sending(stream, false);
  }
  return static_cast<long>(part);
}

void Http2Session::queue_data(Stream& stream, std::string_view frame_header, std::size_t length) {
  out_->append_bytes(frame_header);
  moved_at_ = stream.moved_at = now_;
  stream.outcome.body_bytes += length;
  stream.piece_left -= length;
  if (stream.length_left) *stream.length_left -= length;
  if (auto* memory = std::get_if<MemoryPiece>(&stream.piece)) {
    out_->push_memory(memory->bytes.substr(0, length), memory->pin);
    memory->bytes.remove_prefix(length);
  } else if (auto* file = std::get_if<FilePiece>(&stream.piece)) {
    out_->push_file(file->fd, file->offset, length, file->pin);
    file->offset += length;
  }
  if (stream.piece_left == 0) stream.piece = std::monostate{};
}

bool Http2Session::produce(OutQueue& out, std::size_t limit, Time now) {
  now_ = now;
  for (const auto id : std::exchange(ready_streams_, {})) {
    const auto it = streams_.find(id);
    if (it == streams_.end() || !it->second->body) continue;
    set_sending(*it->second, true);
    nghttp2_session_resume_data(session_, id);
  }
  out_ = &out;
  out_limit_ = limit;
  while (out.bytes() < limit) {
    const std::uint8_t* bytes = nullptr;
    const auto length = nghttp2_session_mem_send(session_, &bytes);
    if (length < 0) return false;
    if (length == 0) break;
    out.append_bytes(as_text(bytes, static_cast<std::size_t>(length)));
  }
  return true;
}

void Http2Session::end_stream(std::int32_t id) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  auto& stream = *it->second;
  set_sending(stream, false);
  collected_bytes_ -= stream.collected_bytes;
  if (*stream.outcome.end == '\0') {
    const bool sent = stream.responded && !stream.piece_left && stream.length_left.value_or(0) == 0;
    stream.outcome.end = sent ? "sent" : "abandoned";
  }
  outcome_(stream.outcome);
  nghttp2_session_set_stream_user_data(session_, id, nullptr);
  streams_.erase(it);
}

void Http2Session::drain() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
}

void Http2Session::cut() {
  for (const auto& [id, stream] : streams_) {
    stream->outcome.end = "cut";
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
  }
  nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
}

void Http2Session::abandon() {
  while (!streams_.empty()) end_stream(streams_.begin()->first);
  ready_requests_.clear();
}

bool Http2Session::finished() const {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

Http2Session::Time Http2Session::request_due(const Stream& stream, const RequestTimes& times) {
  if (stream.complete) return Time::max();
  if (!stream.header_done) return stream.outcome.received + times.header;
  return std::min(stream.heard_at + times.header, stream.outcome.received + times.body);
}

Http2Session::Time Http2Session::request_due(const RequestTimes& times) const {
  auto due = Time::max();
  for (const auto& [id, stream] : streams_) due = std::min(due, request_due(*stream, times));
  return due;
}

std::uint32_t Http2Session::refuse_late(const RequestTimes& times, Time now) {
  now_ = now;
  std::uint32_t count = 0;
  for (const auto& [id, stream] : streams_) {
    if (!stream->header_done || request_due(*stream, times) > now) continue;
    reject(*stream, 408, "request not complete in time");
    ++count;
  }
  return count;
}

Http2Session::Time Http2Session::stalled_since(const Stream& stream) const {
  if (!stream.sending) return Time::max();
  if (nghttp2_session_get_stream_remote_window_size(session_, stream.id) <= 0) return stream.moved_at;
  // Where the connection's window is closed each waits for its turn, and any byte of any of them is progress.
  if (nghttp2_session_get_remote_window_size(session_) <= 0) return std::max(moved_at_, stream.moved_at);
  return Time::max();
}

Http2Session::Time Http2Session::stalled_since() const {
  auto oldest = Time::max();
  if (sending_ == 0) return oldest;
  for (const auto& [id, stream] : streams_) oldest = std::min(oldest, stalled_since(*stream));
  return oldest;
}

std::uint32_t Http2Session::reset_stalled(Time then) {
  std::uint32_t count = 0;
  for (const auto& [id, stream] : streams_) {
    if (stalled_since(*stream) > then) continue;
    stream->outcome.end = "cut";
    set_sending(*stream, false);
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
    ++count;
  }
  return count;
}

}  // namespace oxbow::http
