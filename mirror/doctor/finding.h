// What `oxbow doctor` says: one finding a line, in groups. Thread rule: plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace oxbow::mirror::doctor {

enum class Level : std::uint8_t {
  kOk,
  kSkipped,  ///< could not be looked at, or does not apply
  kWarn,     ///< it works, and something should be changed
  kFail,     ///< something does not work
};
std::string_view to_string(Level level) noexcept;

struct Finding {
  Level level = Level::kOk;
  std::string id;       ///< stable, for programs: "certificates.expired"
  std::string text;     ///< one line
  std::string meaning;  ///< what it means for pulls; of kWarn and kFail
  std::string fix;      ///< what to do: a command or a line of the configuration; of kWarn and kFail
};

/// The findings of one group, as its check adds them. What other machines said may be in them: control characters,
/// which a terminal would obey, become question marks.
class Findings {
 public:
  void ok(std::string id, std::string text);
  void skipped(std::string id, std::string text);
  void warn(std::string id, std::string text, std::string meaning, std::string fix);
  void fail(std::string id, std::string text, std::string meaning, std::string fix);

  const std::vector<Finding>& all() const noexcept { return all_; }
  bool empty() const noexcept { return all_.empty(); }

 private:
  void add(Level level, std::string id, std::string text, std::string meaning, std::string fix);

  std::vector<Finding> all_;
};

struct Group {
  std::string name;
  std::vector<Finding> findings;
};

std::size_t count(const std::vector<Group>& groups, Level level);

/// "40 s", "12 min", "5 h", "3 days"; of the absolute value.
std::string human_time(std::chrono::seconds time);
/// "a, b, c and 7 more"
std::string joined(const std::vector<std::string>& words, std::size_t at_most = 6);

}  // namespace oxbow::mirror::doctor
