// The node as the doctor sees it: its files, its processes, its clock, and what answers on its networks. The checks ask
// only this, so that a test can break each thing. `real_system.h` is the node itself.
// Thread rule: one thread. Everything is bounded: files by size, the network by the timeouts given.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "mirror/upstream/config.h"

namespace oxbow::mirror::doctor {

struct FileFacts {
  enum class Kind : std::uint8_t { kFile, kDirectory, kOther };
  Kind kind = Kind::kFile;
  unsigned mode = 0;  ///< permission bits
  uid_t owner = 0;
  gid_t group = 0;
};

struct DiskFacts {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;  ///< to who is not root
  std::uint64_t inodes = 0;           ///< 0: this file system does not count them
  std::uint64_t free_inodes = 0;
  bool read_only = false;
  std::string type;  ///< "ext4", "tmpfs", …; empty: not known by name
};

struct HttpAsk {
  std::string url;
  std::string unix_socket;  ///< instead of TCP
  std::string ca_file, certificate_file, key_file;
  bool any_name = false;  ///< the certificate need not name the host, as that of a peer, which names the peer
  std::string proxy;
  std::vector<std::string> headers;  ///< whole lines
};

struct HttpReply {
  /// How far it came.
  enum class Stage : std::uint8_t { kNothing, kResolved, kConnected, kSecured, kAnswered };
  Stage stage = Stage::kNothing;
  std::string error;  ///< where it did not answer; without credentials
  long status = 0;
  std::map<std::string, std::string> headers;  ///< lower-case names
  std::string body;
  std::optional<std::chrono::sys_seconds> certificate_end;
  std::vector<std::string> certificate_names;    ///< DNS names, in order
  std::chrono::sys_seconds at{};                 ///< this node's clock when it answered
  std::optional<std::chrono::sys_seconds> date;  ///< theirs
  std::chrono::milliseconds took{0};

  bool answered() const noexcept { return stage == Stage::kAnswered; }
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

/// What a registry said to the node's own credentials.
struct NodeAnswer {
  std::optional<Error> source_error;  ///< the credentials could not be read
  bool has_credential = false;
  Result<int> status = 0;  ///< of /v2/ with them
};

class System {
 public:
  virtual ~System() = default;

  /// At most 4 MiB. Errors: kNotFound, kDenied, kLimit, kIo.
  virtual Result<std::string> read(const std::filesystem::path& path) const = 0;
  /// Follows symbolic links. Errors: kNotFound, kDenied, kIo.
  virtual Result<FileFacts> look(const std::filesystem::path& path) const = 0;
  /// Names, sorted; empty if it cannot be read.
  virtual std::vector<std::string> list(const std::filesystem::path& directory) const = 0;
  /// Where a symbolic link leads; empty if it cannot be read.
  virtual std::string link(const std::filesystem::path& path) const = 0;
  virtual Result<DiskFacts> disk(const std::filesystem::path& path) const = 0;
  virtual uid_t user() const = 0;
  virtual std::string environment(const std::string& name) const = 0;

  virtual std::chrono::sys_seconds now() const = 0;
  /// Whether something keeps the kernel's clock; nothing: it does not say.
  virtual std::optional<bool> clock_is_kept() const = 0;
  /// errno of setting up an io_uring in this process; 0: it works.
  virtual int io_uring_errno() const = 0;
  /// errno of binding a TCP socket to "host:port" with an address of this node; 0: it is free.
  virtual int bind_errno(const std::string& address) const = 0;

  /// All at the same time; answers in the same order.
  virtual std::vector<HttpReply> fetch(const std::vector<HttpAsk>& asks, std::chrono::milliseconds timeout) const = 0;
  /// Reads the node's credentials and shows them to each registry, as the daemon does.
  virtual std::vector<NodeAnswer> ask_as_node(const std::vector<upstream::UpstreamConfig>& registries,
                                              std::chrono::milliseconds timeout) const = 0;
};

}  // namespace oxbow::mirror::doctor
