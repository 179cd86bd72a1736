// Checks of single values that several options share. Each answers with what is wrong, empty when nothing is.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace oxbow::config {

/// "127.0.0.1:5050", "[::1]:5050", or "fd:3" for an inherited socket. Addresses, no names: what is bound must not
/// depend on DNS.
std::string check_listen(std::string_view text);
/// Whether a listen address can be reached from this machine only.
bool is_loopback(std::string_view listen);
/// Whether others could connect to it: no descriptor, no wildcard, no port 0.
bool can_be_connected_to(std::string_view address);
/// "host:port", "10.0.0.7:5051", "[::1]:5051"
std::string check_host_port(std::string_view text);
/// A registry's name or alias: a host, host:port or a plain word; it stands in paths and in `?ns=`.
std::string check_registry_name(std::string_view text);
/// http(s)://host[:port][/path], without credentials, query or fragment.
std::string check_upstream(std::string_view text);
/// http, https, socks5 or socks5h. The answer never repeats the text: it may hold a password.
std::string check_proxy(std::string_view text);
std::string check_absolute_path(std::string_view text);
/// A pattern over repository names: name characters, `*` and `?`.
std::string check_pattern(std::string_view text);
/// A peer's name or label: no blanks, no control characters, at most 253 characters.
std::string check_label(std::string_view text);
/// The name of a Kubernetes object: lower-case letters, digits, `-` and `.`.
std::string check_object_name(std::string_view text);

/// The URL with a password in it masked: for everything that is shown.
std::string mask_url(std::string_view url);

}  // namespace oxbow::config
