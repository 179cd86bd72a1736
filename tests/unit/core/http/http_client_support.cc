#include "http_client_support.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace oxbow::http::test {
namespace {

constexpr int kPatienceMs = 30'000;  // only a failing test waits so long

}  // namespace

void RecordingSink::on_head(int code, const Headers& fields) {
  ++heads;
  status = code;
  headers = fields;
  if (at_head) at_head();
}

std::size_t RecordingSink::on_data(std::span<const std::byte> bytes) {
  const auto taken = take ? take(bytes.size()) : bytes.size();
  body.append(reinterpret_cast<const char*>(bytes.data()), taken);
  if (at_data) at_data();
  return taken;
}

void RecordingSink::on_done(Result<> result) {
  ++dones;
  outcome = std::move(result);
  if (at_done) at_done();
}

Errc RecordingSink::error() const { return outcome ? Errc::kNoSpace : outcome.error().code(); }

bool ClientLoop::until(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    loop.restart();
    loop.run_one_for(std::chrono::milliseconds(20));
  }
  return true;
}

void ClientLoop::settle() {
  loop.restart();
  loop.poll();
}

std::shared_ptr<ClientConnection> ClientLoop::connect(std::uint16_t port, std::shared_ptr<ClientTls> tls,
                                                      std::string expected_name, ClientOptions options) {
  return ClientConnection::create(loop, {"127.0.0.1", port, std::move(expected_name), std::move(tls)}, options);
}

ClientRequest get_request(std::string path) {
  return {.method = Method::kGet, .path = std::move(path), .headers = {}, .body = {}};
}

ClientTlsConfig client_files(const Certificates& certificates, const std::string& name) {
  return {certificates.file("ca.pem"), certificates.file(name + ".pem"), certificates.file(name + ".key")};
}

void ScriptedServer::Peer::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string ScriptedServer::Peer::exactly(std::size_t bytes) {
  std::string out(bytes, '\0');
  std::size_t have = 0;
  while (have < bytes) {
    pollfd wait{fd_, POLLIN, 0};
    if (::poll(&wait, 1, kPatienceMs) <= 0) return "";
    const auto got = ::recv(fd_, out.data() + have, bytes - have, 0);
    if (got <= 0) return "";
    have += static_cast<std::size_t>(got);
  }
  return out;
}

ScriptedServer::Peer::Frame ScriptedServer::Peer::read_frame() {
  if (!std::exchange(preface_, true) && exactly(24).empty()) return {};
  const auto head = exactly(9);
  if (head.empty()) return {};
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(head[i])); };
  const auto length = byte(0) << 16U | byte(1) << 8U | byte(2);
  Frame out{static_cast<std::uint8_t>(byte(3)), static_cast<std::uint8_t>(byte(4)),
            byte(5) << 24U | byte(6) << 16U | byte(7) << 8U | byte(8), ""};
  if (length > 0) out.payload = exactly(length);
  return out;
}

std::uint32_t ScriptedServer::Peer::read_request() {
  for (;;) {
    const auto got = read_frame();
    if (got.type == kHeaders) return got.stream;
    if (got.type == 0xff) return 0;
  }
}

void ScriptedServer::Peer::wait_for_end() {
  while (read_frame().type != 0xff) {
  }
}

ScriptedServer::ScriptedServer(std::vector<Script> scripts) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ::bind(listener_, reinterpret_cast<sockaddr*>(&address), length);
  ::listen(listener_, 16);
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this, scripts = std::move(scripts)] {
    for (const auto& script : scripts) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      ++accepted_;
      Peer peer(fd);
      script(peer);
      ::close(fd);
    }
  });
}

ScriptedServer::~ScriptedServer() {
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  ::close(listener_);
}

std::string u32(std::uint32_t value) {
  return {static_cast<char>(value >> 24U), static_cast<char>(value >> 16U), static_cast<char>(value >> 8U),
          static_cast<char>(value)};
}

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
  auto out = u32(static_cast<std::uint32_t>(payload.size())).substr(1);
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  out += u32(stream);
  out += payload;
  return out;
}

std::string settings_frame() { return frame(kSettings, 0, 0, ""); }

std::string ok_head(std::uint32_t stream, bool end) {
  return frame(kHeaders, static_cast<std::uint8_t>(kEndHeaders | (end ? kEndStream : 0)), stream,
               "\x88");  // HPACK: the static table's ":status: 200"
}

std::string goaway_frame(std::uint32_t last_stream, std::uint32_t code) {
  return frame(kGoaway, 0, 0, u32(last_stream) + u32(code));
}

}  // namespace oxbow::http::test
