#include "core/http/http1_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <optional>

#include "core/encoding.h"

namespace oxbow::http {
namespace {

namespace beast = boost::beast::http;
using beast::basic_parser;
using ErrorCode = boost::beast::error_code;
using BeastView = boost::beast::string_view;

std::string_view view(BeastView text) noexcept { return {text.data(), text.size()}; }

/// A line that starts with a blank continues the one before (obs-fold): gateways disagree about it, so nobody may send
/// it.
bool has_folded_line(std::string_view header) noexcept {
  for (std::size_t at = header.find('\n'); at != std::string_view::npos; at = header.find('\n', at + 1)) {
    if (at + 1 < header.size() && (header[at + 1] == ' ' || header[at + 1] == '\t')) return true;
  }
  return false;
}

/// RFC 9112, section 2.2: an empty line or two before a request line are let pass.
constexpr std::size_t kBlankBytesMax = 4;

std::size_t blank_lines_before(std::string_view input, std::size_t passed) noexcept {
  std::size_t at = 0;
  while (passed + at < kBlankBytesMax && input.substr(at, 2) == "\r\n") at += 2;
  return at;
}

/// The length of the chunk head that `input` starts with, or of the last chunk with its trailer; npos when it is
/// incomplete. Beast 1.81 asserts when it is shown the last chunk in parts, so it is only ever shown whole ones.
std::size_t chunk_head_length(std::string_view input, bool first) noexcept {
  const std::size_t start = first ? 0 : 2;  // the CRLF behind the chunk before
  const auto line_end = input.find("\r\n", start);
  if (line_end == std::string_view::npos) return line_end;
  const auto size_end = input.find_first_not_of('0', start);
  const bool last = size_end > start && (size_end == line_end || input[size_end] == ';' || input[size_end] == ' ');
  if (!last) return line_end + 2;
  const auto end = input.find("\r\n\r\n", line_end);
  return end == std::string_view::npos ? end : end + 4;
}

}  // namespace

/// What Beast calls while it parses.
class Http1Parser::Machine final : public basic_parser<true> {
 public:
  Machine(Request& request, const Http1Limits& limits, bool keep_body)
      : request_(request), limits_(limits), keep_body_(keep_body) {
    header_limit(
        static_cast<std::uint32_t>(limits.header_bytes + 16));  // ours is checked first and must be the one hit
    body_limit(limits.body_bytes);
  }

  std::string target;
  int version = 11;
  std::size_t fields = 0;
  std::size_t hosts = 0;
  std::size_t lengths = 0;
  std::size_t codings = 0;
  bool coding_is_chunked = false;
  bool expect_continue = false;
  bool expect_other = false;
  /// What comes next is a chunk's head or the trailer, which Beast takes whole.
  bool at_chunk_head = true;
  bool first_chunk = true;

 private:
  void on_request_impl(beast::verb, BeastView method, BeastView target_text, int version_number, ErrorCode&) override {
    request_.method_text = view(method);
    request_.method = oxbow::http::parse_method(view(method));
    target = view(target_text);
    version = version_number;
  }
  void on_response_impl(int, BeastView, int, ErrorCode&) override {}
  void on_field_impl(beast::field name, BeastView name_text, BeastView value, ErrorCode& error) override {
    if (trailers_) return;  // a trailer must not pass for a header field
    if (++fields > limits_.fields) {
      error = beast::error::header_limit;
      return;
    }
    const auto text = trim(view(value));
    switch (name) {
      case beast::field::host:
        ++hosts;
        break;
      case beast::field::content_length:
        ++lengths;
        break;
      case beast::field::transfer_encoding:
        ++codings;
        coding_is_chunked = iequals(text, "chunked");
        break;
      case beast::field::expect:
        (iequals(text, "100-continue") ? expect_continue : expect_other) = true;
        break;
      default:
        break;
    }
    request_.headers.add(std::string(view(name_text)), std::string(text));
  }
  void on_header_impl(ErrorCode&) override { trailers_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCode&) override {}
  std::size_t on_body_impl(BeastView body, ErrorCode&) override { return keep(body); }
  void on_chunk_header_impl(std::uint64_t size, BeastView, ErrorCode&) override {
    at_chunk_head = size == 0;
    first_chunk = false;
  }
  std::size_t on_chunk_body_impl(std::uint64_t left, BeastView body, ErrorCode&) override {
    at_chunk_head = body.size() >= left;
    return keep(body);
  }
  void on_finish_impl(ErrorCode&) override {}

  std::size_t keep(BeastView body) {
    if (keep_body_) request_.body.append(body.data(), body.size());
    return body.size();
  }

