#include "p2p/membership/view_publisher.h"

#include "core/log.h"

namespace oxbow::p2p {
namespace {

constexpr std::string_view kSize = "size";
constexpr std::size_t kMaxWarnings = 16;  // of one trouble, each with another text

Counter& provider_counter(MetricsRegistry& metrics, const char* name, const char* help, const std::string& provider) {
  return counter_family(metrics, name, help).Add({{"provider", provider}});
}

bool before(const Member& a, const Member& b) { return std::tie(a.name, a.addresses) < std::tie(b.name, b.addresses); }

}  // namespace

ViewPublisher::ViewPublisher(std::string provider, MetricsRegistry& metrics)
    : provider_(std::move(provider)),
      updates_(
          provider_counter(metrics, "oxbow_membership_updates_total", "Views of the cluster that differed", provider_)),
      errors_(
          provider_counter(metrics, "oxbow_membership_errors_total", "Times the source of members failed", provider_)),
      too_large_(limit_counter(metrics, "membership_members")),
      last_update_seconds_(gauge_family(metrics, "oxbow_membership_last_update_seconds",
                                        "When the source of members was last read, in seconds since 1970")
                               .Add({{"provider", provider_}})) {}

void ViewPublisher::publish(std::vector<Member> members) {
  if (members.size() > kMaxMembers) {
    failed(kSize, Error(Errc::kLimit, fmt::format("more than {} members", kMaxMembers)));
    return;
  }
  well(kSize);
  last_update_seconds_.Set(std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  std::ranges::sort(members, before);
  if (last_ && *last_ == members) return;
  updates_.Increment();
  log::info("membership changed", {{"provider", provider_},
                                   {"members", members.size()},
                                   {"before", last_ ? fmt::to_string(last_->size()) : "unknown"}});
  last_ = members;
  if (on_view_) on_view_(MembershipView{std::move(members)});
}

void ViewPublisher::well(std::string_view part) {
  const std::lock_guard lock(mutex_);
  const auto found = troubles_.find(part);
  if (found == troubles_.end()) return;
  troubles_.erase(found);
  log::info("membership source works again", {{"provider", provider_}, {"part", part}});
}

void ViewPublisher::failed(std::string_view part, const Error& error) {
  errors_.Increment();
  if (error.code() == Errc::kLimit) too_large_.Increment();
  const std::lock_guard lock(mutex_);
  auto& trouble = troubles_[std::string(part)];
  trouble.text = error.what();
  if (trouble.warned.size() >= kMaxWarnings || !trouble.warned.insert(error.what()).second) return;
  log::warn("membership source fails; the last view is kept",
            {{"provider", provider_}, {"part", part}, log::Field(error)});
}

std::string ViewPublisher::trouble() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [part, one] : troubles_) {
    if (!out.empty()) out += "; ";
    out += part + ": " + one.text;
  }
  return out;
}

}  // namespace oxbow::p2p
