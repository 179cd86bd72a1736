// Any bytes, cut anywhere, give the same requests and the same end as in one piece; a request is what it says it is.
#include <cstdlib>
#include <string>
#include <vector>

#include "core/http/http1_parser.h"

namespace {

using oxbow::http::Http1Limits;
using oxbow::http::Http1Parser;

constexpr Http1Limits kLimits{.header_bytes = 2'000, .target_bytes = 600, .fields = 20, .body_bytes = 500};

void require(bool holds) {
  if (!holds) std::abort();
}

struct Seen {
  std::vector<std::string> requests;
  int status = 0;
};

std::string describe(const oxbow::http::Request& request, bool keep_alive) {
  require(!request.target.empty() && (request.target.front() == '/' || request.target == "*"));
  require(request.target == request.path + (request.target.size() > request.path.size() ? "?" + request.query : ""));
  require(request.body.size() <= kLimits.body_bytes);
  require(request.headers.size() <= kLimits.fields);
  require(request.headers.all("host").size() <= 1 && request.headers.all("content-length").size() <= 1);
  require(!(request.headers.find("content-length") && request.headers.find("transfer-encoding")));
  std::string text = request.method_text + " " + request.target + (keep_alive ? " k" : " c") + "\n" + request.body;
  for (const auto& [name, value] : request.headers) {
    require(value.find('\r') == std::string::npos && value.find('\n') == std::string::npos);
    require(value.find('\0') == std::string::npos && !name.empty());
    text += "\n" + name + ":" + value;
  }
  return text;
}

/// Feeds as a connection does: what is not consumed comes again with more behind it.
Seen run(std::string_view bytes, std::size_t step) {
  Http1Parser parser(kLimits, true);
  Seen seen;
  std::string waiting;
  std::size_t at = 0;
  for (;;) {
    const auto progress = parser.feed(waiting);
    require(progress.consumed <= waiting.size());
    waiting.erase(0, progress.consumed);
    if (progress.state == Http1Parser::State::kError) {
      seen.status = parser.status();
      require(seen.status >= 400 && seen.status < 600 && !parser.why().empty());
      return seen;
    }
    if (progress.state == Http1Parser::State::kComplete) {
      auto request = parser.take();
      seen.requests.push_back(describe(request, parser.keep_alive()));
      if (!parser.keep_alive()) return seen;
      continue;
    }
    if (progress.state == Http1Parser::State::kContinue) continue;
    if (at == bytes.size()) return seen;
    const auto part = bytes.substr(at, step);
    waiting += part;
    at += part.size();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t step = data[0] % 97 + 1U;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = run(bytes, bytes.size() + 1);
  const auto parts = run(bytes, step);
  require(whole.requests == parts.requests);
  // Which error is found first may differ; whether there is one may not.
  require((whole.status == 0) == (parts.status == 0));
  return 0;
}
