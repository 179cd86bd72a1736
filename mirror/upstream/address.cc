#include "mirror/upstream/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

namespace oxbow::mirror::upstream {
namespace {

struct Block4 {
  std::uint32_t network;
  int bits;
};

// IANA's IPv4 special-purpose registry, the blocks that are not globally reachable.
constexpr std::array kPrivate4{
    Block4{0x00000000, 8},   // 0.0.0.0/8 this network
    Block4{0x0A000000, 8},   // 10.0.0.0/8
    Block4{0x64400000, 10},  // 100.64.0.0/10 CGNAT
    Block4{0x7F000000, 8},   // 127.0.0.0/8
    Block4{0xA9FE0000, 16},  // 169.254.0.0/16 link-local, cloud metadata
    Block4{0xAC100000, 12},  // 172.16.0.0/12
    Block4{0xC0000000, 24},  // 192.0.0.0/24 protocol assignments
    Block4{0xC0A80000, 16},  // 192.168.0.0/16
    Block4{0xC6120000, 15},  // 198.18.0.0/15 benchmarks
    Block4{0xE0000000, 3},   // 224.0.0.0/3 multicast, reserved, broadcast
};

bool private4(std::uint32_t address) noexcept {
  for (const auto& block : kPrivate4) {
    if ((address ^ block.network) >> (32 - block.bits) == 0) return true;
  }
  return false;
}

std::uint32_t word(const in6_addr& address, int index) noexcept {
  std::uint32_t value = 0;
  std::memcpy(&value, address.s6_addr + 4 * index, 4);
  return ntohl(value);
}

bool private6(const in6_addr& a) noexcept {
  const auto first = word(a, 0);
  const auto second = word(a, 1);
  const auto third = word(a, 2);
  if (first == 0 && second == 0 && (third == 0 || third == 0xFFFF)) {
    return private4(word(a, 3));  // ::, ::1, compatible and mapped
  }
  if (first == 0x0064FF9B) return second != 0 || third != 0 || private4(word(a, 3));  // NAT64, and its local-use prefix
  if (first >> 16 == 0x2002) return private4(first << 16 | second >> 16);             // 6to4
  return first >> 29 != 1 || first == 0x20010000;  // only 2000::/3 is global; Teredo hides an IPv4 address
}

}  // namespace

bool is_private_address(const sockaddr& address) noexcept {
  if (address.sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof v4);
    return private4(ntohl(v4.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address, sizeof v6);
    return private6(v6.sin6_addr);
  }
  return true;
}

bool is_private_literal(std::string_view text) noexcept {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  const std::string bare(text.substr(0, text.find('%')));
  in_addr v4{};
  if (inet_pton(AF_INET, bare.c_str(), &v4) == 1) return private4(ntohl(v4.s_addr));
  in6_addr v6{};
  return inet_pton(AF_INET6, bare.c_str(), &v6) == 1 && private6(v6);
}

}  // namespace oxbow::mirror::upstream
