#include "mirror/install/install_report.h"

#include <fmt/format.h>

namespace oxbow::mirror::install {
namespace {

using What = FileOutcome::What;

std::string_view word(What what, bool dry_run) {
  switch (what) {
    case What::kCreated:
      return dry_run ? "would create" : "created";
    case What::kChanged:
      return dry_run ? "would change" : "changed";
    case What::kUnchanged:
      return "unchanged";
    case What::kAlready:
      return "has it already";
    case What::kRestored:
      return dry_run ? "would restore" : "restored";
    case What::kRemoved:
      return dry_run ? "would remove" : "removed";
    case What::kKept:
      return dry_run ? "would take out" : "taken out";
    case What::kLeft:
      return "left";
  }
  return "";
}

std::string lines(std::string_view text, std::string_view prefix) {
  std::string out;
  while (!text.empty()) {
    const auto end = text.find('\n');
    out += fmt::format("    {}{}\n", prefix, text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return out;
}

std::string paragraph(std::string_view head, std::string_view text) {
  std::string out = fmt::format("{}: ", head);
  for (const char c : text) {
    out += c;
    if (c == '\n') out += "  ";
  }
  const auto end = out.find_last_not_of(" \n");
  return out.substr(0, end + 1) + "\n";
}

}  // namespace

std::string report_text(const Report& report, const RootFs& files, bool dry_run) {
  std::string out;
  for (const auto& file : report.files) {
    out += fmt::format("{:14}  {}\n", word(file.what, dry_run), files.real(file.path).string());
    if (!dry_run) continue;
    for (const auto& hunk : file.hunks) out += lines(hunk.removed, "- ") + lines(hunk.inserted, "+ ");
  }
  if (!report.changed && !report.files.empty()) out += "nothing to change\n";
  for (const auto& note : report.notes) out += paragraph("note", note);
  return out;
}

std::string complaints_text(const Report& report) {
  std::string out;
  for (const auto& warning : report.warnings) out += paragraph("warning", warning);
  for (const auto& error : report.errors) out += paragraph("error", error);
  return out;
}

}  // namespace oxbow::mirror::install
