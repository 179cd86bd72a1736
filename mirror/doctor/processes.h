// Who listens where, and what /proc says of a process. Thread rule: pure functions of the system's files.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mirror/doctor/subject.h"

namespace oxbow::mirror::doctor {

/// Fills `use` of each: /proc/net/tcp and tcp6 for the socket, /proc/*/fd for its holders.
void look_who_listens(const System& system, std::vector<AskedPort>& ports);

/// A process of this name that this user may see, if there is exactly one with `argument` on its command line.
std::optional<int> only_process(const System& system, std::string_view name, std::string_view argument);

/// Of /proc/PID/limits: "Max open files"; nothing: not there. Unlimited is the largest number.
std::optional<std::uint64_t> soft_limit(std::string_view limits, std::string_view name);
/// The first number of a line "Uid:   998 998 …" of /proc/PID/status.
std::optional<std::uint64_t> status_number(std::string_view status, std::string_view name);

/// As which user and group the daemon runs, or will: of the process; else of
/// the socket that it answers at; else of User= in its systemd unit; else this user.
struct DaemonUser {
  uid_t user = 0;
  gid_t group = 0;
  std::string name;  ///< as it is written in commands
};
DaemonUser daemon_user(const Subject& subject);

/// What the permission bits say; root may do everything. `bit`: 4 read, 2 write, 1 enter.
bool may(const DaemonUser& user, const FileFacts& file, unsigned bit);

}  // namespace oxbow::mirror::doctor
