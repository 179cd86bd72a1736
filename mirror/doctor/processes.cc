#include "mirror/doctor/processes.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <sstream>

namespace oxbow::mirror::doctor {
namespace {

constexpr const char* kListening = "0A";  // TCP_LISTEN
constexpr std::string_view kUnits[] = {"/etc/systemd/system/oxbow.service", "/usr/lib/systemd/system/oxbow.service",
                                       "/lib/systemd/system/oxbow.service"};

using Bytes = std::vector<unsigned char>;

struct Socket {
  Bytes address;
  unsigned port = 0;
  uid_t owner = 0;
  std::string inode;
};

/// "0100007F:13BA": words of the address in the machine's own byte order.
bool parse_end(std::string_view text, Socket& out) {
  const auto colon = text.find(':');
  if (colon != 8 && colon != 32) return false;
  for (std::size_t i = 0; i < colon; i += 8) {
    std::uint32_t word = 0;
    if (std::from_chars(text.data() + i, text.data() + i + 8, word, 16).ec != std::errc()) return false;
    std::array<unsigned char, 4> bytes{};
    std::memcpy(bytes.data(), &word, 4);
    out.address.insert(out.address.end(), bytes.begin(), bytes.end());
  }
  return std::from_chars(text.data() + colon + 1, text.data() + text.size(), out.port, 16).ec == std::errc();
}

void read_sockets(const System& system, const char* path, std::vector<Socket>& out) {
  const auto text = system.read(path);
  if (!text) return;
  std::istringstream lines(*text);
  std::string line;
  std::getline(lines, line);  // the head
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::vector<std::string> fields;
    for (std::string word; words >> word;) fields.push_back(std::move(word));
    Socket socket;
    if (fields.size() < 10 || fields[3] != kListening || !parse_end(fields[1], socket)) continue;
    socket.owner = static_cast<uid_t>(std::strtoul(fields[7].c_str(), nullptr, 10));
    socket.inode = fields[9];
    out.push_back(std::move(socket));
  }
}

bool is_any(const Bytes& address) {
  return std::ranges::all_of(address, [](unsigned char c) { return c == 0; });
}

std::optional<Socket> parse_address(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  auto host = address.substr(0, colon);
  Socket out;
  const auto* end = address.data() + address.size();
  if (std::from_chars(address.data() + colon + 1, end, out.port).ptr != end) return std::nullopt;
  const bool is_v6 = host.starts_with('[') && host.ends_with(']');
  if (is_v6) host = host.substr(1, host.size() - 2);
  out.address.resize(is_v6 ? 16 : 4);
  if (::inet_pton(is_v6 ? AF_INET6 : AF_INET, host.c_str(), out.address.data()) != 1) return std::nullopt;
  return out;
}

/// Whether two listeners would be in each other's way.
bool collide(const Socket& a, const Socket& b) {
  return a.port == b.port && a.address.size() == b.address.size() &&
         (a.address == b.address || is_any(a.address) || is_any(b.address));
}

bool is_pid(const std::string& name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

std::string process_name(const System& system, const std::string& pid) {
  auto name = system.read("/proc/" + pid + "/comm").value_or("");
  while (name.ends_with('\n')) name.pop_back();
  return name;
}

}  // namespace

void look_who_listens(const System& system, std::vector<AskedPort>& ports) {
  std::vector<Socket> sockets;
  read_sockets(system, "/proc/net/tcp", sockets);
  read_sockets(system, "/proc/net/tcp6", sockets);
  std::map<std::string, std::vector<AskedPort*>> by_link;
  for (auto& port : ports) {
    const auto wanted = parse_address(port.address);
    if (!wanted) continue;
    for (const auto& socket : sockets) {
      if (!collide(*wanted, socket)) continue;
      port.use.listening = true;
      port.use.owner = socket.owner;
      by_link["socket:[" + socket.inode + "]"].push_back(&port);
    }
  }
  if (by_link.empty()) return;
  for (const auto& pid : system.list("/proc")) {
    if (!is_pid(pid)) continue;
    const auto folder = "/proc/" + pid + "/fd";
    for (const auto& fd : system.list(folder)) {
      const auto found = by_link.find(system.link(folder + "/" + fd));
      if (found == by_link.end()) continue;
      for (auto* port : found->second) {
        const Holder holder{std::stoi(pid), process_name(system, pid)};
        if (std::ranges::find(port->use.holders, holder.pid, &Holder::pid) == port->use.holders.end())
          port->use.holders.push_back(holder);
      }
    }
  }
}

std::optional<int> only_process(const System& system, std::string_view name, std::string_view argument) {
  std::optional<int> out;
  for (const auto& pid : system.list("/proc")) {
    if (!is_pid(pid) || process_name(system, pid) != name) continue;
    const auto line = system.read("/proc/" + pid + "/cmdline").value_or("");
    if (!line.contains(std::string(1, '\0') + std::string(argument) + '\0')) continue;
    if (out) return std::nullopt;
    out = std::stoi(pid);
  }
  return out;
}

std::optional<std::uint64_t> soft_limit(std::string_view limits, std::string_view name) {
  const auto at = limits.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  std::istringstream words(std::string(limits.substr(at + name.size(), 100)));
  std::string value;
  words >> value;
  if (value == "unlimited") return std::numeric_limits<std::uint64_t>::max();
  std::uint64_t out = 0;
  const auto* end = value.data() + value.size();
  if (std::from_chars(value.data(), end, out).ptr != end) return std::nullopt;
  return out;
}

std::optional<std::uint64_t> status_number(std::string_view status, std::string_view name) {
  const auto line = "\n" + std::string(name) + ":";
  const auto at = status.find(line);
  if (at == std::string_view::npos) return std::nullopt;
  std::istringstream words(std::string(status.substr(at + line.size(), 100)));
  std::uint64_t out = 0;
  if (!(words >> out)) return std::nullopt;
  return out;
}

namespace {

/// The first user of /etc/passwd ("oxbow:x:998:998:…") that is wanted.
std::optional<DaemonUser> find_user(const System& system, const std::function<bool(const DaemonUser&)>& wanted) {
  std::istringstream lines(system.read("/etc/passwd").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::array<std::string, 4> fields;
    std::istringstream parts(line);
    for (auto& field : fields) std::getline(parts, field, ':');
    if (!is_pid(fields[2]) || !is_pid(fields[3])) continue;
    const DaemonUser user{static_cast<uid_t>(std::strtoul(fields[2].c_str(), nullptr, 10)),
                          static_cast<gid_t>(std::strtoul(fields[3].c_str(), nullptr, 10)), fields[0]};
    if (wanted(user)) return user;
  }
  return std::nullopt;
}

DaemonUser user_with(const System& system, uid_t id) {
  const auto found = find_user(system, [&](const DaemonUser& one) { return one.user == id; });
  return found.value_or(DaemonUser{id, 0, std::to_string(id)});
}

}  // namespace

DaemonUser daemon_user(const Subject& subject) {
  const auto& system = subject.system;
  if (subject.daemon.pid) {
    const auto status = system.read(fmt::format("/proc/{}/status", *subject.daemon.pid)).value_or("");
    const auto user = status_number(status, "Uid");
    const auto group = status_number(status, "Gid");
    if (user && group) {
      auto out = user_with(system, static_cast<uid_t>(*user));
      out.group = static_cast<gid_t>(*group);
      return out;
    }
  }
  if (subject.daemon.answers()) {
    for (const auto& port : subject.daemon.ports) {
      if (port.use.owner) return user_with(system, *port.use.owner);
    }
  }
  for (const auto unit : kUnits) {
    const auto text = system.read(unit).value_or("");
    const auto at = text.find("\nUser=");
    if (at == std::string::npos) continue;
    const auto begin = at + 6;
    const auto name = text.substr(begin, text.find('\n', begin) - begin);
    if (auto user = find_user(system, [&](const DaemonUser& one) { return one.name == name; })) return *user;
  }
  return user_with(system, system.user());
}

bool may(const DaemonUser& user, const FileFacts& file, unsigned bit) {
  if (user.user == 0) return true;
  if (file.owner == user.user) return (file.mode >> 6 & bit) != 0;
  if (file.group == user.group && user.group != 0) return (file.mode >> 3 & bit) != 0;
  return (file.mode & bit) != 0;
}

}  // namespace oxbow::mirror::doctor
