// A registry for tests: repositories with manifests, tags, blobs and readers, in front of the scripted server; it can
// be down, lack HEAD, lengths, digests or ranges, and lie.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "core/digest.h"
#include "tests/unit/mirror/upstream/fake_registry.h"

namespace oxbow::mirror {

class Site {
 public:
  struct Repository {
    std::map<std::string, std::pair<std::string, std::string>> manifests;  ///< digest → bytes, type
    std::map<std::string, std::string> tags;                               ///< tag → digest
    std::map<std::string, std::string> blobs;                              ///< digest → bytes
    std::map<std::string, std::string> referrers{};                        ///< digest → index
    std::set<std::string> readers;                                         ///< `Authorization`; empty: everybody
  };
  /// What goes wrong.
  struct Faults {
    int down = 0;  ///< every answer has this status
    bool no_head_of_blobs = false;
    bool no_head_of_manifests = false;
    bool no_length = false;
    bool no_digest = false;
    bool no_ranges = false;
    bool corrupt = false;
    int refuse_blobs = 0;    ///< a GET of a blob has this status
    std::string blobs_at{};  ///< it is sent to this host
    std::string heads_at{};  ///< a HEAD of a blob is sent to this host
    int refuse_heads = 0;    ///< a HEAD of a blob has this status
    bool no_referrers_api = true;
    std::optional<std::size_t> page{};  ///< tags in one page
  };

  Site();
  ~Site() { release(); }

  Repository& operator[](const std::string& name) { return repositories_[name]; }  // before requests, or under change()
  void change(const std::function<void()>& how) {
    const std::lock_guard lock(mutex_);
    how();
  }
  void set(Faults faults) {
    const std::lock_guard lock(mutex_);
    faults_ = faults;
  }

  Digest add_blob(const std::string& repository, std::string bytes);
  Digest add_manifest(const std::string& repository, std::string bytes, const std::string& tag = {},
                      const std::string& type = "application/vnd.oci.image.manifest.v1+json");

  /// GETs whose path holds `part` wait for `release`.
  void hold(std::string part) {
    const std::lock_guard lock(mutex_);
    held_ = std::move(part);
  }
  void release() {
    const std::lock_guard lock(mutex_);
    held_.clear();
    released_.notify_all();
  }

  upstream::testing::FakeRegistry& server() { return server_; }
  std::string url() const { return server_.url(); }
  std::string challenge(const std::string& repository) const;
  /// Requests of that method whose path holds `part`.
  std::size_t count(std::string_view method, std::string_view part = "/v2/") const;
  std::size_t requests() const { return count("GET") + count("HEAD"); }

 private:
  using Seen = upstream::testing::Seen;
  using Reply = upstream::testing::Reply;
  Reply answer(const Seen& seen);
  Reply manifest(const Repository& repository, std::string reference, bool head);
  Reply blob(const Repository& repository, const std::string& digest, const Seen& seen);
  Reply tags(const std::string& name, const Repository& repository, const Seen& seen) const;

  std::mutex mutex_;
  std::string held_;
  std::condition_variable released_;
  Faults faults_;
  std::map<std::string, Repository> repositories_;
  upstream::testing::FakeRegistry server_;
};

/// An image manifest whose descriptors claim what is given.
std::string manifest_of(const std::vector<std::pair<Digest, std::uint64_t>>& blobs);

}  // namespace oxbow::mirror
