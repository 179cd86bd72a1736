// The messages of a preheat (docs/peer-protocol-images.md): a node is asked to fetch an image with its own rights.
// Thread rule: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/digest.h"
#include "core/error.h"

namespace oxbow::p2p {

inline constexpr std::size_t kMaxPreheatBytes = 8UL * 1024;
inline constexpr std::size_t kMaxPreheatId = 64;
inline constexpr std::size_t kMaxPreheatError = 400;  ///< written; what is not UTF-8 grows on the way

/// 1 to 64 of `a-z`, `0-9`, `-`: it stands in paths.
bool is_preheat_id(std::string_view text) noexcept;

/// POST /p2p/v1/preheat. No credential is in it, and the reference is a digest: all nodes get the same.
struct PreheatAsk {
  std::string id;
  std::string registry;
  std::string repository;
  Digest digest = Digest::sha256(std::string_view());
  std::string platform = {};  ///< `os/architecture[/variant]`, `all`; empty: the node's own

  bool operator==(const PreheatAsk&) const = default;
};

enum class PreheatState : std::uint8_t { kWaiting, kRunning, kDone, kFailed, kCancelled };
std::string_view to_string(PreheatState state) noexcept;
inline bool is_over(PreheatState state) noexcept { return state >= PreheatState::kDone; }

/// The answer to all three calls.
struct PreheatReport {
  std::string id;
  PreheatState state = PreheatState::kWaiting;
  std::uint64_t bytes_done = 0;   ///< of the image that are on the node's disk
  std::uint64_t bytes_total = 0;  ///< as far as its manifests have been read
  std::string error = {};         ///< with kFailed

  bool operator==(const PreheatReport&) const = default;
};

std::string to_json(const PreheatAsk& ask);
/// Errors: kInvalid, kUnsupported (the digest), kLimit.
Result<PreheatAsk> parse_preheat_ask(std::string_view json);
std::string to_json(const PreheatReport& report);
Result<PreheatReport> parse_preheat_report(std::string_view json);

}  // namespace oxbow::p2p
