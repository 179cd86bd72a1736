#include "p2p/membership/etcd_registration.h"

#include "core/log.h"
#include "p2p/membership/etcd_json.h"

namespace oxbow::p2p {
namespace {

constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLastPause{4'000};
constexpr std::chrono::milliseconds kRevokeTimeout{1'000};

}  // namespace

EtcdRegistration::EtcdRegistration(const EtcdOptions& options, std::string key, std::string value, Events events)
    : options_(options),
      key_(std::move(key)),
      value_(std::move(value)),
      events_(std::move(events)),
      client_(options, &thread_),
      backoff_(kFirstPause, kLastPause),
      ttl_(options.lease_ttl) {}

void EtcdRegistration::put_again() {
  if (!put_again_.exchange(true)) thread_.wake();
}

void EtcdRegistration::run() {
  auto pause = std::chrono::milliseconds(0);
  do {
    const auto done = step();
    if (thread_.stopping()) break;
    if (done) {
      backoff_.reset();
      events_.on_well();
      pause = put_again_ ? std::chrono::milliseconds(0) : ttl_ / 3;
    } else {
      events_.on_failure(done.error());
      // Within the life of the lease, so that a short outage costs nothing.
      pause = std::min(backoff_.next(), ttl_ / 3);
    }
  } while (thread_.wait(pause));
  if (lease_ != 0) revoke();
}

Result<> EtcdRegistration::step() {
  if (put_again_.exchange(false)) written_ = false;
  if (lease_ != 0 && written_) {
    if (auto kept = keep_alive(); !kept || lease_ != 0) return kept;
  }
  if (lease_ == 0) {
    if (auto granted = grant(); !granted) return granted;
  }
  auto written = put();
  if (written) return written;
  // Whatever etcd's words for it are, the lease may be what is missing.
  if (lease_ != 0 && (!keep_alive() || lease_ != 0)) return written;
  if (auto granted = grant(); !granted) return granted;  // the lease was lost before its next keep-alive
  return put();
}

Result<> EtcdRegistration::grant() {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options_.lease_ttl).count();
  const auto answer = client_.call("/v3/lease/grant", etcd::grant_request(seconds));
  if (!answer) return std::unexpected(answer.error());
  const auto lease = etcd::parse_lease(*answer);
  if (!lease) return std::unexpected(lease.error());
  if (lease->ttl_seconds == 0) return fail(Errc::kUnavailable, "etcd grants a lease of no time");
  lease_ = lease->id;
  ttl_ = std::chrono::seconds(lease->ttl_seconds);
  written_ = false;
  return {};
}

Result<> EtcdRegistration::put() {
  const auto answer = client_.call("/v3/kv/put", etcd::put_request(key_, value_, lease_));
  if (answer) {
    written_ = true;
    return {};
  }
  // "requested lease not found"
  if (answer.error().code() == Errc::kNotFound) lose_lease();
  return std::unexpected(answer.error());
}

Result<> EtcdRegistration::keep_alive() {
  const auto answer = client_.call("/v3/lease/keepalive", etcd::lease_request(lease_));
  if (!answer && answer.error().code() != Errc::kNotFound) return std::unexpected(answer.error());
  if (answer) {
    const auto lease = etcd::parse_lease(*answer);
    if (!lease) return std::unexpected(lease.error());
    if (lease->ttl_seconds > 0) return {};
  }
  log::warn("the lease in etcd is lost; registering again", {{"key", key_}});
  lose_lease();
  return {};
}

void EtcdRegistration::lose_lease() {
  lease_ = 0;
  written_ = false;
  events_.on_lease_lost();
}

void EtcdRegistration::revoke() {
  const auto answer = client_.call("/v3/lease/revoke", etcd::lease_request(lease_),
                                   {.timeout = kRevokeTimeout, .finish_when_stopping = true});
  if (!answer) log::info("the lease in etcd could not be revoked; it will end by itself", {log::Field(answer.error())});
  lease_ = 0;
}

}  // namespace oxbow::p2p
