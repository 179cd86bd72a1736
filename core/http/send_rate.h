// How fast a socket takes what is written to it, and so how much the kernel is given to send before this side is woken
// again. Too little runs dry on a fast link; too much makes other streams wait, and is sent in vain when the receiver
// wants it no more: 256 KiB from each of fifteen peers are three seconds of a link of 10 Mbit/s.
// Thread rule: its connection's loop.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace oxbow::http {

class SendRate {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// A rate is of the bytes of so long, at least.
  static constexpr std::chrono::milliseconds kWindow{10};
  /// What waits unsent may take so long to leave, up to the usual backlog,
  static constexpr std::chrono::milliseconds kUsualTime{100};
  /// and so long beyond it.
  static constexpr std::chrono::milliseconds kFastTime{5};
  static constexpr std::size_t kLeastBytes = 32UL * 1024;  ///< two records of TLS

  void note(std::size_t bytes, Time now) noexcept {
    if (!since_) since_ = now;
    bytes_ += bytes;
    const std::chrono::duration<double> elapsed = now - *since_;
    if (elapsed < kWindow) return;
    rate_ = static_cast<double>(bytes_) / elapsed.count();
    bytes_ = 0;
    since_ = now;
  }
  /// There is nothing to send: the time until there is says nothing of the link.
  void pause() noexcept {
    bytes_ = 0;
    since_.reset();
  }

  /// A power of two, because each change is a system call; `usual` until a rate is known.
  std::size_t backlog(std::size_t usual, std::size_t most) const noexcept {
    if (!rate_) return usual;
    return std::max(std::clamp(in(kUsualTime), kLeastBytes, usual), std::min(in(kFastTime), most));
  }

 private:
  std::size_t in(std::chrono::duration<double> time) const noexcept {
    return std::bit_ceil(static_cast<std::size_t>(*rate_ * time.count()));
  }

  std::uint64_t bytes_ = 0;
  std::optional<Time> since_;
  std::optional<double> rate_;  // bytes a second
};

}  // namespace oxbow::http
