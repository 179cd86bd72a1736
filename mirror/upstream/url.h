// The few parts of URLs that matter here. Thread rule: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace oxbow::mirror::upstream {

struct UrlParts {
  std::string scheme;  ///< lower case: http or https
  std::string host;    ///< lower case, IPv6 in brackets
  std::string port;    ///< always there
  std::string path;    ///< with its '/', may be empty
  std::string query;   ///< without '?'
  bool has_userinfo = false;

  /// `scheme://host[:port]`, the port only where it is not the scheme's own.
  std::string origin() const;
  /// `host[:port]`, likewise.
  std::string host_port() const;
};

/// An absolute http(s) URL. Nothing for anything else; a fragment is dropped.
std::optional<UrlParts> split_url(std::string_view url);
/// For logs and errors: without query, fragment and user.
std::string printable_url(std::string_view url);

}  // namespace oxbow::mirror::upstream
