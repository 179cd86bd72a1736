#include "p2p/membership/address.h"

#include <arpa/inet.h>

#include <charconv>

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxHostBytes = 253;  // of a DNS name

bool is_name(std::string_view host) {
  if (host.empty() || host.size() > kMaxHostBytes || host.front() == '-' || host.front() == '.') return false;
  return std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  });
}

bool is_ipv6(std::string_view host) {
  in6_addr parsed;
  const std::string address(host.substr(0, host.find('%')));
  return inet_pton(AF_INET6, address.c_str(), &parsed) == 1;
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), port);
  return code == std::errc() && end == text.data() + text.size() && port >= 1 && port <= 65'535;
}

}  // namespace

Result<> check_address(std::string_view text) {
  const auto wrong = [&] {
    const auto shown = text.substr(0, kMaxHostBytes);
    return fail(Errc::kInvalid,
                fmt::format("'{}' is not host:port (as in node-7:5051, 10.0.0.7:5051, [fd00::7]:5051)", shown));
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || !is_port(text.substr(colon + 1))) return wrong();
  const auto host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed ? !is_ipv6(host.substr(1, host.size() - 2)) : !is_name(host)) return wrong();
  return {};
}

std::string join_address(std::string_view host, std::uint16_t port) {
  return host.find(':') == std::string_view::npos ? fmt::format("{}:{}", host, port)
                                                  : fmt::format("[{}]:{}", host, port);
}

}  // namespace oxbow::p2p
