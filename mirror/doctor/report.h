// What `oxbow doctor` prints. Thread rule: pure functions.
#pragma once

#include <string>
#include <vector>

#include "mirror/doctor/finding.h"

namespace oxbow::mirror::doctor {

struct ReportStyle {
  bool colour = false;
  bool as_root = true;  ///< else the page ends with what sudo would show
  std::size_t width = 100;
};

std::string report_text(const std::vector<Group>& groups, const ReportStyle& style);
/// {"healthy", "failed", "warnings", "skipped", "groups": [{"name", "findings": [{"level", "id", "text", "meaning",
/// "fix"}]}]}; meaning and fix are null where there are none.
std::string report_json(const std::vector<Group>& groups);

}  // namespace oxbow::mirror::doctor
