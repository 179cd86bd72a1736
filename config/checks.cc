#include "config/checks.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/encoding.h"

namespace oxbow::config {
namespace {

struct HostPort {
  std::string_view host;
  std::string_view port;
  bool bracketed = false;
};

std::optional<HostPort> split_host_port(std::string_view text) {
  if (text.starts_with('[')) {
    const auto close = text.find("]:");
    if (close == std::string_view::npos) return std::nullopt;
    return HostPort{text.substr(1, close - 1), text.substr(close + 2), true};
  }
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || text.find(':') != colon) return std::nullopt;
  return HostPort{text.substr(0, colon), text.substr(colon + 1), false};
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && rest == text.data() + text.size() && port <= 65535;
}

bool is_address(std::string_view host, int family) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(family, std::string(host).c_str(), buffer) == 1;
}

bool is_host_name(std::string_view host) {
  if (host.empty() || host.size() > 253 || host.front() == '.' || host.front() == '-') return false;
  return std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  });
}

bool is_host_with_optional_port(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) return is_address(text.substr(1, text.size() - 2), AF_INET6);
  if (const auto parts = split_host_port(text)) {
    return is_port(parts->port) && (parts->bracketed ? is_address(parts->host, AF_INET6) : is_host_name(parts->host));
  }
  return is_host_name(text);
}

bool has_blank_or_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; });
}

}  // namespace

std::string check_listen(std::string_view text) {
  if (text.starts_with("fd:")) {
    unsigned fd = 0;
    const auto [rest, error] = std::from_chars(text.data() + 3, text.data() + text.size(), fd);
    if (error == std::errc{} && rest == text.data() + text.size()) return {};
  } else if (const auto parts = split_host_port(text); parts && is_port(parts->port)) {
    if (is_address(parts->host, parts->bracketed ? AF_INET6 : AF_INET)) return {};
  }
  return fmt::format("\"{}\" is not an address to listen on; write for example \"127.0.0.1:5050\" or \"[::1]:5050\"",
                     text);
}

bool is_loopback(std::string_view listen) {
  const auto parts = split_host_port(listen);
  return parts && (parts->bracketed ? parts->host == "::1" : parts->host.starts_with("127."));
}

bool can_be_connected_to(std::string_view address) {
  if (address.starts_with("fd:")) return false;
  const auto parts = split_host_port(address);
  return parts && parts->host != "0.0.0.0" && parts->host != "::" &&
         parts->port.find_first_not_of('0') != parts->port.npos;
}

std::string check_host_port(std::string_view text) {
  const auto parts = split_host_port(text);
  const bool right = parts && is_port(parts->port) &&
                     (parts->bracketed ? is_address(parts->host, AF_INET6) : is_host_name(parts->host));
  return right ? "" : fmt::format("\"{}\" is not host:port; write for example \"10.0.0.7:5051\"", text);
}

std::string check_registry_name(std::string_view text) {
  if (is_host_with_optional_port(text)) return {};
  return fmt::format(
      "\"{}\" is not a registry's name; write its host, for example \"docker.io\" or \"registry.corp:5000\"", text);
}

std::string check_upstream(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fmt::format("\"{}\" {}; write for example \"https://registry-1.docker.io\"", mask_url(text), why);
  };
  auto rest = text;
  if (rest.starts_with("https://"))
    rest.remove_prefix(8);
  else if (rest.starts_with("http://"))
    rest.remove_prefix(7);
  else
    return wrong("is not an http:// or https:// URL");
  if (has_blank_or_control(rest) || rest.find_first_of("?#\\") != std::string_view::npos) {
    return wrong("must have no query, fragment or blanks");
  }
  const auto host = rest.substr(0, rest.find('/'));
  if (host.find('@') != std::string_view::npos) return wrong("must have no credentials in it: use credential_source");
  if (!is_host_with_optional_port(host)) return wrong("has no valid host");
  return {};
}

std::string check_proxy(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://", "socks5://", "socks5h://"}) {
    if (!text.starts_with(scheme) || has_blank_or_control(text)) continue;
    auto host = text.substr(scheme.size());
    host = host.substr(0, host.find('/'));
    if (const auto at = host.rfind('@'); at != std::string_view::npos) host = host.substr(at + 1);
    if (is_host_with_optional_port(host)) return {};
  }
  return "is not a proxy URL; write for example \"http://proxy.corp:3128\"";
}

std::string check_absolute_path(std::string_view text) {
  return text.starts_with('/') ? "" : fmt::format("\"{}\" is not an absolute path", text);
}

std::string check_pattern(std::string_view text) {
  const bool right = std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-/*?").find(c) != std::string_view::npos;
  });
  if (right && text.size() <= 255) return {};
  return fmt::format("\"{}\" is not a pattern of repository names; write for example \"library/*\"", text);
}

std::string check_label(std::string_view text) {
  if (!has_blank_or_control(text) && text.size() <= 253) return {};
  return fmt::format("\"{}\" must have no blanks and at most 253 characters", text);
}

std::string check_object_name(std::string_view text) {
  const bool fits = !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
  return fits
             ? std::string()
             : fmt::format("\"{}\" must be the name of a Kubernetes object: lower-case letters, digits, - and .", text);
}

std::string mask_url(std::string_view url) {
  const auto scheme = url.find("://");
  const std::size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  const auto at = url.substr(begin, url.find('/', begin) - begin).rfind('@');
  if (at == std::string_view::npos) return std::string(url);
  return std::string(url.substr(0, begin)) + "***" + std::string(url.substr(begin + at));
}

}  // namespace oxbow::config
