// Addresses that a registry which nobody configured must not lead to: ours, our neighbours', the
// host's. Thread rule: pure functions.
#pragma once

#include <string_view>

struct sockaddr;

namespace oxbow::mirror::upstream {

/// Unspecified, loopback, private (RFC 1918), CGNAT (RFC 6598), link-local, unique-local (RFC 4193), site-local,
/// multicast, broadcast, reserved and benchmark ranges; IPv4 in IPv6 in every common wrapping (mapped, compatible,
/// NAT64, 6to4) is judged by the IPv4 address. Families other than IP count as private.
bool is_private_address(const sockaddr& address) noexcept;
/// `text` is an IP literal, with or without brackets or a zone. Not an IP literal: false.
bool is_private_literal(std::string_view text) noexcept;

}  // namespace oxbow::mirror::upstream
