// The last distinct warnings and errors, for GET /api/v1/errors: what went wrong, without reading the log. It keeps
// what log lines say, and those hold no credentials. Thread rule: any thread. Lifetime: listens to the log until it
// goes; one at a time in a process.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/log.h"

namespace oxbow::mirror {

class ErrorJournal {
 public:
  static constexpr std::size_t kMax = 64;
  /// Of one message with different fields: a registry that fails for a thousand blobs leaves the others in.
  static constexpr std::size_t kMaxOfOneMessage = 8;
  static constexpr std::size_t kMaxFields = 12;
  static constexpr std::size_t kMaxFieldBytes = 512;

  struct Entry {
    std::chrono::system_clock::time_point first, last;
    log::Level level = log::Level::kWarn;
    std::string message;
    std::vector<std::pair<std::string, std::string>> fields;
    std::uint64_t count = 0;
  };

  explicit ErrorJournal(const Clock& clock);
  ~ErrorJournal();
  ErrorJournal(const ErrorJournal&) = delete;
  ErrorJournal& operator=(const ErrorJournal&) = delete;

  void note(log::Level level, std::string_view message, std::span<const log::Field> fields);
  /// The one that came last first.
  std::vector<Entry> entries() const;

 private:
  void make_room(std::string_view message);

  const Clock& clock_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  ///< as `entries`
};

}  // namespace oxbow::mirror
