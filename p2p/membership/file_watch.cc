#include "p2p/membership/file_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

namespace oxbow::p2p {
namespace {

// Not IN_MODIFY: a file is read when its writer has closed it, not while it writes.
constexpr std::uint32_t kEvents =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

std::filesystem::path directory_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

}  // namespace

FileWatch::FileWatch(std::filesystem::path file)
    : file_(std::move(file)), fd_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {}

FileWatch::~FileWatch() {
  if (fd_ >= 0) ::close(fd_);
}

void FileWatch::rearm() {
  if (fd_ < 0) return;
  char events[4096];
  while (::read(fd_, events, sizeof events) > 0) {
  }
  std::set<int> now;
  const auto add = [&](const std::filesystem::path& directory) {
    // The same directory gives the same watch; one that does not exist is tried again at the next turn.
    if (const int watch = inotify_add_watch(fd_, directory.c_str(), kEvents); watch >= 0) now.insert(watch);
  };
  add(directory_of(file_));
  std::error_code code;
  if (const auto real = std::filesystem::canonical(file_, code); !code) add(directory_of(real));
  for (const int watch : watches_) {
    if (!now.contains(watch)) inotify_rm_watch(fd_, watch);
  }
  watches_ = std::move(now);
}

}  // namespace oxbow::p2p
