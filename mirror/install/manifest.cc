#include "mirror/install/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace oxbow::mirror::install {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;

Json to_json(const FileRecord& record) {
  Json hunks = Json::array();
  for (const auto& hunk : record.hunks) hunks.push_back({{"removed", hunk.removed}, {"inserted", hunk.inserted}});
  return {{"path", record.path.string()},
          {"original", record.original ? Json(*record.original) : Json(nullptr)},
          {"written", record.written},
          {"hunks", std::move(hunks)}};
}

FileRecord record_from(const Json& json) {
  FileRecord out;
  out.path = json.at("path").get<std::string>();
  if (!json.at("original").is_null()) out.original = json.at("original").get<std::string>();
  out.written = json.at("written").get<std::string>();
  for (const auto& hunk : json.at("hunks")) {
    out.hunks.push_back({hunk.at("removed").get<std::string>(), hunk.at("inserted").get<std::string>()});
    if (out.hunks.back().inserted.empty()) throw std::invalid_argument("an empty hunk");
  }
  return out;
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

}  // namespace

const FileRecord* Manifest::find(const std::filesystem::path& path) const {
  const auto found = std::ranges::find(files, path, &FileRecord::path);
  return found == files.end() ? nullptr : &*found;
}

std::string to_json(const Manifest& manifest) {
  Json out{{"about", "Written by \"oxbow install\"; \"oxbow uninstall\" restores from it."}, {"version", kVersion}};
  out["runtimes"] = manifest.runtimes;
  out["files"] = Json::array();
  for (const auto& record : manifest.files) out["files"].push_back(to_json(record));
  out["directories"] = Json::array();
  for (const auto& directory : manifest.directories) out["directories"].push_back(directory.string());
  out["after_undo"] = manifest.after_undo;
  return out.dump(2) + "\n";
}

Result<Manifest> manifest_from_json(std::string_view text) {
  try {
    const auto json = Json::parse(text);
    if (json.at("version").get<int>() != kVersion)
      return fail(Errc::kCorrupt,
                  fmt::format("it has version {}, this program knows {}", json.at("version").dump(), kVersion));
    Manifest out;
    out.runtimes = json.at("runtimes").get<std::vector<std::string>>();
    for (const auto& record : json.at("files")) out.files.push_back(record_from(record));
    for (const auto& directory : json.at("directories")) out.directories.emplace_back(directory.get<std::string>());
    out.after_undo = json.at("after_undo").get<std::vector<std::string>>();
    return out;
  } catch (const std::exception& wrong) {
    return fail(Errc::kCorrupt, wrong.what());
  }
}

Undone undo(const FileRecord& record, const std::optional<std::string>& current) {
  if (!current || current == record.original) return {Undone::Kind::kAsBefore, current};
  if (*current == record.written) return {Undone::Kind::kRestored, record.original};
  auto without = undo(*current, record.hunks);
  if (!without) return {Undone::Kind::kConflict, current};
  if (!record.original && is_blank(*without)) return {Undone::Kind::kKept, std::nullopt};
  return {Undone::Kind::kKept, std::move(without)};
}

}  // namespace oxbow::mirror::install
