#include "mirror/upstream/credentials.h"

#include "core/log.h"
#include "mirror/upstream/credential_files.h"
#include "mirror/upstream/credential_programs.h"
#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {

Credentials::Credentials(CredentialSource source, Clock& clock, WorkPool& pool)
    : source_(std::move(source)), clock_(clock), pool_(pool) {}

std::optional<Credentials::Found> Credentials::cached(const CredentialQuery& query) {
  for (const auto& key : {query.url, query.url + " " + query.repository}) {
    const auto* entry = answers_.find(key);
    if (entry != nullptr && clock_.steady() < entry->until) return entry->credential;
  }
  return std::nullopt;
}

Task<Result<Credentials::Found>> Credentials::find(CredentialQuery query, SteadyTime until) {
  if (!any()) co_return Found();
  const auto key = query.url + " " + query.repository;
  std::shared_ptr<Flight<Result<Found>>> flight;
  bool first = false;
  {
    std::lock_guard lock(mutex_);
    if (auto held = cached(query)) co_return std::move(*held);
    auto& running = flights_[key];
    first = running == nullptr;
    if (first) running = std::make_shared<Flight<Result<Found>>>();
    flight = running;
  }
  if (first) {
    // On the pool alone: it finishes whatever becomes of who asked.
    pool_.submit([self = shared_from_this(), query, key, flight] {
      auto answer = read_credential(self->source_, query);
      std::unique_lock lock(self->mutex_);
      self->flights_.erase(key);
      if (answer && answer->valid_for.count() > 0) {
        const bool by_host = answer->scope == CredentialAnswer::Scope::kHost;
        self->answers_.put(by_host ? query.url : key, {answer->credential, self->clock_.steady() + answer->valid_for});
      }
      lock.unlock();
      if (!answer) log::warn("no credential", {{"url", printable_url(query.url)}, log::Field(answer.error())});
      flight->finish(answer ? Result<Found>(std::move(answer->credential))
                            : Result<Found>(std::unexpected(std::move(answer).error())));
    });
  }
  auto found = co_await flight->wait(until);
  co_return found ? std::move(*found) : fail(Errc::kTimeout, "no answer in time");
}

void Credentials::forget(const CredentialQuery& query) {
  std::lock_guard lock(mutex_);
  answers_.erase(query.url);
  answers_.erase(query.url + " " + query.repository);
}

Result<CredentialAnswer> read_credential(const CredentialSource& source, const CredentialQuery& query) {
  struct Read {
    const CredentialQuery& query;
    Result<CredentialAnswer> operator()(const std::monostate&) const { return CredentialAnswer{}; }
    Result<CredentialAnswer> operator()(const DockerConfigSource& from) const {
      return from_docker_config(from, query);
    }
    Result<CredentialAnswer> operator()(const HelperSource& from) const { return from_helper(from.name, query); }
    Result<CredentialAnswer> operator()(const KubeletProviderSource& from) const { return from_kubelet(from, query); }
    Result<CredentialAnswer> operator()(const PasswordFileSource& from) const { return from_password_file(from); }
  };
  return std::visit(Read{query}, source);
}

}  // namespace oxbow::mirror::upstream
