// A SpanSource in memory that can fail, stall, lie and ignore ranges: what the fetching code is tested against.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "mirror/span_source.h"

namespace oxbow::mirror {

/// Deterministic bytes without repetition at stripe boundaries.
inline std::string pattern(std::size_t size, std::uint64_t seed = 1) {
  std::string out(size, '\0');
  std::uint64_t x = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (auto& c : out) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    c = static_cast<char>(x);
  }
  return out;
}

class FakeSource final : public SpanSource {
 public:
  explicit FakeSource(std::string content) : content_(std::move(content)) {}

  // What goes wrong; each for the next request that it fits.
  void fail_next(Errc code, std::size_t after_bytes = 0) {
    const std::lock_guard lock(mutex_);
    failures_.push_back({code, after_bytes});
  }
  void fail_always(Errc code) { fail_always_ = static_cast<int>(code); }
  void heal() { fail_always_ = -1; }
  void expire() { expires_ = true; }  ///< its credential does: kUnauthorized says nothing of its reader
  bool refusal_counts(Errc code) const override {
    return code == Errc::kDenied || (code == Errc::kUnauthorized && !expires_);
  }
  void ignore_ranges() { ignores_ranges_ = true; }
  void corrupt_byte(std::size_t at) { content_[at] = static_cast<char>(content_[at] ^ 1); }
  void hold() { held_ = true; }                                  ///< requests give nothing until `release`
  void hold_after(std::uint64_t bytes) { hold_after_ = bytes; }  ///< of each request, until `release`
  void release() {
    held_ = false;
    hold_after_ = ~0ULL;
  }

  std::uint64_t bytes_given() const { return bytes_given_; }
  int requests() const { return requests_; }
  std::vector<ByteRange> ranges() const {
    const std::lock_guard lock(mutex_);
    return ranges_;
  }

  std::unique_ptr<SpanRequest> request(Loop& loop, ByteRange range, SpanSink& sink) override;

 private:
  friend class FakeRequest;
  struct Failure {
    Errc code;
    std::size_t after_bytes;
  };

  std::string content_;
  mutable std::mutex mutex_;
  std::deque<Failure> failures_;
  std::vector<ByteRange> ranges_;
  std::atomic<int> fail_always_ = -1;
  std::atomic<bool> ignores_ranges_ = false;
  std::atomic<bool> expires_ = false;
  std::atomic<bool> held_ = false;
  std::atomic<std::uint64_t> hold_after_ = ~0ULL;
  std::atomic<std::uint64_t> bytes_given_ = 0;
  std::atomic<int> requests_ = 0;
};

}  // namespace oxbow::mirror
