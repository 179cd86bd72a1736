#include "mirror/operator/pull_progress.h"
#include "core/encoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr milliseconds kDrawEvery{150};
constexpr milliseconds kRateOver{1'000};
constexpr std::size_t kUsualWidth = 80;
constexpr std::size_t kBarMin = 10;
constexpr std::size_t kBarMax = 50;

double seconds(milliseconds time) { return std::chrono::duration<double>(time).count(); }

double bytes_per_second(std::uint64_t bytes, milliseconds took) {
  return static_cast<double>(bytes) / std::max(0.001, seconds(took));
}

std::string cut(std::string text, std::size_t width) {
  if (text.size() > width) text.resize(width);
  return text;
}

Json sources_json(const std::optional<SourceBytes>& sources) {
  if (!sources) return nullptr;
  return {{"storage", sources->storage}, {"peer", sources->peer}, {"upstream", sources->upstream}};
}

Json error_json(const std::optional<Error>& error) { return error ? Json(printable(error->what())) : Json(nullptr); }

}  // namespace

std::string source_bar(std::uint64_t done, std::uint64_t size, const std::optional<SourceBytes>& sources,
                       std::size_t columns) {
  done = std::min(done, size);
  const auto share = [&](std::uint64_t bytes) {
    return size == 0 ? columns
                     : static_cast<std::size_t>(static_cast<double>(bytes) / static_cast<double>(size) *
                                                static_cast<double>(columns));
  };
  const auto filled = share(done);
  std::string bar;
  if (sources && size > 0) {
    // The mirror is ahead of what has come here: of that, each source has its part.
    const auto known = std::max<std::uint64_t>(1, sources->total());
    const auto part = [&](std::uint64_t bytes) {
      return share(static_cast<std::uint64_t>(static_cast<double>(done) * static_cast<double>(bytes) /
                                              static_cast<double>(known)));
    };
    bar.append(part(sources->storage), '=');
    bar.append(part(sources->peer), '+');
    // What rounding left over belongs to the last that has any.
    const char last = sources->upstream > 0 ? '#' : sources->peer > 0 ? '+' : sources->storage > 0 ? '=' : '-';
    if (bar.size() < filled) bar.append(filled - bar.size(), last);
  } else {
    bar.append(filled, '-');
  }
  bar.resize(columns, ' ');
  return '[' + bar + ']';
}

std::string sources_text(const std::optional<SourceBytes>& sources, std::uint64_t bytes) {
  if (!sources || sources->total() == 0) return bytes == 0 ? "nothing" : "?";
  std::string text;
  const auto add = [&](std::string_view name, std::uint64_t part) {
    if (part == 0) return;
    if (part >= bytes) {
      text = name;
      return;
    }
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, format_bytes(part));
  };
  add("disk", sources->storage);
  add("peers", sources->peer);
  add("upstream", sources->upstream);
  if (sources->total() < bytes) text += fmt::format(", not known {}", format_bytes(bytes - sources->total()));
  return text;
}

std::string running_line(const registry_api::ImageBlob& blob, std::uint64_t received, std::uint64_t size,
                         const std::optional<SourceBytes>& sources, std::size_t width) {
  const auto numbers = fmt::format("{:>9} /{:>9}", format_bytes(received), format_bytes(size));
  const auto digest = short_digest(blob.digest.to_string());
  const auto rest = digest.size() + numbers.size() + 6;
  const auto columns = std::clamp(width > rest ? width - rest : 0, kBarMin, kBarMax);
  return cut(fmt::format("{}  {} {}", digest, source_bar(received, size, sources, columns), numbers), width);
}

std::string blob_line(const PulledBlob& blob) {
  const auto digest = short_digest(blob.blob.digest.to_string());
  if (blob.error) return fmt::format("{}  failed: {}\n", digest, printable(blob.error->what()));
  return fmt::format("{}  {:<6}  {:>9}  {:>7}  {}{}\n", digest, blob.blob.config ? "config" : "layer",
                     format_bytes(blob.bytes), human_duration(blob.took), sources_text(blob.sources, blob.bytes),
                     blob.resumed > 0 ? fmt::format("  (resumed {} times)", blob.resumed) : std::string());
}

