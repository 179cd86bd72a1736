// What the tests of the HTTP/2 client share: a loop driven by the test, sinks that remember, and a server made of a
// script that writes frames by hand.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/http/client.h"
#include "support.h"
#include "tls_support.h"

namespace oxbow::http::test {

/// Remembers what it was told; takes what `take` says (all, when it is empty).
class RecordingSink final : public ClientSink {
 public:
  void on_head(int code, const Headers& fields) override;
  std::size_t on_data(std::span<const std::byte> bytes) override;
  void on_done(Result<> result) override;
  Errc error() const;

  std::function<std::size_t(std::size_t)> take;
  std::function<void()> at_head, at_data, at_done;
  int heads = 0;
  int status = 0;
  Headers headers;
  std::string body;
  int dones = 0;
  Result<> outcome;
};

/// A loop, run by the test's thread.
class ClientLoop {
 public:
  /// False after 30 s.
  bool until(const std::function<bool()>& done);
  /// Runs what is ready now.
  void settle();
  std::shared_ptr<ClientConnection> connect(std::uint16_t port, std::shared_ptr<ClientTls> tls = nullptr,
                                            std::string expected_name = "", ClientOptions options = {});

  Loop loop{1};
};

ClientRequest get_request(std::string path);
ClientTlsConfig client_files(const Certificates& certificates, const std::string& name);

/// Accepts connections and runs the next script on each, in a thread of its own. Scripts end before the server does.
class ScriptedServer {
 public:
  /// A blocking connection. Reads end with "" when the client left.
  class Peer {
   public:
    explicit Peer(int fd) : fd_(fd) {}
    void send(std::string_view bytes);
    /// The client's preface and everything up to the first HEADERS frame; its stream id.
    std::uint32_t read_request();
    /// Until the client has left.
    void wait_for_end();
    struct Frame {
      std::uint8_t type = 0xff;  ///< 0xff: the client left
      std::uint8_t flags = 0;
      std::uint32_t stream = 0;
      std::string payload;
    };
    Frame read_frame();

   private:
    std::string exactly(std::size_t bytes);
    int fd_;
    bool preface_ = false;
  };
  using Script = std::function<void(Peer&)>;

  explicit ScriptedServer(std::vector<Script> scripts);
  ~ScriptedServer();
  std::uint16_t port() const { return port_; }
  int accepted() const { return accepted_; }

 private:
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> accepted_{0};
  std::thread thread_;
};

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload);
std::string settings_frame();
/// Status 200, no other field.
std::string ok_head(std::uint32_t stream, bool end = false);
std::string goaway_frame(std::uint32_t last_stream, std::uint32_t code);
std::string u32(std::uint32_t value);

constexpr std::uint8_t kData = 0, kHeaders = 1, kRst = 3, kSettings = 4, kPing = 6, kGoaway = 7, kWindowUpdate = 8;
constexpr std::uint8_t kEndStream = 1, kEndHeaders = 4;

}  // namespace oxbow::http::test
