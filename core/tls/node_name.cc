#include "core/tls/node_name.h"

#include <arpa/inet.h>

namespace oxbow::tls {
namespace {

constexpr std::size_t kNameLimit = 253;
constexpr std::size_t kLabelLimit = 63;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

std::string check_dns_label(std::string_view label) {
  if (label.empty()) return "has an empty part between its dots";
  if (label.size() > kLabelLimit) return fmt::format("has a part of more than {} characters", kLabelLimit);
  for (const char c : label) {
    if (c >= 'A' && c <= 'Z') return "has capital letters: write it in lower case, and peer.name likewise";
    if (!is_letter_or_digit(c) && c != '-')
      return "may only have letters a-z, digits, hyphens and dots: it stands in a certificate as a DNS name";
  }
  if (label.front() == '-' || label.back() == '-') return "has a part that begins or ends with a hyphen";
  return {};
}

}  // namespace

std::string check_node_name(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > kNameLimit) return fmt::format("is longer than {} characters", kNameLimit);
  if (check_address(name).empty()) return "is an address: give the node a name, and its addresses by --ip";
  std::size_t begin = 0;
  while (begin <= name.size()) {
    const auto end = std::min(name.find('.', begin), name.size());
    if (auto wrong = check_dns_label(name.substr(begin, end - begin)); !wrong.empty()) return wrong;
    begin = end + 1;
  }
  return {};
}

std::string check_address(std::string_view address) {
  const std::string text(address);
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return {};
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return {};
  return "is no IP address: write it like 10.0.0.7 or fd00::7, without a port";
}

}  // namespace oxbow::tls
