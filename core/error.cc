#include "core/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace oxbow {

std::string_view to_string(Errc code) noexcept {
  switch (code) {
    case Errc::kInvalid:
      return "invalid";
    case Errc::kNotFound:
      return "not found";
    case Errc::kUnauthorized:
      return "unauthorized";
    case Errc::kDenied:
      return "denied";
    case Errc::kOutOfRange:
      return "out of range";
    case Errc::kUnsupported:
      return "unsupported";
    case Errc::kUnavailable:
      return "unavailable";
    case Errc::kThrottled:
      return "throttled";
    case Errc::kTimeout:
      return "timeout";
    case Errc::kCorrupt:
      return "corrupt";
    case Errc::kNoSpace:
      return "no space";
    case Errc::kIo:
      return "io";
    case Errc::kLimit:
      return "limit";
    case Errc::kBusy:
      return "busy";
    case Errc::kCancelled:
      return "cancelled";
  }
  std::abort();
}

Error errno_error(int error_number, std::string_view doing) {
  const auto code = [&] {
    switch (error_number) {
      case ENOSPC:
      case EDQUOT:
      case EROFS:
        return Errc::kNoSpace;
      case ENOENT:
        return Errc::kNotFound;
      case EACCES:
      case EPERM:
        return Errc::kDenied;
      default:
        return Errc::kIo;
    }
  }();
  return Error(code, std::string(doing) + ": " + std::generic_category().message(error_number));
}

void invariant_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "oxbow: broken invariant: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace oxbow
