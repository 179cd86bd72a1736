// The node itself, as the doctor asks it: files by read(2), the network by libcurl's multi interface, registries with
// the node's credentials by the daemon's own upstream client.
// Thread rule: one thread; blocks, each call within the bounds of system.h.
#pragma once

#include "mirror/doctor/system.h"

namespace oxbow::mirror::doctor {

class RealSystem final : public System {
 public:
  explicit RealSystem(std::string version) : version_(std::move(version)) {}

  Result<std::string> read(const std::filesystem::path& path) const override;
  Result<FileFacts> look(const std::filesystem::path& path) const override;
  std::vector<std::string> list(const std::filesystem::path& directory) const override;
  std::string link(const std::filesystem::path& path) const override;
  Result<DiskFacts> disk(const std::filesystem::path& path) const override;
  uid_t user() const override;
  std::string environment(const std::string& name) const override;
  std::chrono::sys_seconds now() const override;
  std::optional<bool> clock_is_kept() const override;
  int io_uring_errno() const override;
  int bind_errno(const std::string& address) const override;
  std::vector<HttpReply> fetch(const std::vector<HttpAsk>& asks, std::chrono::milliseconds timeout) const override;
  std::vector<NodeAnswer> ask_as_node(const std::vector<upstream::UpstreamConfig>& registries,
                                      std::chrono::milliseconds timeout) const override;

 private:
  const std::string version_;
};

}  // namespace oxbow::mirror::doctor
