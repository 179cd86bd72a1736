// The upstream client: what the rest of the mirror sees of it.
//
// `Registry` is one configured registry: its URLs, credentials, tokens, limits and remembered redirect locations,
// shared by all loops. An exchange runs on the one loop whose `CurlLoop` it was started with, and every callback comes
// there.
//
// What it does inside, so that no caller has to: token flow for kAnonymous and kNode; several URLs in order with a
// circuit breaker each; redirects without credentials across hosts, and reuse of the location they led to; waiting out
// a 429 while the head's deadline allows; limits on connections and bandwidth; no-progress timeout. What it does not:
// resume a blob body. Who streams a span asks again for what is missing.
//
// Errors (of `on_done` and `get`): kUnavailable (no URL could be reached, circuit open, body cut short, token service
// down), kTimeout (no progress, or no head in time), kThrottled (429 beyond the head's deadline; `retry_after` says how
// long), kLimit (a limit of ours; queue or body), kDenied (private address, forbidden redirect), kCorrupt (not HTTP),
// kInvalid (bad request), kCancelled (the CurlLoop was closed). Final HTTP statuses are answers, not errors, except
// 429.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/http/headers.h"
#include "core/metrics.h"
#include "core/task.h"
#include "mirror/upstream/config.h"

namespace oxbow::mirror::upstream {

class CurlLoop;  // curl_loop.h

/// With whose rights a request goes upstream.
enum class IdentityKind : std::uint8_t { kAnonymous, kClient, kNode };
struct Identity {
  IdentityKind kind = IdentityKind::kAnonymous;
  /// kClient: the client's own `Authorization` value, sent verbatim to the registry and never to another host.
  std::string authorization;
};

/// `last` is inclusive; without it the range is open-ended (`bytes=first-`).
struct ByteRange {
  std::uint64_t first = 0;
  std::optional<std::uint64_t> last;
};

struct FetchRequest {
  http::Method method = http::Method::kGet;  // GET or HEAD
  /// For the token's scope, `repository:<repository>:pull`; empty for `/v2/`.
  std::string repository;
  /// "/v2/<repository>/blobs/<digest>", percent-encoded as it goes on the wire; the URL's own prefix is put in front.
  std::string path;
  /// Without '?'.
  std::string query;
  /// Accept and the like. Authorization, Host, Range and Accept-Encoding here are ignored.
  http::Headers headers;
  std::optional<ByteRange> range;
  Identity identity;
  FetchClass fetch_class = FetchClass::kPull;
  /// From start to the head of the final answer, with waiting, tokens and redirects in it. Bodies have no total
  /// deadline.
  std::chrono::milliseconds head_timeout{30'000};
  /// The last URL that is asked may take longer, until this time after the start, for whoever can make use of a late
  /// answer. Less than `head_timeout`: no longer.
  std::chrono::milliseconds late_timeout{0};
  /// For `Registry::get` alone.
  std::size_t max_body_bytes = std::size_t{8} << 20;
};

struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::optional<std::uint64_t> total;
};

struct Head {
  int status = 0;
  http::Headers headers;
  /// `scheme://host[:port]` that answered in the end: the registry, or where it sent us.
  std::string origin;
  bool redirected = false;
  std::optional<std::uint64_t> content_length;
  /// Of a 206 with a well-formed Content-Range.
  std::optional<ContentRange> content_range;
};

/// Receives one exchange. Callbacks come on the transfer's loop and never from inside `start` or `resume`. Any of them
/// may destroy the Transfer; none is called afterwards.
class Observer {
 public:
  virtual ~Observer() = default;
  /// Once, before any data, for whatever final status.
  virtual void on_head(const Head& head) = 0;
  /// Takes a prefix of `bytes` (at most 64 KiB a call, mostly 16) and returns its length. Taking less than everything
  /// pauses the transfer until `resume`; the rest is kept and offered again.
  virtual std::size_t on_data(std::span<const std::byte> bytes) = 0;
  /// Exactly once unless the Transfer is destroyed before.
  virtual void on_done(Result<> result) = 0;
};

/// A running exchange. Thread rule: its loop alone. Destroying it cancels at once: the connection is closed, the slot
/// is free.
class Transfer {
 public:
  virtual ~Transfer() = default;
  /// Goes on after a short `on_data`. Harmless when nothing is paused.
  virtual void resume() = 0;
};

struct WholeResponse {
  Head head;
  std::string body;
};

/// What a Registry needs from its surroundings; all of it outlives every Registry and every exchange.
struct Services {
  Clock& clock;
  WorkPool& pool;  ///< credential files and helper programs; joined before the loops are destroyed
  MetricsRegistry& metrics;
  std::string version;  ///< for `User-Agent: oxbow/<version>`
};

/// How one URL of a registry is, for people.
struct UrlHealth {
  enum class Circuit : std::uint8_t { kClosed, kHalfOpen, kOpen };
  std::string url;  ///< without what may be secret in it
  Circuit circuit = Circuit::kClosed;
  std::string last_error;  ///< empty: the last exchange was an answer
};

/// Thread rule: all methods from any thread, `start` and `get` from the CurlLoop's loop. Exchanges that run when it is
/// destroyed go on to their end. Lifetime: `Services` outlives it.
class Registry {
 public:
  /// Errors: kInvalid for a URL that is none.
  static Result<std::unique_ptr<Registry>> create(UpstreamConfig config, Services services);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  const std::string& name() const noexcept;

  /// Streams one exchange to `observer`, which outlives the Transfer.
  std::unique_ptr<Transfer> start(CurlLoop& loop, FetchRequest request, Observer& observer);

  /// Collects one exchange; a body that was cut short is asked for again. Errors: also kLimit beyond `max_body_bytes`.
  Task<Result<WholeResponse>> get(CurlLoop& loop, FetchRequest request);

  /// How long the registry wants to be left alone (429), when every URL does.
  std::optional<std::chrono::milliseconds> retry_after() const;

  /// Its URLs in the order of preference.
  std::vector<UrlHealth> health() const;

  struct Shared;

 private:
  explicit Registry(std::shared_ptr<Shared> shared);
  std::shared_ptr<Shared> shared_;
};

}  // namespace oxbow::mirror::upstream
