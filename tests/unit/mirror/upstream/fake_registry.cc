#include "tests/unit/mirror/upstream/fake_registry.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <condition_variable>
#include <list>
#include <thread>

#include "core/encoding.h"
#include "core/http/headers.h"

namespace oxbow::mirror::upstream::testing {

namespace asio = boost::asio;
using asio::ip::tcp;

struct FakeRegistry::Server {
  Server(FakeRegistry& owner, FakeTls configured)
      : fake(owner), tls(std::move(configured)), acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {
    if (!tls.certificate.empty()) {
      context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
      context->use_certificate_chain_file(tls.certificate);
      context->use_private_key_file(tls.key, asio::ssl::context::pem);
      if (!tls.client_ca.empty()) {
        context->load_verify_file(tls.client_ca);
        context->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
      }
    }
    fake.port_ = acceptor.local_endpoint().port();
    acceptor_thread = std::thread([this] { accept_all(); });
  }

  ~Server() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
      for (const int fd : open_sockets) ::shutdown(fd, SHUT_RDWR);
    }
    changed.notify_all();
    ::shutdown(acceptor.native_handle(), SHUT_RDWR);
    acceptor_thread.join();
    for (auto& thread : threads) thread.join();
  }

  void accept_all() {
    for (;;) {
      tcp::socket socket(io);
      boost::system::error_code failed;
      acceptor.accept(socket, failed);
      if (failed) return;
      ++fake.accepted_;
      std::lock_guard lock(mutex);
      if (stopping) return;
      open_sockets.push_back(socket.native_handle());
      threads.emplace_back([this, held = std::make_shared<tcp::socket>(std::move(socket))] { serve(*held); });
    }
  }

  void serve(tcp::socket& socket) {
    const int fd = socket.native_handle();
    socket.set_option(tcp::no_delay(true));
    if (context) {
      asio::ssl::stream<tcp::socket&> stream(socket, *context);
      boost::system::error_code failed;
      stream.handshake(asio::ssl::stream_base::server, failed);
      if (!failed) talk(stream, socket);
    } else {
      talk(socket, socket);
    }
    std::lock_guard lock(mutex);
    std::erase(open_sockets, fd);
    boost::system::error_code ignored;
    socket.close(ignored);
  }

  template <typename Stream>
  void talk(Stream& stream, tcp::socket& socket) {
    std::string buffer;
    for (;;) {
      boost::system::error_code failed;
      const auto length = asio::read_until(stream, asio::dynamic_buffer(buffer), "\r\n\r\n", failed);
      if (failed) return;
      auto seen = parse(buffer.substr(0, length));
      buffer.erase(0, length);
      const auto body_bytes = seen.header("content-length").empty() ? 0 : std::stoul(seen.header("content-length"));
      while (buffer.size() < body_bytes) {
        std::array<char, 4096> more;
        const auto got = stream.read_some(asio::buffer(more), failed);
        if (failed) return;
        buffer.append(more.data(), got);
      }
      seen.body = buffer.substr(0, body_bytes);
      buffer.erase(0, body_bytes);
      Script script;
      {
        std::lock_guard lock(fake.mutex_);
        fake.seen_.push_back(seen);
        script = fake.script_;
      }
      const auto reply = script ? script(seen) : Reply{};
      if (!answer(stream, socket, seen, reply)) return;
    }
  }

  /// False when the connection has ended.
  template <typename Stream>
  bool answer(Stream& stream, tcp::socket& socket, const Seen& seen, const Reply& reply) {
    if (reply.never) return wait_for_end();
    boost::system::error_code failed;
    if (!reply.raw.empty()) {
      asio::write(stream, asio::buffer(reply.raw), failed);
      return false;
    }
    std::string head = fmt::format("HTTP/1.1 {} {}\r\n", reply.status, http::reason(reply.status));
    bool has_length = reply.status == 204 || reply.status == 304;
    for (const auto& [name, value] : reply.headers) {
      has_length = has_length || iequals(name, "Content-Length") || iequals(name, "Transfer-Encoding");
      head += name + ": " + value + "\r\n";
    }
    if (!has_length) head += fmt::format("Content-Length: {}\r\n", reply.body.size());
    if (reply.close) head += "Connection: close\r\n";
    asio::write(stream, asio::buffer(head + "\r\n"), failed);
    if (failed || seen.method == "HEAD") return !failed && !reply.close;
    const auto end = std::min({reply.body.size(), reply.cut_after, reply.stall_after});
    constexpr std::size_t kPiece = 64 * 1024;
    for (std::size_t at = 0; at < end && !failed; at += kPiece) {
      // Counted first: whoever has received the last byte may look at the count at once.
      const auto piece = std::min(kPiece, end - at);
      fake.body_bytes_ += piece;
      asio::write(stream, asio::buffer(reply.body.data() + at, piece), failed);
    }
    if (failed) return false;
    if (end == reply.stall_after && end < reply.body.size()) return wait_for_end();
    if (end == reply.cut_after) {
      if (reply.reset) socket.set_option(asio::socket_base::linger(true, 0));
      return false;
    }
    return !reply.close;
  }

  bool wait_for_end() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return stopping; });
    return false;
  }

  static Seen parse(const std::string& head) {
    Seen seen;
    std::size_t at = 0;
    for (bool first = true; at < head.size(); first = false) {
      const auto end = head.find("\r\n", at);
      const auto line = head.substr(at, end - at);
      at = end + 2;
      if (first) {
        const auto space = line.find(' ');
        seen.method = line.substr(0, space);
        seen.target = line.substr(space + 1, line.rfind(' ') - space - 1);
      } else if (const auto colon = line.find(':'); colon != std::string::npos) {
        seen.headers[to_lower(line.substr(0, colon))] = std::string(trim(std::string_view(line).substr(colon + 1)));
      }
    }
    return seen;
  }

  FakeRegistry& fake;
  FakeTls tls;
  asio::io_context io;
  tcp::acceptor acceptor;
  std::unique_ptr<asio::ssl::context> context;
  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  std::vector<int> open_sockets;
  std::thread acceptor_thread;
  std::list<std::thread> threads;
};

