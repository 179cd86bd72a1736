// As much of etcd's JSON gateway as membership uses, in memory, with faults on demand: broken, compacted, refused
// and hanging watches, lost leases, lost data, a server that is away or silent, tokens that end or are too old.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/p2p/membership_fake_server.h"

namespace oxbow::p2p::test {

class FakeEtcd final : public FakeServer {
 public:
  ~FakeEtcd() override { stop(); }

  void put(const std::string& key, const std::string& value);
  void remove(const std::string& key);
  std::string value(const std::string& key);
  bool has(const std::string& key) { return !value(key).empty(); }

  /// What is before the newest revision is gone for watches that begin later.
  void compact();
  /// Every lease, with its keys.
  void drop_leases();
  /// As after a restart with an empty disk.
  void lose_data();
  /// Requires this name and password from now on; tokens that were given end.
  void require(const std::string& name, const std::string& password);
  void end_tokens();
  /// As when a user or a role is changed: signed tokens that were given are too old.
  void change_users();
  /// Watches are taken and never said to be created.
  void hold_watches(bool hold);
  enum class ErrorForm { kUntil35, kSince36, kUnknown };
  void say_errors(ErrorForm form);

  std::int64_t revision();
  std::vector<std::int64_t> watch_starts();  ///< start_revision of each watch so far

 private:
  struct Entry {
    std::string value;
    std::int64_t mod_revision = 0;
    std::int64_t lease = 0;
  };
  struct Change {
    std::int64_t revision;
    std::string key;
    bool removed;
    std::string value;
  };

  std::string call_of(const Request& request) const override { return request.path; }
  bool answer(int socket, const Request& request) override;
  std::string respond(const std::string& path, const std::string& body, int& status);
  void watch(int socket, const std::string& body, bool too_old);
  std::string event_line(const Change& change) const;
  void write(const std::string& key, const std::string& value, std::int64_t lease);
  void erase(const std::string& key);
  std::string header() const;
  std::string error_text(int code, const std::string& words) const;

  std::map<std::string, Entry> store_;
  std::vector<Change> history_;
  std::set<std::int64_t> leases_;
  std::int64_t revision_ = 1;
  std::int64_t compacted_ = 0;
  std::int64_t next_lease_ = 1000;
  std::string name_, password_;
  std::set<std::string> tokens_, old_tokens_;
  int tokens_given_ = 0;
  bool hold_watches_ = false;
  ErrorForm error_form_ = ErrorForm::kSince36;
  std::vector<std::int64_t> starts_;
};

}  // namespace oxbow::p2p::test
