#include "tests/unit/p2p/membership_fake_server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/encoding.h"

namespace oxbow::p2p::test {

FakeServer::FakeServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(listener_, 64) != 0) std::abort();
  getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size);
  port_ = ntohs(at.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

void FakeServer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& one : connections_) ::shutdown(one.socket, SHUT_RDWR);
    changed_.notify_all();
  }
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (auto& one : connections_) {
    one.thread.join();
    ::close(one.socket);
  }
  ::close(listener_);
}

void FakeServer::accept_loop() {
  for (;;) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const std::lock_guard lock(mutex_);
    if (socket < 0 || stopping_) {
      if (socket >= 0) ::close(socket);
      return;
    }
    connections_.push_back({socket, std::thread([this, socket] {
                              serve(socket);
                              ::shutdown(socket, SHUT_RDWR);
                            })});
  }
}

void FakeServer::serve(int socket) {
  std::string input;
  char buffer[65536];
  for (;;) {
    if (const auto head = input.find("\r\n\r\n"); head != std::string::npos) {
      Request request;
      std::size_t length = 0;
      for (std::size_t at = 0; at < head;) {
        const auto end = input.find("\r\n", at);
        const auto line = input.substr(at, end - at);
        const auto colon = line.find(": ");
        const auto name = line.substr(0, colon);
        if (iequals(name, "content-length")) length = std::stoul(line.substr(colon + 2));
        if (iequals(name, "authorization")) request.authorization = line.substr(colon + 2);
        if (iequals(name, "content-type")) request.content_type = line.substr(colon + 2);
        at = end + 2;
      }
      if (input.size() >= head + 4 + length) {
        const auto space = input.find(' ');
        const auto target = input.substr(space + 1, input.find(' ', space + 1) - space - 1);
        request.method = input.substr(0, space);
        request.path = target.substr(0, target.find('?'));
        if (target.contains('?')) request.query = target.substr(target.find('?') + 1);
        request.body = input.substr(head + 4, length);
        input.erase(0, head + 4 + length);
        if (!take(socket, request)) return;
        continue;
      }
    }
    const auto got = ::recv(socket, buffer, sizeof buffer, 0);
    if (got <= 0) return;
    input.append(buffer, static_cast<std::size_t>(got));
  }
}

bool FakeServer::take(int socket, const Request& request) {
  {
    std::unique_lock lock(mutex_);
    ++calls_[call_of(request)];
    authorizations_.push_back(request.authorization);
    changed_.wait(lock, [&] { return !silent_ || stopping_; });
    if (stopping_) return false;
    if (away_) return send_all(socket, reply(503, "busy elsewhere"));
  }
  return answer(socket, request);
}

bool FakeServer::send_all(int socket, const std::string& text) {
  return ::send(socket, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::string FakeServer::reply(int status, const std::string& body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", status,
                     body.size(), body);
}

bool FakeServer::send_line(int socket, const std::string& line) {
  const auto text = line + "\n";
  const auto half = text.size() / 2;
  return send_all(socket, fmt::format("{:x}\r\n{}\r\n", half, text.substr(0, half))) &&
         send_all(socket, fmt::format("{:x}\r\n{}\r\n", text.size() - half, text.substr(half)));
}

bool FakeServer::wait_for_news(std::unique_lock<std::mutex>& lock, int socket) {
  changed_.wait_for(lock, std::chrono::milliseconds(20));
  char byte;
  return ::recv(socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 0;
}

void FakeServer::break_watches() {
  const std::lock_guard lock(mutex_);
  ++broken_;
  changed_.notify_all();
}
void FakeServer::go_away(bool away) {
  const std::lock_guard lock(mutex_);
  away_ = away;
  ++broken_;
  changed_.notify_all();
}
void FakeServer::fall_silent(bool silent) {
  const std::lock_guard lock(mutex_);
  silent_ = silent;
  ++broken_;
  changed_.notify_all();
}
void FakeServer::say_next_watch(const std::string& line) {
  const std::lock_guard lock(mutex_);
  next_line_ = line;
}
int FakeServer::calls(const std::string& what) {
  const std::lock_guard lock(mutex_);
  return calls_[what];
}
int FakeServer::watches() {
  const std::lock_guard lock(mutex_);
  return standing_;
}
std::vector<std::string> FakeServer::authorizations() {
  const std::lock_guard lock(mutex_);
  return authorizations_;
}

}  // namespace oxbow::p2p::test
