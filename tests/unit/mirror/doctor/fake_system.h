// A node that is healthy until a test breaks something of it, and what the checks say of it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "config/loader.h"
#include "mirror/doctor/checks.h"
#include "mirror/doctor/finding.h"

namespace oxbow::mirror::doctor {

class FakeSystem final : public System {
 public:
  struct File {
    std::string text;
    FileFacts facts = {FileFacts::Kind::kFile, 0644, 0, 0};
    bool denied = false;  ///< to this user
  };

  Result<std::string> read(const std::filesystem::path& path) const override {
    const auto found = files.find(path);
    if (found == files.end()) return fail(Errc::kNotFound, path.string() + ": no such file");
    if (found->second.denied) return fail(Errc::kDenied, path.string() + ": permission denied");
    return found->second.text;
  }
  Result<FileFacts> look(const std::filesystem::path& path) const override {
    const auto found = files.find(path);
    if (found == files.end()) return fail(Errc::kNotFound, path.string() + ": no such file");
    return found->second.facts;
  }
  std::vector<std::string> list(const std::filesystem::path& directory) const override {
    std::set<std::string> names;
    for (const auto& known : {std::cref(paths()), std::cref(link_paths())}) {
      for (const auto& path : known.get()) {
        const auto relative = std::filesystem::path(path).lexically_relative(directory);
        if (!relative.empty() && *relative.begin() != ".." && *relative.begin() != ".") names.insert(*relative.begin());
      }
    }
    return {names.begin(), names.end()};
  }
  std::string link(const std::filesystem::path& path) const override {
    const auto found = links.find(path);
    return found == links.end() ? std::string() : found->second;
  }
  Result<DiskFacts> disk(const std::filesystem::path&) const override { return space; }
  uid_t user() const override { return uid; }
  std::string environment(const std::string& name) const override {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  }
  std::chrono::sys_seconds now() const override { return time; }
  std::optional<bool> clock_is_kept() const override { return kept; }
  int io_uring_errno() const override { return ring_errno; }
  int bind_errno(const std::string& address) const override {
    const auto found = bind_errors.find(address);
    return found == bind_errors.end() ? 0 : found->second;
  }
  std::vector<HttpReply> fetch(const std::vector<HttpAsk>& asks, std::chrono::milliseconds) const override {
    std::vector<HttpReply> out;
    for (const auto& ask : asks) {
      const auto found = web.find(ask.url);
      out.push_back(found == web.end() ? refused() : found->second);
    }
    return out;
  }
  std::vector<NodeAnswer> ask_as_node(const std::vector<upstream::UpstreamConfig>& registries,
                                      std::chrono::milliseconds) const override {
    std::vector<NodeAnswer> out;
    for (const auto& registry : registries) out.push_back(as_node.at(registry.name));
    return out;
  }

  static HttpReply refused() {
    HttpReply out;
    out.stage = HttpReply::Stage::kResolved;
    out.error = "Connection refused";
    return out;
  }
  static HttpReply reply(long status, std::string body = "") {
    HttpReply out;
    out.stage = HttpReply::Stage::kAnswered;
    out.status = status;
    out.body = std::move(body);
    out.headers["server"] = "oxbow";
    return out;
  }
  void directory(const std::string& path, unsigned mode = 0755, uid_t owner = 0) {
    files[path] = {"", {FileFacts::Kind::kDirectory, mode, owner, owner}};
  }

  std::map<std::filesystem::path, File> files;
  std::map<std::filesystem::path, std::string> links;
  std::map<std::string, std::string> variables;
  std::map<std::string, int> bind_errors;
  std::map<std::string, HttpReply> web;
  std::map<std::string, NodeAnswer> as_node;
  DiskFacts space{1000ULL << 30, 500ULL << 30, 1'000'000, 900'000, false, "ext4"};
  uid_t uid = 0;
  std::chrono::sys_seconds time{std::chrono::seconds(1'790'000'000)};
  std::optional<bool> kept = true;
  int ring_errno = 0;

 private:
  const std::vector<std::string>& paths() const {
    names_.clear();
    for (const auto& [path, file] : files) names_.push_back(path);
    return names_;
  }
  const std::vector<std::string>& link_paths() const {
    link_names_.clear();
    for (const auto& [path, to] : links) link_names_.push_back(path);
    return link_names_;
  }
  mutable std::vector<std::string> names_, link_names_;
};

class DoctorTest : public testing::Test {
 protected:
  using Check = void (*)(const Subject&, Findings&);

  static config::Config configured(const std::string& toml) {
    auto loaded =
        config::load_text("[client]\nbuiltin_registries = false\ndefault_registry = \"\"\n" + toml, "oxbow.toml");
    EXPECT_TRUE(loaded) << config::to_string(loaded.error().front());
    return loaded ? std::move(loaded->config) : config::defaults();
  }

  Subject subject() { return {config, system, {.version = "1.2.3"}, daemon, network}; }

  std::vector<Finding> findings(Check check) {
    Findings out;
    check(subject(), out);
    return out.all();
  }

  /// The finding with that id, which says all these words and, if something is wrong, what to do.
  void expect(Check check, Level level, const std::string& id, const std::vector<std::string>& words) {
    std::string all;
    for (const auto& finding : findings(check)) {
      const auto said = finding.text + "\n" + finding.meaning + "\n" + finding.fix;
      all += finding.id + ": " + said + "\n";
      if (finding.id != id) continue;
      EXPECT_EQ(to_string(finding.level), to_string(level)) << said;
      for (const auto& word : words) EXPECT_TRUE(said.contains(word)) << word << " is not in: " << said;
      if (level == Level::kWarn || level == Level::kFail) {
        EXPECT_FALSE(finding.meaning.empty());
        EXPECT_FALSE(finding.fix.empty());
      }
      return;
    }
    ADD_FAILURE() << "no " << id << " in:\n" << all;
  }

  void expect_good(Check check) {
    for (const auto& finding : findings(check)) {
      EXPECT_TRUE(finding.level == Level::kOk || finding.level == Level::kSkipped)
          << finding.id << ": " << finding.text;
    }
  }

  config::Config config = configured("");
  FakeSystem system;
  DaemonFacts daemon;
  NetworkFacts network;
};

}  // namespace oxbow::mirror::doctor
