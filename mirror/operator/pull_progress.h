// What `oxbow pull` shows while it runs: a line for each blob that is done, and on a terminal below them a bar for each
// that is coming, by source, redrawn in place. Thread rule: one thread; the functions are pure. Lifetime: the files
// outlive it.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

#include "mirror/operator/image_pull.h"
#include "mirror/operator/table.h"

namespace oxbow::mirror {

/// "[====++####      ]": `=` from the disk of this node, `+` from peers, `#` from upstream, and `-` where it is not
/// known from where. `columns` between the brackets.
std::string source_bar(std::uint64_t done, std::uint64_t size, const std::optional<SourceBytes>& sources,
                       std::size_t columns);
/// "disk 1.0 MiB, peers 3.2 MiB"; "peers" where it is all; "?" where nothing is known.
std::string sources_text(const std::optional<SourceBytes>& sources, std::uint64_t bytes);
/// One line of at most `width` columns for a blob that is coming.
std::string running_line(const registry_api::ImageBlob& blob, std::uint64_t received, std::uint64_t size,
                         const std::optional<SourceBytes>& sources, std::size_t width);
/// A blob that is done, or is not.
std::string blob_line(const PulledBlob& blob);
/// The end: what, how much, how long, from where.
std::string summary_text(const PullReport& report);
std::string report_json(const PullReport& report);

/// Lines at the bottom of a terminal that are replaced by their successors. Plain ANSI: up, and clear to the end.
class LiveLines {
 public:
  explicit LiveLines(std::FILE* terminal) : terminal_(terminal) {}
  ~LiveLines() { clear(); }
  LiveLines(const LiveLines&) = delete;
  LiveLines& operator=(const LiveLines&) = delete;

  /// None of them longer than the terminal is wide.
  void show(const std::vector<std::string>& lines);
  void clear();

 private:
  std::FILE* const terminal_;
  std::size_t shown_ = 0;
};

class PullProgress final : public PullWatcher {
 public:
  struct Options {
    std::FILE* lines = nullptr;     ///< a line for each blob; null: none
    std::FILE* terminal = nullptr;  ///< the bars; null: none
  };
  explicit PullProgress(Options options);

  void on_running(const std::vector<const BlobDownload*>& running, const PullReport& so_far,
                  std::uint64_t total_bytes) override;
  void on_blob(const PulledBlob& blob) override;
  void finish();

 private:
  using Time = std::chrono::steady_clock::time_point;
  double rate(Time now, std::uint64_t bytes);

  const Options options_;
  std::optional<LiveLines> live_;
  Time drawn_{};
  std::uint64_t bytes_before_ = 0;
  Time bytes_at_{};
  double rate_ = 0;
};

}  // namespace oxbow::mirror
