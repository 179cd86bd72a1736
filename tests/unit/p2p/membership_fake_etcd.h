// As much of etcd's JSON gateway as membership uses, in memory, with faults on demand: broken, compacted and refused
// watches, lost leases, lost data, a server that is away, one that is silent, tokens that end.
#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace oxbow::p2p::test {

class FakeEtcd {
 public:
  FakeEtcd();
  FakeEtcd(const FakeEtcd&) = delete;
  FakeEtcd& operator=(const FakeEtcd&) = delete;
  ~FakeEtcd();

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  void put(const std::string& key, const std::string& value);
  void remove(const std::string& key);
  std::string value(const std::string& key);
  bool has(const std::string& key) { return !value(key).empty(); }

  /// Ends every watch in the middle of its stream.
  void break_watches();
  /// What is before the newest revision is gone for watches that begin later.
  void compact();
  /// Every lease, with its keys.
  void drop_leases();
  /// As after a restart with an empty disk.
  void lose_data();
  /// Answers 503 to everything, and ends what is open.
  void go_away(bool away);
  /// Takes requests and says nothing.
  void fall_silent(bool silent);
  /// Requires this name and password from now on; tokens that were given end.
  void require(const std::string& name, const std::string& password);
  void end_tokens();
  /// The next watch says this before anything else.
  void say_next_watch(const std::string& line);

  std::int64_t revision();
  int calls(const std::string& path);
  int watches();                              ///< that stand now
  std::vector<std::int64_t> watch_starts();   ///< start_revision of each watch so far
  std::vector<std::string> authorizations();  ///< of each call so far

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
  struct Connection {
    int socket;
    std::thread thread;
  };

  void accept_loop();
  void serve(int socket);
  bool answer(int socket, const std::string& path, const std::string& authorization, const std::string& body);
  std::string respond(const std::string& path, const std::string& body, int& status);
  void watch(int socket, const std::string& body);
  bool send_line(int socket, const std::string& line);
  std::string event_line(const Change& change) const;
  void write(const std::string& key, const std::string& value, std::int64_t lease);
  void erase(const std::string& key);
  std::string header() const;

  int listener_ = -1;
  int port_ = 0;
  std::thread acceptor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool away_ = false;
  bool silent_ = false;
  int watch_generation_ = 0;
  int standing_ = 0;
  std::list<Connection> connections_;
  std::map<std::string, Entry> store_;
  std::vector<Change> history_;
  std::set<std::int64_t> leases_;
  std::int64_t revision_ = 1;
  std::int64_t compacted_ = 0;
  std::int64_t next_lease_ = 1000;
  std::string name_, password_, next_line_;
  std::set<std::string> tokens_;
  int tokens_given_ = 0;
  std::map<std::string, int> calls_;
  std::vector<std::int64_t> starts_;
  std::vector<std::string> authorizations_;
};

}  // namespace oxbow::p2p::test
