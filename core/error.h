// Errors are values. `Result<T>` is what every fallible function returns; `Error` carries a code that callers branch on
// and a sentence for people, to which each caller adds its context on the way up.
// Thread rule: plain values. Exceptions are caught where libraries throw them and become an `Error` there.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace oxbow {

/// What callers branch on. Keep it short: a new code needs a caller that acts on it.
enum class Errc {
  kInvalid,       ///< the input is malformed
  kNotFound,      ///< there is no such thing
  kUnauthorized,  ///< credentials are missing or were refused
  kDenied,        ///< known and forbidden (filters, private addresses)
  kOutOfRange,    ///< a range outside the thing it addresses
  kUnsupported,   ///< well-formed, and not something we do
  kUnavailable,   ///< the other side is down, or answers 5xx
  kThrottled,     ///< the other side says 429
  kTimeout,       ///< no progress within the limit
  kCorrupt,       ///< bytes that do not match their digest or checksum
  kNoSpace,       ///< disk or budget is full
  kIo,            ///< the disk or a socket failed
  kLimit,         ///< one of our own limits was hit
  kBusy,          ///< somebody else is doing it
  kCancelled,     ///< given up by its owner
};

std::string_view to_string(Errc code) noexcept;

class Error {
 public:
  Error(Errc code, std::string what) : code_(code), what_(std::move(what)) {}

  Errc code() const noexcept { return code_; }
  const std::string& what() const noexcept { return what_; }

  /// Adds where it happened: `return std::unexpected(std::move(e).in("pull sha256:…"))`.
  Error in(std::string_view context) && {
    what_.insert(0, std::string(context) + ": ");
    return std::move(*this);
  }
  Error in(std::string_view context) const& { return Error(*this).in(context); }

 private:
  Errc code_;
  std::string what_;
};

template <typename T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Errc code, std::string what) {
  return std::unexpected(Error(code, std::move(what)));
}

/// From errno, with what was being done: kNoSpace for ENOSPC, EDQUOT and EROFS (nothing can be written), kNotFound for
/// ENOENT, kDenied for EACCES and EPERM, else kIo.
Error errno_error(int error_number, std::string_view doing);

/// A broken invariant ends the process, in release builds too: a wrong byte is worse than a restart.
[[noreturn]] void invariant_failed(const char* expression, const char* file, int line) noexcept;
#define OXBOW_INVARIANT(expression) \
  ((expression) ? static_cast<void>(0) : ::oxbow::invariant_failed(#expression, __FILE__, __LINE__))

}  // namespace oxbow
