#include "mirror/install/hosts_toml.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "mirror/install/plan.h"
#include "mirror/install/toml_text.h"

namespace oxbow::mirror::install {
namespace {

constexpr std::array kTlsKeys{"ca", "client", "skip_verify"};

std::unexpected<Error> by_hand(std::string_view why, std::string_view mirror) {
  return fail(Errc::kUnsupported,
              fmt::format("{}; put this above its other hosts by hand:\n{}", why, host_table(mirror)));
}

/// The hosts in the order in which containerd tries them: that of the file.
std::vector<std::string> hosts_in_order(const toml::table& file) {
  std::vector<std::pair<std::size_t, std::string>> found;
  if (const auto* hosts = file["host"].as_table()) {
    for (auto&& [name, host] : *hosts) found.emplace_back(first_line(host).value_or(0), std::string(name.str()));
  }
  std::ranges::sort(found);
  std::vector<std::string> out;
  out.reserve(found.size());
  for (auto& [line, name] : found) out.push_back(std::move(name));
  return out;
}

bool has_capability(const toml::table& host, std::string_view wanted) {
  const auto* list = host["capabilities"].as_array();
  if (!list) return true;  // all of them
  return std::ranges::any_of(*list, [&](const toml::node& one) { return one.value<std::string_view>() == wanted; });
}

std::vector<std::string> look_at_our_host(const toml::table& host, std::string_view mirror, bool first) {
  std::vector<std::string> out;
  if (!first) out.push_back(fmt::format("{} is not the first host, so others are asked before it", mirror));
  for (const auto* capability : {"pull", "resolve"}) {
    if (!has_capability(host, capability))
      out.push_back(fmt::format("the host {} lacks the capability \"{}\"", mirror, capability));
  }
  if (!mirror.starts_with("http://")) return out;
  for (const auto* key : kTlsKeys) {
    if (host.contains(key))
      out.push_back(
          fmt::format("`{}` at the plaintext host {}: containerd then tries TLS first; remove it", key, mirror));
  }
  return out;
}

/// Where the first host begins: our table goes there, below the keys of the file's root. The end if there is no host.
std::size_t place_for_host(std::string_view text, const toml::table& file) {
  const auto* hosts = file.get("host");
  const auto line = hosts ? first_line(*hosts) : std::nullopt;
  return line ? above_comments(text, line_offset(text, *line)) : text.size();
}

/// The same file, but for the mirror as its first host.
bool only_adds(std::string_view before, std::string_view after, const std::string& mirror) {
  const auto old_file = parse_toml(before);
  auto new_file = parse_toml(after);
  if (!old_file || !new_file) return false;
  const auto order = hosts_in_order(*new_file);
  if (order.empty() || order.front() != mirror) return false;
  auto* hosts = (*new_file)["host"].as_table();
  hosts->erase(mirror);
  if (hosts->empty() && !old_file->contains("host")) new_file->erase("host");
  return *old_file == *new_file;
}

void collect_paths(const toml::node& node, std::vector<std::string>& out) {
  if (const auto text = node.value<std::string>()) out.push_back(*text);
  if (const auto* list = node.as_array()) {
    for (const auto& one : *list) collect_paths(one, out);
  }
}

}  // namespace

std::string host_table(std::string_view mirror) {
  return fmt::format("[host.{}]\n  capabilities = [\"pull\", \"resolve\"]\n  dial_timeout = \"2s\"\n",
                     toml_string(mirror));
}

Result<HostsEdit> add_mirror(std::string_view text, std::string_view mirror) {
  const auto file = parse_toml(text);
  if (!file)
    return fail(Errc::kInvalid, fmt::format("containerd cannot read it either and ignores it ({}): repair or remove it",
                                            file.error().what()));
  HostsEdit out;
  if ((*file)["server"].value<std::string_view>().value_or("").starts_with(mirror))
    out.warnings.push_back("its `server` is the mirror: with Oxbow stopped nothing can be pulled. Remove that line");
  const std::string name(mirror);
  if (const auto* host = (*file)["host"][name].as_table()) {
    const auto looked = look_at_our_host(*host, mirror, hosts_in_order(*file).front() == name);
    out.warnings.insert(out.warnings.end(), looked.begin(), looked.end());
    return out;
  }
  Edited edited{std::string(text), {}};
  const auto at = place_for_host(text, *file);
  std::string part = written_by("containerd") + host_table(mirror);
  if (at == text.size())
    part = (text.empty() || text.ends_with('\n') ? "" : "\n") + std::string(text.empty() ? "" : "\n") + part;
  else
    part += "\n";
  edited.replace(at, 0, std::move(part));
  if (!only_adds(text, edited.text, name)) return by_hand("its form does not let a host be put in", mirror);
  out.edited = std::move(edited);
  return out;
}

std::string certificate_lines(const std::vector<std::string>& names) {
  std::string authorities, clients;
  const auto add = [](std::string& list, const std::string& one) { list += (list.empty() ? "" : ", ") + one; };
  for (const auto& name : names) {
    if (name.ends_with(".crt")) add(authorities, toml_string(name));
    if (!name.ends_with(".cert")) continue;
    const auto key = name.substr(0, name.size() - 5) + ".key";
    if (std::ranges::find(names, key) != names.end())
      add(clients, fmt::format("[{}, {}]", toml_string(name), toml_string(key)));
  }
  std::string out;
  if (!authorities.empty()) out += fmt::format("ca = [{}]\n", authorities);
  if (!clients.empty()) out += fmt::format("client = [{}]\n", clients);
  if (out.empty()) return out;
  return "# The certificates of this directory, for the registry itself: beside a hosts.toml containerd does not look "
         "for them.\n" +
         out + "\n";
}

bool has_relative_paths(std::string_view text) {
  const auto file = parse_toml(text);
  if (!file) return false;
  std::vector<std::string> paths;
  const auto look = [&](const toml::table& host) {
    for (const auto* key : {"ca", "client"}) {
      if (const auto* node = host.get(key)) collect_paths(*node, paths);
    }
  };
  look(*file);
  if (const auto* hosts = (*file)["host"].as_table()) {
    for (auto&& [name, host] : *hosts) {
      if (const auto* table = host.as_table()) look(*table);
    }
  }
  return std::ranges::any_of(paths, [](const std::string& path) { return !path.starts_with('/'); });
}

}  // namespace oxbow::mirror::install
