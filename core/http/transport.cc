#include "core/http/transport.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/http/tls_bio.h"
#include "core/http/tls_peer.h"

namespace oxbow::http {
namespace {

/// Below this a file part travels with its neighbours in one sendmsg; above, sendfile saves the copy.
constexpr std::size_t kSendfileMinBytes = 32UL * 1024;
constexpr std::size_t kIovMax = 64;
constexpr std::size_t kRecordBytes = 16UL * 1024;

bool is_gone(int error_number) noexcept {
  return error_number == EPIPE || error_number == ECONNRESET || error_number == ENOTCONN || error_number == ETIMEDOUT ||
         error_number == ECONNABORTED || error_number == EHOSTUNREACH || error_number == ENETUNREACH ||
         error_number == EBADF;
}

/// All of `length` bytes, or false: a file that is shorter than promised is as bad as one that cannot be read.
bool read_fully(int fd, std::uint64_t offset, char* into, std::size_t length) noexcept {
  while (length > 0) {
    const ssize_t got = ::pread(fd, into, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    into += got;
    offset += static_cast<std::uint64_t>(got);
    length -= static_cast<std::size_t>(got);
  }
  return true;
}

}  // namespace

Transport::Transport(int fd, SSL* ssl) : fd_(fd), ssl_(ssl) {
  if (ssl_ != nullptr) attach_socket_bio(ssl_, *this);
}

Transport::~Transport() { close(); }

void Transport::close() noexcept {
  if (ssl_ != nullptr) SSL_free(ssl_);
  ssl_ = nullptr;
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Transport::note_events(std::uint32_t events) noexcept {
  if ((events & EPOLLIN) != 0) readable_ = true;
  if ((events & EPOLLOUT) != 0) writable_ = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    hung_up_ = true;
    readable_ = true;
    writable_ = true;
  }
}

int Transport::socket_write(const char* bytes, int length) {
  const bool more = plain_left_ > kRecordBytes;
  const auto sent = ::send(fd_, bytes, static_cast<std::size_t>(length), MSG_NOSIGNAL | (more ? MSG_MORE : 0));
  if (sent < 0 && errno == EAGAIN) writable_ = false;
  if (sent == length) plain_left_ -= std::min(plain_left_, kRecordBytes);
  return static_cast<int>(sent);
}

int Transport::socket_read(char* into, int length) {
  const auto got = ::recv(fd_, into, static_cast<std::size_t>(length), 0);
  if (got < 0 && errno == EAGAIN) readable_ = false;
  return static_cast<int>(got);
}

Io Transport::tls_status(int result) {
  const int error = SSL_get_error(ssl_, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return Io::kBlocked;
  // After a fatal error OpenSSL forbids further calls on the session, SSL_shutdown too.
  if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL) tls_broken_ = true;
  if (error == SSL_ERROR_SSL) tls_reason_ = ERR_GET_REASON(ERR_peek_error());
  return Io::kClosed;
}

Io Transport::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result != 1) return tls_status(result);
  // The handshake reads whether or not an event told of input. What it has read beyond its own end is in OpenSSL's
  // buffer now, and no event will tell of it.
  readable_ = true;
  return Io::kDone;
}

std::string_view Transport::alpn() const {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_, &name, &length);
  return {reinterpret_cast<const char*>(name), length};
}

std::optional<std::string> Transport::peer_name() const {
  return ssl_ != nullptr ? http::peer_name(ssl_) : std::nullopt;
}

std::optional<std::string> Transport::peer_serial() const {
  return ssl_ != nullptr ? http::peer_serial(ssl_) : std::nullopt;
}

Transfer Transport::read(std::span<char> into) {
  if (ssl_ != nullptr) {
    ERR_clear_error();
    const int got = SSL_read(ssl_, into.data(), static_cast<int>(into.size()));
    if (got > 0) return {Io::kDone, static_cast<std::size_t>(got)};
    return {tls_status(got), 0};
  }
  for (;;) {
    const auto got = ::recv(fd_, into.data(), into.size(), 0);
    if (got > 0) {
      // A short read has emptied a stream socket (epoll(7)), unless the end of input is still to be read.
      if (static_cast<std::size_t>(got) < into.size() && !hung_up_) readable_ = false;
      return {Io::kDone, static_cast<std::size_t>(got)};
    }
    if (got == 0) return {Io::kClosed, 0};
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return {Io::kClosed, 0};
    readable_ = false;
    return {Io::kBlocked, 0};
  }
}

Transfer Transport::flush(OutQueue& out, std::size_t budget, std::span<char> scratch) {
  return ssl_ != nullptr ? flush_tls(out, budget, scratch) : flush_plain(out, budget, scratch);
}

Transfer Transport::flush_plain(OutQueue& out, std::size_t budget, std::span<char> scratch) {
  std::size_t sent = 0;
  while (!out.empty() && sent < budget) {
    const auto& first = out.segment(0);
    const Io status = first.is_file() && (first.length >= kSendfileMinBytes || out.segments() == 1)
                          ? send_file(out, budget - sent, sent)
                          : send_gathered(out, budget - sent, scratch, sent);
    if (status != Io::kDone) return {status, sent};
  }
  return {Io::kDone, sent};
}

