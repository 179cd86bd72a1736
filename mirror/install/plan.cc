#include "mirror/install/plan.h"

#include <algorithm>

namespace oxbow::mirror::install {

Result<std::optional<std::string>> View::read(const std::filesystem::path& path) const {
  auto current = files_.read(path);
  if (!current) return current;
  const auto* record = before_.find(path);
  return record ? undo(*record, *current).text : std::move(current);
}

bool View::is_directory(const std::filesystem::path& path) const {
  if (!files_.is_directory(path)) return false;
  return std::ranges::find(before_.directories, path) == before_.directories.end() || !list(path).empty();
}

std::vector<std::string> View::list(const std::filesystem::path& directory) const {
  auto out = files_.list(directory);
  std::erase_if(out, [&](const std::string& name) {
    const auto path = directory / name;
    if (files_.is_directory(path)) return !is_directory(path);
    const auto* record = before_.find(path);
    const auto text = read(path);
    return record && text && !*text;  // it is there because of us alone
  });
  return out;
}

void Plan::create(std::filesystem::path path, std::string text) {
  Edited edited;
  edited.replace(0, 0, std::move(text));
  changes.push_back({std::move(path), std::nullopt, std::move(edited)});
}

}  // namespace oxbow::mirror::install
