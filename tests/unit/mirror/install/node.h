// A node's file system in a directory of its own, and what the tests of `oxbow install` do with it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "mirror/install/installer.h"
#include "mirror/install/runtimes.h"

namespace oxbow::mirror::install {

class Node {
 public:
  Node() : root_(scratch()), files_(root_) {}
  ~Node() { std::filesystem::remove_all(root_); }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void write(const std::string& path, std::string_view text) const {
    std::filesystem::create_directories((root_ / path.substr(1)).parent_path());
    std::ofstream(root_ / path.substr(1), std::ios::binary) << text;
  }
  std::string read(const std::string& path) const {
    std::ifstream in(root_ / path.substr(1), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  bool exists(const std::string& path) const { return std::filesystem::exists(root_ / path.substr(1)); }
  /// Every path and what is in it.
  std::map<std::string, std::string> tree() const {
    std::map<std::string, std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      const auto path = "/" + entry.path().lexically_relative(root_).string();
      out[path] = entry.is_regular_file() ? read(path) : "";
    }
    return out;
  }

  const std::filesystem::path& root() const { return root_; }
  const RootFs& files() const { return files_; }

  Report install(const std::string& runtime, const Installer::Planner& planner, bool dry_run = false) const {
    auto report = Installer(files_, kState, runtime).install(planner, dry_run);
    EXPECT_TRUE(report) << report.error().what();
    return report.value_or(Report{});
  }
  Report uninstall(const std::string& runtime, bool force = false) const {
    auto report = Installer(files_, kState, runtime).uninstall(false, force);
    EXPECT_TRUE(report) << report.error().what();
    return report.value_or(Report{});
  }

  static constexpr const char* kState = "/etc/oxbow/install";

 private:
  static std::filesystem::path scratch() {
    // In memory where the machine has it: every file is synced, which waits for whatever else the disk does.
    const std::filesystem::path memory = "/dev/shm";
    const auto base = ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
    std::string pattern = (base / "oxbow-node-XXXXXX").string();
    return ::mkdtemp(pattern.data());
  }

  std::filesystem::path root_;
  RootFs files_;
};

inline Target target_of(std::vector<std::string> names, const std::string& mirror = "http://127.0.0.1:5050") {
  Target out;
  out.mirror = mirror;
  for (auto& name : names) out.registries.push_back({std::move(name), {}});
  out.default_registry = "docker.io";
  return out;
}

/// Any of the texts holds the words.
inline bool says(const std::vector<std::string>& texts, std::string_view words) {
  return std::ranges::any_of(texts, [&](const std::string& text) { return text.contains(words); });
}

}  // namespace oxbow::mirror::install