std::string summary_text(const PullReport& report) {
  std::string text = report.image + "\n";
  if (report.digest) text += fmt::format("digest: {}\n", report.digest->to_string());
  std::size_t failed = 0;
  for (const auto& blob : report.blobs) failed += blob.error ? 1 : 0;
  text += fmt::format("{} manifest{}, {} blob{}, {} in {} ({})\n", report.manifests, report.manifests == 1 ? "" : "s",
                      report.blobs.size() - failed, report.blobs.size() - failed == 1 ? "" : "s",
                      format_bytes(report.bytes), human_duration(report.took),
                      human_rate(bytes_per_second(report.bytes, report.took)));
  text += fmt::format("from: {}\n", sources_text(report.sources, report.bytes));
  return text;
}

std::string report_json(const PullReport& report) {
  Json blobs = Json::array();
  for (const auto& blob : report.blobs) {
    blobs.push_back({{"digest", blob.blob.digest.to_string()},
                     {"kind", blob.blob.config ? "config" : "layer"},
                     {"media_type", printable(blob.blob.media_type)},
                     {"size_bytes", blob.blob.size ? Json(*blob.blob.size) : Json(nullptr)},
                     {"received_bytes", blob.bytes},
                     {"sources", sources_json(blob.sources)},
                     {"seconds", seconds(blob.took)},
                     {"resumed", blob.resumed},
                     {"error", error_json(blob.error)}});
  }
  const bool cancelled = report.error && report.error->code() == Errc::kCancelled;
  const Json json{{"image", report.image},
                  {"digest", report.digest ? Json(report.digest->to_string()) : Json(nullptr)},
                  {"state", cancelled      ? "cancelled"
                            : report.error ? "failed"
                                           : "done"},
                  {"manifests", report.manifests},
                  {"bytes", report.bytes},
                  {"sources", sources_json(report.sources)},
                  {"seconds", seconds(report.took)},
                  {"blobs", std::move(blobs)},
                  {"error", error_json(report.error)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void LiveLines::show(const std::vector<std::string>& lines) {
  std::string text;
  if (shown_ > 0) text += fmt::format("\x1b[{}A", shown_);
  for (const auto& line : lines) text += "\r\x1b[K" + line + "\n";
  if (lines.size() < shown_) text += "\x1b[J";
  shown_ = lines.size();
  std::fputs(text.c_str(), terminal_);
  std::fflush(terminal_);
}

void LiveLines::clear() {
  if (shown_ == 0) return;
  std::fputs(fmt::format("\x1b[{}A\r\x1b[J", shown_).c_str(), terminal_);
  std::fflush(terminal_);
  shown_ = 0;
}

PullProgress::PullProgress(Options options) : options_(options) {
  if (options_.terminal != nullptr) live_.emplace(options_.terminal);
}

double PullProgress::rate(Time now, std::uint64_t bytes) {
  const auto over = std::chrono::duration_cast<milliseconds>(now - bytes_at_);
  if (bytes_at_ != Time{} && over < kRateOver) return rate_;
  if (bytes_at_ != Time{}) rate_ = bytes_per_second(bytes - std::min(bytes, bytes_before_), over);
  bytes_before_ = bytes;
  bytes_at_ = now;
  return rate_;
}

void PullProgress::on_running(const std::vector<const BlobDownload*>& running, const PullReport& so_far,
                              std::uint64_t total_bytes) {
  if (!live_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < drawn_ + kDrawEvery) return;
  drawn_ = now;
  auto width = Terminal::of(options_.terminal).width;
  if (width == 0) width = kUsualWidth;
  std::vector<std::string> lines;
  auto bytes = so_far.bytes;
  for (const auto* one : running) {
    bytes += one->received();
    lines.push_back(
        running_line(one->blob(), one->received(), one->size().value_or(one->received()), one->sources, width - 1));
  }
  lines.push_back(cut(fmt::format("total {} / {}  {}   = disk  + peers  # upstream", format_bytes(bytes),
                                  format_bytes(std::max(bytes, total_bytes)), human_rate(rate(now, bytes))),
                      width - 1));
  live_->show(lines);
}

void PullProgress::on_blob(const PulledBlob& blob) {
  if (options_.lines == nullptr) return;
  if (live_) live_->clear();
  std::fputs(blob_line(blob).c_str(), options_.lines);
  std::fflush(options_.lines);
}

void PullProgress::finish() {
  if (live_) live_->clear();
}

}  // namespace oxbow::mirror
