// One blob from the local mirror: its bytes are hashed and thrown away, because they are to be in the mirror's cache
// and not here. A body that is cut short goes on by Range where it stopped. Thread rule: one thread. Lifetime: runner
// and options outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/sha.h"
#include "mirror/operator/http_runner.h"
#include "registry-api/challenge.h"
#include "registry-api/image_walk.h"

namespace oxbow::mirror {

/// Where the bytes of a blob came from, as the mirror says. What adds up to less than the blob is not known.
struct SourceBytes {
  std::uint64_t storage = 0;
  std::uint64_t peer = 0;
  std::uint64_t upstream = 0;
  std::uint64_t total() const noexcept { return storage + peer + upstream; }
  SourceBytes& operator+=(const SourceBytes& other) noexcept;
};

/// What an answer's `Oxbow-Source` says of all of its `bytes`.
std::optional<SourceBytes> sources_of(const http::Headers& headers, std::uint64_t bytes);

/// From an answer that is none, with what the mirror says of it: kUnauthorized, kDenied, kNotFound, else kUnavailable.
Error mirror_error(int status, std::string_view body);

class BlobDownload {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Options {
    std::function<HttpAsk(const registry_api::ImageBlob&)> ask;  ///< with what gives the right to it
    std::chrono::milliseconds retry_after{250};                  ///< doubling
    int tries = 6;                                               ///< in a row without a byte
  };

  BlobDownload(registry_api::ImageBlob blob, const Options& options, HttpRunner& http);

  const registry_api::ImageBlob& blob() const noexcept { return blob_; }
  /// Errors when it has ended badly: kCorrupt (other bytes than the digest's), kNotFound, kDenied, kUnavailable,
  /// kTimeout.
  const std::optional<Result<>>& outcome() const noexcept { return outcome_; }
  bool running() const noexcept { return exchange_ != nullptr; }
  bool due(Time now) const noexcept { return !outcome_ && !running() && now >= not_before_; }
  Time not_before() const noexcept { return not_before_; }
  void begin(Time now);
  /// After an answer of 401, which ends the try: the challenges. Whoever takes them says whether to try again.
  std::optional<std::vector<registry_api::Challenge>> take_refusal();
  /// What the last try sent, and whether it was served.
  const std::string& authorization() const noexcept { return authorization_; }
  bool accepted() const noexcept { return accepted_; }
  void refused();

  std::uint64_t received() const noexcept { return hasher_.bytes(); }
  std::optional<std::uint64_t> size() const noexcept { return size_; }
  std::uint32_t resumed() const noexcept { return resumed_; }
  std::optional<Time> started() const noexcept { return started_; }
  Time ended() const noexcept { return ended_; }
  /// The mirror's word that all that came is from one source.
  std::optional<SourceBytes> whole_source() const;
  std::optional<SourceBytes> sources;  ///< kept here by who asks the daemon

 private:
  bool on_head(const HttpHead& head);
  bool on_data(std::span<const std::byte> bytes);
  void on_done(Result<> outcome);
  void end(Result<> outcome);
  void try_again(Error why);

  const registry_api::ImageBlob blob_;
  const Options& options_;
  HttpRunner& http_;
  Hasher hasher_;
  std::optional<std::uint64_t> size_;
  std::unique_ptr<HttpExchange> exchange_;
  std::unique_ptr<HttpExchange> ended_exchange_;
  std::optional<Result<>> outcome_;
  std::optional<Error> verdict_;  ///< of the answer under way: final
  std::optional<Error> trouble_;  ///< of the answer under way: worth another try
  std::optional<std::vector<registry_api::Challenge>> refusal_;
  std::string authorization_;
  bool accepted_ = false;
  int error_status_ = 0;
  std::string error_body_;
  std::uint64_t skip_ = 0;  ///< an answer that ignores Range begins with bytes that are here
  std::uint64_t received_before_ = 0;
  int fruitless_ = 0;
  std::uint32_t resumed_ = 0;
  http::Headers first_head_;
  Time not_before_{};
  std::optional<Time> started_;
  Time ended_{};
};

}  // namespace oxbow::mirror