  Request& request_;
  const Http1Limits& limits_;
  const bool keep_body_;
  bool trailers_ = false;
};

Http1Parser::Http1Parser(Http1Limits limits, bool keep_body) : limits_(limits), keep_body_(keep_body) {}
Http1Parser::~Http1Parser() = default;

Http1Parser::Progress Http1Parser::fail(int status, std::string_view why, std::size_t consumed) {
  status_ = status;
  why_ = why;
  return {State::kError, consumed};
}

Http1Parser::Progress Http1Parser::feed(std::string_view input) {
  if (header_done_) return feed_body(input, 0);
  return feed_header(input);
}

Http1Parser::Progress Http1Parser::feed_header(std::string_view input) {
  const auto blank = blank_lines_before(input, blank_bytes_);
  blank_bytes_ += blank;
  input.remove_prefix(blank);
  const auto end = input.find("\r\n\r\n", scanned_bytes_ > 3 ? scanned_bytes_ - 3 : 0);
  const auto line_end = input.find('\n');
  if (line_end == std::string_view::npos ? input.size() > limits_.target_bytes : line_end > limits_.target_bytes) {
    return fail(414, "request line too long");
  }
  if (line_end != std::string_view::npos && (line_end == 0 || input[line_end - 1] != '\r')) {
    return fail(400, "bare line feed");
  }
  if (end == std::string_view::npos ? input.size() >= limits_.header_bytes : end + 4 > limits_.header_bytes) {
    return fail(431, "header too large");
  }
  if (end == std::string_view::npos) {
    scanned_bytes_ = input.size();
    return {State::kNeedMore, blank};
  }
  scanned_bytes_ = 0;
  const auto header = input.substr(0, end + 4);
  if (has_folded_line(header)) return fail(400, "folded header line");

  request_ = Request{};
  machine_ = std::make_unique<Machine>(request_, limits_, keep_body_);
  ErrorCode error;
  machine_->put(boost::asio::buffer(header.data(), header.size()), error);
  if (error && error != beast::error::need_more) {
    if (error == beast::error::header_limit) return fail(431, "too many header fields");
    if (error == beast::error::body_limit) return fail(413, "request body too large");
    if (error == beast::error::bad_version) return fail(505, "HTTP version not supported");
    return fail(400, "malformed request header");
  }
  if (!machine_->is_header_done() || !check_header())
    return status_ != 0 ? Progress{State::kError, 0} : fail(400, "malformed request header");
  header_done_ = true;
  const auto consumed = blank + header.size();
  if (machine_->expect_continue && !machine_->is_done() && !http10_) return {State::kContinue, consumed};
  return feed_body(input.substr(header.size()), consumed);
}

Http1Parser::Progress Http1Parser::feed_body(std::string_view input, std::size_t consumed) {
  while (!machine_->is_done()) {
    if (input.empty()) return {State::kNeedMore, consumed};
    ErrorCode error;
    auto unit = input;
    if (machine_->chunked() && machine_->at_chunk_head) {
      const auto length = chunk_head_length(input, machine_->first_chunk);
      if (std::min(length, input.size()) > limits_.header_bytes) return fail(400, "chunk header too large", consumed);
      if (length == std::string_view::npos) return {State::kNeedMore, consumed};
      unit = input.substr(0, length);
    }
    const auto used = machine_->put(boost::asio::buffer(unit.data(), unit.size()), error);
    if (error == beast::error::need_more) return fail(400, "malformed request body", consumed);
    consumed += used;
    input.remove_prefix(used);
    if (error == beast::error::body_limit) return fail(413, "request body too large", consumed);
    if (error) return fail(400, "malformed request body", consumed);
  }
  return {State::kComplete, consumed};
}

bool Http1Parser::check_header() {
  const auto refuse = [this](int status, std::string_view why) {
    fail(status, why);
    return false;
  };
  const auto& seen = *machine_;
  http10_ = seen.version < 11;
  if (seen.codings > 0 && seen.lengths > 0) return refuse(400, "both Content-Length and Transfer-Encoding");
  if (seen.codings > 1 || (seen.codings == 1 && !seen.coding_is_chunked)) return refuse(400, "bad Transfer-Encoding");
  if (seen.codings > 0 && http10_) return refuse(400, "Transfer-Encoding in HTTP/1.0");
  if (seen.lengths > 1) return refuse(400, "more than one Content-Length");
  if (seen.hosts > 1 || (seen.hosts == 0 && !http10_)) return refuse(400, "exactly one Host is needed");
  if (seen.expect_other) return refuse(417, "unknown expectation");
  if (seen.content_length() && *seen.content_length() > limits_.body_bytes)
    return refuse(413, "request body too large");
  if (!set_target(seen.target)) return refuse(400, "bad request target");
  keep_alive_ = !http10_ && seen.keep_alive();
  return true;
}

bool Http1Parser::set_target(std::string_view target) {
  if (target.empty()) return false;
  if (target.front() != '/' && target != "*") {
    // absolute-form (RFC 9112, section 3.2.2): its authority replaces Host.
    const auto scheme_end = target.find("://");
    if (scheme_end == std::string_view::npos) return false;
    const auto scheme = target.substr(0, scheme_end);
    if (!iequals(scheme, "http") && !iequals(scheme, "https")) return false;
    target.remove_prefix(scheme_end + 3);
    const auto authority_end = std::min(target.find_first_of("/?"), target.size());
    if (authority_end == 0) return false;
    request_.headers.set("Host", std::string(target.substr(0, authority_end)));
    target.remove_prefix(authority_end);
    request_.target = target.empty() || target.front() == '?' ? "/" + std::string(target) : std::string(target);
  } else {
    request_.target = target;
  }
  if (request_.target.find('#') != std::string::npos) return false;
  const auto question = request_.target.find('?');
  request_.path = request_.target.substr(0, question);
  if (question != std::string::npos) request_.query = request_.target.substr(question + 1);
  return true;
}

Request Http1Parser::take() {
  machine_.reset();
  header_done_ = false;
  scanned_bytes_ = 0;
  blank_bytes_ = 0;
  return std::move(request_);
}

}  // namespace oxbow::http
