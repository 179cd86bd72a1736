// All checks in their order, within a bounded time: what hangs (a name server, a credential helper) costs its own group
// and no other. Thread rule: `examine` from main; the checks run on a thread of its own, which is left behind when the
// time is over. Then the process must end without destroying what that thread uses (`finished` is false).
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "config/loader.h"
#include "mirror/doctor/finding.h"
#include "mirror/doctor/subject.h"

namespace oxbow::mirror::doctor {

inline constexpr std::chrono::milliseconds kWholeTime{15'000};

struct Request {
  config::LoadResult loaded;
  std::string file;            ///< of the configuration; empty: none
  std::set<std::string> only;  ///< groups; empty: all
  Options options;
  std::shared_ptr<const System> system;
  Progress progress;  ///< told what is being looked at, from the other thread; may be empty
  std::chrono::milliseconds whole_time = kWholeTime;
};

struct Diagnosis {
  std::vector<Group> groups;
  bool finished = true;
};

Diagnosis examine(Request request);

/// In the order in which they are shown.
const std::vector<std::string>& group_names();

}  // namespace oxbow::mirror::doctor
