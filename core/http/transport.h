// One non-blocking socket, plain or TLS, with the readiness that edge-triggered epoll has reported. It writes straight
// with system calls: header and body in one sendmsg, files by sendfile on plain sockets, by pread and SSL_write on TLS.
// Thread rule: the connection's loop. Lifetime: owns the descriptor and the SSL object.
#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/http/out_queue.h"

namespace oxbow::http {

enum class Io {
  kDone,        ///< all of it, or as much as the budget allowed
  kBlocked,     ///< goes on when epoll says so
  kClosed,      ///< the peer is gone, or the connection is broken
  kFileFailed,  ///< a file range could not be read: the response must be cut
};

struct Transfer {
  Io status = Io::kDone;
  std::size_t bytes = 0;
};

class Transport {
 public:
  /// `ssl` null: plaintext. Takes both.
  Transport(int fd, SSL* ssl);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  int fd() const noexcept { return fd_; }
  bool secure() const noexcept { return ssl_ != nullptr; }

  /// From epoll: EPOLLIN, EPOLLOUT, EPOLLRDHUP, …
  void note_events(std::uint32_t events) noexcept;
  bool readable() const noexcept { return readable_; }
  bool writable() const noexcept { return writable_; }
  /// The peer will send nothing more (it closed, half-closed or reset).
  bool hung_up() const noexcept { return hung_up_; }

  /// As the end that the SSL object was made for.
  Io handshake();
  /// OpenSSL's reason (SSL_R_…) for a TLS connection that broke; 0 when it was not TLS that failed.
  int tls_reason() const noexcept { return tls_reason_; }
  SSL* ssl() const noexcept { return ssl_; }
  /// After the handshake: "h2", "http/1.1" or empty.
  std::string_view alpn() const;
  /// Of the other end's certificate (tls_peer.h).
  std::optional<std::string> peer_name() const;
  std::optional<std::string> peer_serial() const;

  /// Reads what is there, at most `into.size()`. kClosed at the end of input.
  Transfer read(std::span<char> into);
  /// Writes from `out` until it is empty, the socket is full or `budget` bytes are out. `scratch` is free memory of at
  /// least 64 KiB, used within the call only.
  Transfer flush(OutQueue& out, std::size_t budget, std::span<char> scratch);
  /// TCP_NOTSENT_LOWAT: how much unsent data the kernel takes. A system call only when it changes.
  void set_unsent_limit(std::size_t bytes) noexcept;
  /// Says that nothing more comes: close_notify where possible, then FIN.
  void finish_writing();
  /// Throws away what can be read now: before close(), which sends RST when input is unread.
  Io discard(std::span<char> scratch);
  /// Closes the descriptor; nothing may be called afterwards.
  void close() noexcept;

  /// For the BIO: whether the record being written is followed by more of the same SSL_write.
  int socket_write(const char* bytes, int length);
  int socket_read(char* into, int length);

 private:
  std::size_t unsent_limit_ = 0;

  Transfer flush_plain(OutQueue& out, std::size_t budget, std::span<char> scratch);
  Transfer flush_tls(OutQueue& out, std::size_t budget, std::span<char> scratch);
  Io send_gathered(OutQueue& out, std::size_t budget, std::span<char> scratch, std::size_t& sent);
  Io send_file(OutQueue& out, std::size_t budget, std::size_t& sent);
  Io tls_status(int result);

  int fd_;
  SSL* ssl_;
  std::size_t plain_left_ = 0;  // of the current SSL_write, for MSG_MORE between its records
  bool readable_ = false;
  bool writable_ = true;
  bool hung_up_ = false;
  bool tls_broken_ = false;
  int tls_reason_ = 0;
};

}  // namespace oxbow::http
