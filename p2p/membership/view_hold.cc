#include "p2p/membership/view_hold.h"

namespace oxbow::p2p {

void ViewHold::begin(Time until) {
  const std::lock_guard lock(mutex_);
  holding_ = true;
  until_ = until;
}

std::vector<Member> ViewHold::merge(std::vector<Member> members, Time now) {
  const std::lock_guard lock(mutex_);
  if (holding_ && now < until_) {
    std::set<std::string> there;
    for (const auto& member : members) there.insert(member.name);
    for (auto& member : last_) {
      if (!there.contains(member.name)) members.push_back(std::move(member));
    }
  }
  last_ = members;
  return members;
}

bool ViewHold::take_end(Time now) {
  const std::lock_guard lock(mutex_);
  if (!holding_ || now < until_) return false;
  holding_ = false;
  return true;
}

}  // namespace oxbow::p2p
