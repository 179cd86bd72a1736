// Bridges the moment in which a store has lost its members although they live: when this node finds itself gone from
// it, the others are likely gone for the same reason, and all of them are about to register again. For one lease's time
// nobody is taken out of the view.
// Thread rule: any thread.
#pragma once

#include <chrono>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "p2p/member.h"

namespace oxbow::p2p {

class ViewHold {
 public:
  using Time = std::chrono::steady_clock::time_point;

  void begin(Time until);
  /// `members` and, while it holds, who else was there.
  std::vector<Member> merge(std::vector<Member> members, Time now);
  /// True once when a hold has ended: the view may still have members that are gone.
  bool take_end(Time now);

 private:
  std::mutex mutex_;
  bool holding_ = false;
  Time until_{};
  std::vector<Member> last_;
};

}  // namespace oxbow::p2p
