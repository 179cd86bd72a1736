#include "support.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <condition_variable>
#include <thread>

#include "core/encoding.h"

namespace oxbow::http::test {
namespace {
constexpr int kPatienceMs = 30'000;  // only a failing test waits so long
constexpr std::chrono::milliseconds kPatience{kPatienceMs};
}  // namespace

Task<Response> Routes::handle(Request request) {
  ++calls_;
  const auto it = functions_.find(request.path);
  if (it == functions_.end()) co_return Response::text(404, "text/plain", "no such route");
  co_return it->second(request);
}

void FedBody::Control::feed(Piece piece) {
  {
    const std::scoped_lock lock(mutex);
    pieces.push_back(std::move(piece));
  }
  wake_later();
}

void FedBody::Control::wake_later() {
  if (loops == nullptr) return;
  for (std::size_t i = 0; i < loops->size(); ++i) {
    asio::post(loops->at(i), [control = shared_from_this()] {
      std::unique_lock lock(control->mutex);
      if (control->thread != std::this_thread::get_id() || control->body == nullptr || !control->body->wake_) return;
      auto wake = std::exchange(control->body->wake_, nullptr);
      control->waited = false;
      lock.unlock();
      wake();
    });
  }
}

void FedBody::Control::feed(std::string text) {
  auto owned = std::make_shared<const std::string>(std::move(text));
  feed(Piece(MemoryPiece{*owned, owned}));
}

bool FedBody::Control::wait_until_waiting() {
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, kPatience, [&] { return waited; });
}

bool FedBody::Control::wait_until_destroyed() {
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, kPatience, [&] { return destroyed; });
}

std::size_t FedBody::Control::pulled() {
  const std::scoped_lock lock(mutex);
  return pulled_bytes;
}

FedBody::~FedBody() {
  const std::scoped_lock lock(control_->mutex);
  control_->body = nullptr;
  control_->destroyed = true;
  control_->changed.notify_all();
}

Piece FedBody::next(std::size_t) {
  const std::scoped_lock lock(control_->mutex);
  control_->body = this;
  control_->thread = std::this_thread::get_id();
  if (control_->pieces.empty()) return Wait{};
  auto piece = std::move(control_->pieces.front());
  control_->pieces.pop_front();
  if (const auto* memory = std::get_if<MemoryPiece>(&piece)) control_->pulled_bytes += memory->bytes.size();
  return piece;
}

void FedBody::on_ready(std::move_only_function<void()> wake) {
  const std::scoped_lock lock(control_->mutex);
  wake_ = std::move(wake);
  control_->waited = true;
  control_->changed.notify_all();
  // What was fed between next() and here has woken nobody.
  if (!control_->pieces.empty()) control_->wake_later();
}

