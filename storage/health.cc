#include "storage/health.h"

#include "core/log.h"

namespace oxbow::storage {

DiskHealth::DiskHealth(std::string directory, MetricsRegistry& metrics)
    : directory_(std::move(directory)),
      errors_(counter_family(metrics, "oxbow_storage_errors_total", "Disk errors, by what failed")),
      read_errors_(errors_.Add({{"op", "read"}})),
      write_errors_(errors_.Add({{"op", "write"}})),
      writable_gauge_(gauge_family(metrics, "oxbow_storage_writable", "1 while the disk takes writes").Add({})) {
  writable_gauge_.Set(1);
}

Error DiskHealth::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void DiskHealth::write_failed(const Error& error) {
  write_errors_.Increment();
  {
    const std::lock_guard lock(mutex_);
    // Callers branch on two codes only: full (or not ours to write), and broken.
    error_ = Error(error.code() == Errc::kNoSpace || error.code() == Errc::kDenied ? Errc::kNoSpace : Errc::kIo,
                   error.what());
  }
  if (!writable_.exchange(false)) return;
  writable_gauge_.Set(0);
  log::error("storage cannot be written; serving what it has", {{"directory", directory_}, log::Field(error)});
}

void DiskHealth::read_failed(const Error& error) {
  read_errors_.Increment();
  log::error("storage read failed", {{"directory", directory_}, log::Field(error)});
}

void DiskHealth::recovered() {
  if (writable_.exchange(true)) return;
  writable_gauge_.Set(1);
  log::info("storage can be written again", {{"directory", directory_}});
}

}  // namespace oxbow::storage
