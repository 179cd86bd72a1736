// A scripted HTTP/1.1 server on loopback, for the tests of the upstream client. A script sees each request and says
// what goes back, byte by byte if it likes. It runs on threads of its own and blocks where the script does.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace oxbow::mirror::upstream::testing {

struct Seen {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body{};

  std::string path() const { return target.substr(0, target.find('?')); }
  std::string query() const { return target.contains('?') ? target.substr(target.find('?') + 1) : std::string(); }
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

struct Reply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string body{};
  /// Bytes of the body after which the connection is closed, short of Content-Length.
  std::size_t cut_after = std::string::npos;
  /// Bytes of the body after which nothing comes any more, until the fake goes.
  std::size_t stall_after = std::string::npos;
  bool reset = false;  ///< with `cut_after`: RST instead of FIN
  bool never = false;  ///< no answer at all
  bool close = false;  ///< `Connection: close`
  std::string raw{};   ///< instead of everything else
};

/// Connection-level TLS, when certificate and key are given. `client_ca` asks for a client's certificate.
struct FakeTls {
  std::string certificate;
  std::string key;
  std::string client_ca;
};

class FakeRegistry {
 public:
  using Script = std::function<Reply(const Seen&)>;

  explicit FakeRegistry(Script script = {}, FakeTls tls = {});
  ~FakeRegistry();

  void script(Script script);
  /// `http://127.0.0.1:port`, or https.
  std::string url() const;
  unsigned port() const;
  std::string host_port() const;

  std::vector<Seen> seen() const;
  /// Requests whose path begins so.
  std::size_t count(const std::string& path_prefix) const;
  std::size_t connections() const { return accepted_; }
  std::uint64_t body_bytes_sent() const { return body_bytes_; }

 private:
  struct Server;
  friend struct Server;
  std::atomic<std::size_t> accepted_{0};
  std::atomic<std::uint64_t> body_bytes_{0};
  mutable std::mutex mutex_;
  Script script_;
  std::vector<Seen> seen_;
  bool tls_ = false;
  unsigned port_ = 0;  ///< scripts ask for it while the server ends
  std::unique_ptr<Server> server_;
};

/// A port on loopback where nobody listens.
unsigned closed_port();

/// The same bytes each time: a blob for tests.
std::string pattern(std::size_t bytes);
/// What a registry with ranges answers for `content`.
Reply ranged(const Seen& seen, const std::string& content);

}  // namespace oxbow::mirror::upstream::testing
