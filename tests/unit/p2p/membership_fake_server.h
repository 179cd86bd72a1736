// What the fakes of etcd and of a Kubernetes API server share: an HTTP/1.1 server in memory, a thread a connection,
// that counts its calls and can be away, silent, or break its watches. Thread rule: the public functions from any
// thread. Lifetime: whoever derives calls `stop` in its destructor, before what it answers from is gone.
#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace oxbow::p2p::test {

class FakeServer {
 public:
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  /// Ends every watch in the middle of its stream.
  void break_watches();
  /// Answers 503 to everything, and ends what is open.
  void go_away(bool away);
  /// Takes requests and says nothing.
  void fall_silent(bool silent);
  /// The next watch says this before anything else.
  void say_next_watch(const std::string& line);

  int calls(const std::string& what);
  int watches();                              ///< that stand now
  std::vector<std::string> authorizations();  ///< of each call so far

 protected:
  struct Request {
    std::string method, path, query, authorization, content_type, body;
  };

  FakeServer();
  virtual ~FakeServer() = default;
  void stop();

  /// What `calls` counts a request as. Under the lock.
  virtual std::string call_of(const Request& request) const = 0;
  /// False: the connection ends.
  virtual bool answer(int socket, const Request& request) = 0;

  static bool send_all(int socket, const std::string& text);
  static std::string reply(int status, const std::string& body);
  /// Of a chunked stream: in two chunks, as it may be cut anywhere.
  static bool send_line(int socket, const std::string& line);
  /// A watch waits for news. False: the client has left.
  bool wait_for_news(std::unique_lock<std::mutex>& lock, int socket);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool away_ = false;
  int broken_ = 0;    ///< a watch ends when it changes
  int standing_ = 0;  ///< watches
  std::string next_line_;

 private:
  struct Connection {
    int socket;
    std::thread thread;
  };

  void accept_loop();
  void serve(int socket);
  bool take(int socket, const Request& request);

  const int listener_;
  int port_ = 0;
  bool silent_ = false;
  std::map<std::string, int> calls_;
  std::vector<std::string> authorizations_;
  std::list<Connection> connections_;
  std::thread acceptor_;
};

}  // namespace oxbow::p2p::test
