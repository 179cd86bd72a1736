#include "mirror/install/daemon_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace oxbow::mirror::install {
namespace {

using Json = nlohmann::json;

constexpr const char* kKey = "registry-mirrors";

std::optional<Json> parse(std::string_view text) {
  auto out = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return out.is_object() ? std::optional(std::move(out)) : std::nullopt;
}

/// The same file, but for the mirror as its first.
bool only_adds(const Json& before, std::string_view after, const std::string& mirror) {
  auto now = parse(after);
  if (!now || !now->contains(kKey) || !(*now)[kKey].is_array() || (*now)[kKey].empty()) return false;
  auto& mirrors = (*now)[kKey];
  if (mirrors.front() != mirror) return false;
  mirrors.erase(0);
  if (mirrors.empty() && !before.contains(kKey)) now->erase(kKey);
  return before == *now;
}

/// Whitespace after `at`: the next line is indented like the first key of the file.
std::string_view space_at(std::string_view text, std::size_t at) {
  const auto end = std::min(text.find_first_not_of(" \t\r\n", at), text.size());
  return text.substr(at, end - at);
}

}  // namespace

std::string new_daemon_json(const std::string& mirror) {
  return fmt::format("{{\n  \"{}\": [{}]\n}}\n", kKey, Json(mirror).dump());
}

Result<std::optional<Edited>> add_docker_mirror(std::string_view text, const std::string& mirror) {
  const auto file = parse(text);
  if (!file) return fail(Errc::kInvalid, "not a JSON object: dockerd does not start with it; repair it first");
  const auto mirrors = file->find(kKey);
  const bool has_list = mirrors != file->end() && mirrors->is_array();
  if (has_list && std::ranges::find_if(*mirrors, [&](const Json& one) {
                    return one == mirror || one == mirror + "/";
                  }) != mirrors->end())
    return std::nullopt;
  Edited out{std::string(text), {}};
  // Every place that may be right; the second reading tells which is.
  if (has_list) {
    const auto quoted = fmt::format("\"{}\"", kKey);
    for (auto key = text.find(quoted); key != std::string_view::npos; key = text.find(quoted, key + 1)) {
      const auto open = text.find('[', key);
      if (open == std::string_view::npos) break;
      auto candidate = out;
      candidate.replace(open + 1, 0, Json(mirror).dump() + (mirrors->empty() ? "" : ", "));
      if (only_adds(*file, candidate.text, mirror)) return candidate;
    }
  } else if (const auto open = text.find('{'); open != std::string_view::npos) {
    const auto space = space_at(text, open + 1);
    const bool lines = space.contains('\n') && !file->empty();
    auto line = fmt::format("\"{}\": [{}]{}", kKey, Json(mirror).dump(), file->empty() ? "" : ",");
    line = lines ? std::string(space) + line : line + (file->empty() ? "" : " ");
    out.replace(open + 1, 0, std::move(line));
    if (only_adds(*file, out.text, mirror)) return out;
  }
  return fail(Errc::kUnsupported,
              fmt::format("its form does not let a mirror be put in; put in by hand: \"{}\": [{}, …]", kKey,
                          Json(mirror).dump()));
}

}  // namespace oxbow::mirror::install
