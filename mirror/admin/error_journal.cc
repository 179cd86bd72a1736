#include "mirror/admin/error_journal.h"

#include <algorithm>
#include <iterator>

namespace oxbow::mirror {
namespace {

std::string cut(std::string_view text) {
  return text.size() <= ErrorJournal::kMaxFieldBytes ? std::string(text)
                                                     : std::string(text.substr(0, ErrorJournal::kMaxFieldBytes)) + "…";
}

}  // namespace

ErrorJournal::ErrorJournal(const Clock& clock) : clock_(clock) {
  log::set_listener([this](log::Level level, std::string_view message, std::span<const log::Field> fields) {
    note(level, message, fields);
  });
}

ErrorJournal::~ErrorJournal() { log::set_listener({}); }

void ErrorJournal::note(log::Level level, std::string_view message, std::span<const log::Field> fields) {
  Entry entry{.first = clock_.wall(), .last = {}, .level = level, .message = cut(message), .fields = {}, .count = 1};
  for (const auto& field : fields.first(std::min(fields.size(), kMaxFields)))
    entry.fields.emplace_back(field.key, cut(field.value));
  const std::lock_guard lock(mutex_);
  const auto same = std::ranges::find_if(entries_, [&](const Entry& known) {
    return known.level == level && known.message == entry.message && known.fields == entry.fields;
  });
  entry.last = entry.first;
  if (same != entries_.end()) {
    entry.first = same->first;
    entry.count = same->count + 1;
    entries_.erase(same);
  } else {
    make_room(entry.message);
  }
  entries_.push_front(std::move(entry));
}

void ErrorJournal::make_room(std::string_view message) {
  const auto is_same = [&](const Entry& known) { return known.message == message; };
  if (static_cast<std::size_t>(std::ranges::count_if(entries_, is_same)) >= kMaxOfOneMessage) {
    const auto oldest = std::find_if(entries_.rbegin(), entries_.rend(), is_same);
    entries_.erase(std::next(oldest).base());
  } else if (entries_.size() >= kMax) {
    entries_.pop_back();
  }
}

std::vector<ErrorJournal::Entry> ErrorJournal::entries() const {
  const std::lock_guard lock(mutex_);
  return {entries_.begin(), entries_.end()};
}

}  // namespace oxbow::mirror
