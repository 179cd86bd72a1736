// One end of a TLS connection whose socket and events are the test's.
#include "core/http/transport.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "core/http/tls_context.h"
#include "tls_support.h"

namespace oxbow::http::test {
namespace {

/// A client that writes what it has to say when it is told to, in one piece.
class SlowWriter {
 public:
  explicit SlowWriter(int fd) : fd_(fd), context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_.get());
  }
  ~SlowWriter() { ::close(fd_); }
  SlowWriter(const SlowWriter&) = delete;
  SlowWriter& operator=(const SlowWriter&) = delete;

  bool handshake() {
    std::array<char, 16'384> bytes;
    const auto got = ::recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(got));
    return SSL_do_handshake(ssl_.get()) == 1;
  }
  void say(std::string_view text) { SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())); }
  void send() {
    std::array<char, 16'384> bytes;
    const int length = BIO_read(SSL_get_wbio(ssl_.get()), bytes.data(), bytes.size());
    ASSERT_GT(length, 0);
    ASSERT_EQ(::send(fd_, bytes.data(), static_cast<std::size_t>(length), MSG_NOSIGNAL), length);
  }

 private:
  int fd_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
};

// The last words of the handshake and the first request come between two looks of epoll: the event that was told before
// is "writable" alone, the handshake reads both, and no event tells of the request again.
TEST(Transport, WhatTheHandshakeReadAheadIsReadable) {
  Certificates certificates;
  auto context = TlsContext::create(certificates.server());
  ASSERT_TRUE(context);
  std::array<int, 2> ends;
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
  Transport transport(ends[0], (*context)->new_session(std::chrono::steady_clock::now()));
  SlowWriter client(ends[1]);
  EXPECT_FALSE(client.handshake());
  client.send();
  transport.note_events(EPOLLIN | EPOLLOUT);
  ASSERT_EQ(transport.handshake(), Io::kBlocked);
  EXPECT_FALSE(transport.readable());

  ASSERT_TRUE(client.handshake());
  client.say("GET / HTTP/1.1\r\n");
  client.send();
  transport.note_events(EPOLLOUT);
  ASSERT_EQ(transport.handshake(), Io::kDone);
  ASSERT_TRUE(transport.readable());
  std::array<char, 64> bytes;
  const auto got = transport.read(bytes);
  EXPECT_EQ(got.status, Io::kDone);
  EXPECT_EQ(std::string_view(bytes.data(), got.bytes), "GET / HTTP/1.1\r\n");
  EXPECT_EQ(transport.read(bytes).status, Io::kBlocked);
  EXPECT_FALSE(transport.readable());
}

}  // namespace
}  // namespace oxbow::http::test