TestFile::TestFile(std::size_t bytes, unsigned seed) {
  const int raw = ::memfd_create("oxbow-test", MFD_CLOEXEC);
  content.resize(bytes);
  std::uint32_t state = seed * 2654435761U + 1;
  for (char& c : content) {
    state = state * 1664525U + 1013904223U;
    c = static_cast<char>(state >> 24);
  }
  EXPECT_EQ(::pwrite(raw, content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
  fd = std::shared_ptr<const int>(new int(raw), [](const int* owned) {
    ::close(*owned);
    delete owned;
  });
}

Piece FileBody::next(std::size_t max_bytes) {
  if (left_ == 0) return End{};
  const auto length = std::min<std::uint64_t>(left_, max_bytes);
  FilePiece piece{*fd_, offset_, static_cast<std::size_t>(length), fd_};
  offset_ += length;
  left_ -= length;
  return piece;
}

Response file_response(const TestFile& file) {
  Response response;
  response.content_length = file.content.size();
  response.body = std::make_unique<FileBody>(file.fd, 0, file.content.size());
  return response;
}

TestServer::TestServer(Handler& handler, ServerConfig config) {
  if (config.name.empty()) config.name = "test";
  if (config.listen.empty()) config.listen = {"127.0.0.1:0"};
  auto created = Server::create(std::move(config), loops, handler, metrics);
  if (!created) {
    ADD_FAILURE() << created.error().what();
    std::abort();
  }
  server = std::move(*created);
  loops.start();
  server->start();
}

TestServer::~TestServer() {
  server->drain(std::chrono::milliseconds(0));
  server.reset();
}

std::uint16_t TestServer::port() const {
  const auto address = server->addresses().front();
  return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

double TestServer::metric(const std::string& line_start) {
  const auto text = render_metrics(metrics);
  const auto at = text.find("\n" + line_start);
  if (at == std::string::npos) return -1;
  return std::stod(text.substr(text.find("} ", at) + 2));
}

double TestServer::limit_hits(const std::string& limit) {
  return metric("oxbow_limit_hits_total{limit=\"" + limit + "\"}");
}

bool TestServer::wait_for_connections(std::size_t count) const {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (server->connections() != count) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

std::string RawResponse::header(std::string_view name) const {
  std::size_t at = head.find("\r\n");
  while (at != std::string::npos && at + 2 < head.size()) {
    const auto end = head.find("\r\n", at + 2);
    const auto line = std::string_view(head).substr(at + 2, end - at - 2);
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && iequals(line.substr(0, colon), name)) {
      return std::string(trim(line.substr(colon + 1)));
    }
    at = end;
  }
  return "";
}

RawClient::RawClient(std::uint16_t port, int receive_buffer_bytes, const char* host) {
  sockaddr_storage storage{};
  socklen_t length = 0;
  if (std::string_view(host).find(':') != std::string_view::npos) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    ::inet_pton(AF_INET6, host, &v6.sin6_addr);
    length = sizeof v6;
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    ::inet_pton(AF_INET, host, &v4.sin_addr);
    length = sizeof v4;
  }
  fd_ = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer_bytes > 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
  }
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval patience{kPatienceMs / 1000, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&storage), length), 0);
}

RawClient::~RawClient() { close(); }

void RawClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void RawClient::half_close() { ::shutdown(fd_, SHUT_WR); }

void RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // what the server answered is what the test looks at
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

bool RawClient::fill() {
  std::array<char, 65536> chunk;
  const auto got = ::recv(fd_, chunk.data(), chunk.size(), 0);
  if (got <= 0) return false;
  buffer_.append(chunk.data(), static_cast<std::size_t>(got));
  return true;
}

std::string RawClient::exactly(std::size_t bytes) {
  while (buffer_.size() < bytes && fill()) {
  }
  auto out = buffer_.substr(0, bytes);
  buffer_.erase(0, out.size());
  return out;
}

RawResponse RawClient::response(bool no_body) {
  RawResponse out;
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return out;
  }
  out.head = exactly(end + 4);
  std::from_chars(out.head.data() + 9, out.head.data() + 12, out.status);
  if (no_body) return out;
  if (const auto length = out.header("content-length"); !length.empty()) {
    out.body = exactly(std::stoull(length));
  } else if (iequals(out.header("transfer-encoding"), "chunked")) {
    for (;;) {
      while ((end = buffer_.find("\r\n")) == std::string::npos) {
        if (!fill()) return out;
      }
      const auto size = std::stoull(exactly(end + 2), nullptr, 16);
      out.body += exactly(size);
      exactly(2);
      if (size == 0) break;
    }
  }
  return out;
}

std::pair<std::string, RawClient::Ending> RawClient::rest() {
  std::string all = std::exchange(buffer_, {});
  std::array<char, 65536> chunk;
  for (;;) {
    const auto got = ::recv(fd_, chunk.data(), chunk.size(), 0);
    if (got > 0) {
      all.append(chunk.data(), static_cast<std::size_t>(got));
      continue;
    }
    if (got == 0) return {all, Ending::kEof};
    return {all, errno == ECONNRESET ? Ending::kReset : Ending::kTimeout};
  }
}

std::string get(std::string_view path, std::string_view more_headers) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" + std::string(more_headers) + "\r\n";
}

}  // namespace oxbow::http::test