FakeRegistry::FakeRegistry(Script script, FakeTls tls) : script_(std::move(script)), tls_(!tls.certificate.empty()) {
  server_ = std::make_unique<Server>(*this, std::move(tls));
}
FakeRegistry::~FakeRegistry() { server_.reset(); }

void FakeRegistry::script(Script script) {
  std::lock_guard lock(mutex_);
  script_ = std::move(script);
}
unsigned FakeRegistry::port() const { return port_; }
std::string FakeRegistry::host_port() const { return fmt::format("127.0.0.1:{}", port()); }
std::string FakeRegistry::url() const { return (tls_ ? "https://" : "http://") + host_port(); }

std::vector<Seen> FakeRegistry::seen() const {
  std::lock_guard lock(mutex_);
  return seen_;
}
std::size_t FakeRegistry::count(const std::string& path_prefix) const {
  std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(
      std::ranges::count_if(seen_, [&](const Seen& seen) { return seen.target.starts_with(path_prefix); }));
}

unsigned closed_port() {
  // Bound to the end and never listened on: a port that was given back may be another test's registry a moment later.
  static asio::io_context io;
  static std::vector<tcp::socket> bound;
  return bound.emplace_back(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)).local_endpoint().port();
}

std::string pattern(std::size_t bytes) {
  std::string text(bytes, '\0');
  std::uint32_t state = 1;
  for (auto& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

Reply ranged(const Seen& seen, const std::string& content) {
  const auto range = seen.header("range");
  if (range.empty()) return {.body = content};
  std::size_t first = 0;
  std::size_t last = content.size() - 1;
  const auto dash = range.find('-');
  std::from_chars(range.data() + 6, range.data() + dash, first);
  if (dash + 1 < range.size()) std::from_chars(range.data() + dash + 1, range.data() + range.size(), last);
  last = std::min(last, content.size() - 1);
  if (first >= content.size()) {
    return {.status = 416, .headers = {{"Content-Range", fmt::format("bytes */{}", content.size())}}};
  }
  return {.status = 206,
          .headers = {{"Content-Range", fmt::format("bytes {}-{}/{}", first, last, content.size())}},
          .body = content.substr(first, last - first + 1)};
}

}  // namespace oxbow::mirror::upstream::testing
