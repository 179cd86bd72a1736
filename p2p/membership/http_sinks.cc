#include "p2p/membership/http_sinks.h"

#include "core/encoding.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxErrorBytes = 64 << 10;

}  // namespace

bool WholeSink::on_bytes(long, std::string_view bytes) {
  too_large = body.size() + bytes.size() > kMaxAnswerBytes;
  if (!too_large) body += bytes;
  return !too_large;
}

bool LineSink::on_bytes(long status, std::string_view bytes) {
  if (status != 200) {
    rest.append(bytes.substr(0, kMaxErrorBytes - std::min(rest.size(), kMaxErrorBytes)));
    return true;
  }
  rest += bytes;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = rest.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const auto line = std::string_view(rest).substr(begin, end - begin);
    if (trim(line).empty()) continue;
    if (auto taken = sink_.on_line(line); !taken) {
      error = std::move(taken.error());
      return false;
    }
  }
  rest.erase(0, begin);
  if (rest.size() > kMaxAnswerBytes) error = Error(Errc::kLimit, "a line of the stream is too long");
  return !error;
}

}  // namespace oxbow::p2p