Io Transport::send_file(OutQueue& out, std::size_t budget, std::size_t& sent) {
  const auto& segment = out.segment(0);
  auto offset = static_cast<off_t>(segment.offset);
  const auto got = ::sendfile(fd_, segment.fd, &offset, std::min(segment.length, budget));
  if (got > 0) {
    // Short does not mean full: sendfile may be interrupted, so only EAGAIN ends the turn.
    out.consume(static_cast<std::size_t>(got));
    sent += static_cast<std::size_t>(got);
    return Io::kDone;
  }
  if (got == 0) return Io::kFileFailed;
  if (errno == EINTR) return Io::kDone;
  if (errno == EAGAIN) {
    writable_ = false;
    return Io::kBlocked;
  }
  return is_gone(errno) ? Io::kClosed : Io::kFileFailed;
}

Io Transport::send_gathered(OutQueue& out, std::size_t budget, std::span<char> scratch, std::size_t& sent) {
  std::array<iovec, kIovMax> parts;
  std::size_t count = 0;
  std::size_t total = 0;
  std::size_t scratch_used = 0;
  bool more = false;
  for (std::size_t i = 0; i < out.segments() && count < parts.size() && total < budget; ++i) {
    const auto& segment = out.segment(i);
    const auto length = std::min(segment.length, budget - total);
    if (!segment.is_file()) {
      parts[count++] = {const_cast<char*>(segment.memory().data()), length};
    } else {
      more = segment.length >= kSendfileMinBytes;
      if (more || length > scratch.size() - scratch_used) break;
      if (!read_fully(segment.fd, segment.offset, scratch.data() + scratch_used, length)) {
        if (count == 0) return Io::kFileFailed;
        break;
      }
      parts[count++] = {scratch.data() + scratch_used, length};
      scratch_used += length;
    }
    total += length;
  }
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = count;
  const auto got = ::sendmsg(fd_, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
  if (got < 0) {
    if (errno == EINTR) return Io::kDone;
    if (errno != EAGAIN) return Io::kClosed;
    writable_ = false;
    return Io::kBlocked;
  }
  out.consume(static_cast<std::size_t>(got));
  sent += static_cast<std::size_t>(got);
  if (static_cast<std::size_t>(got) == total) return Io::kDone;
  writable_ = false;
  return Io::kBlocked;
}

Transfer Transport::flush_tls(OutQueue& out, std::size_t budget, std::span<char> scratch) {
  std::size_t sent = 0;
  while (!out.empty() && sent < budget) {
    const auto& first = out.segment(0);
    const char* bytes = scratch.data();
    std::size_t length = 0;
    if (!first.is_file() && (first.length >= scratch.size() || out.segments() == 1)) {
      bytes = first.memory().data();
      length = first.length;
    } else {
      for (std::size_t i = 0; i < out.segments() && length < scratch.size(); ++i) {
        const auto& segment = out.segment(i);
        const auto part = std::min(segment.length, scratch.size() - length);
        if (!segment.is_file()) {
          segment.memory().copy(scratch.data() + length, part);
        } else if (!read_fully(segment.fd, segment.offset, scratch.data() + length, part)) {
          break;
        }
        length += part;
      }
      if (length == 0) return {Io::kFileFailed, sent};
    }
    // A partial write returns after each record: what was gathered once is written to its end. A repeated SSL_write
    // must offer at least what the blocked one did: the queue only grows at its end, so it does.
    std::size_t done = 0;
    int wrote = 1;
    ERR_clear_error();
    plain_left_ = length;
    while (done < length && wrote > 0) {
      wrote = SSL_write(ssl_, bytes + done, static_cast<int>(length - done));
      if (wrote > 0) done += static_cast<std::size_t>(wrote);
    }
    plain_left_ = 0;
    out.consume(done);
    sent += done;
    if (wrote <= 0) return {tls_status(wrote), sent};
  }
  return {Io::kDone, sent};
}

void Transport::set_unsent_limit(std::size_t bytes) noexcept {
  if (bytes == unsent_limit_) return;
  unsent_limit_ = bytes;
  const auto limit = static_cast<int>(std::min<std::size_t>(bytes, 1UL << 30));
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &limit, sizeof limit);
}

void Transport::finish_writing() {
  if (ssl_ != nullptr && !tls_broken_ && SSL_is_init_finished(ssl_)) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
  }
  ::shutdown(fd_, SHUT_WR);
}

Io Transport::discard(std::span<char> scratch) {
  // Below TLS: what arrives is not looked at any more.
  constexpr int kReadsMax = 16;
  for (int i = 0; i < kReadsMax; ++i) {
    const auto got = ::recv(fd_, scratch.data(), scratch.size(), 0);
    if (got > 0) continue;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      readable_ = false;
      return Io::kBlocked;
    }
    return Io::kClosed;
  }
  return Io::kDone;
}

}  // namespace oxbow::http
