#include "mirror/sim/sim_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "mirror/sim/sim_watch.h"

namespace oxbow::mirror {
namespace {

constexpr int kInterrupted = 130;
constexpr std::uint32_t kMostNodes = 1'000'000;
constexpr std::uint32_t kMostSeeds = 10'000;
constexpr unsigned kMostThreads = 1'024;

constexpr const char* kExample = R"(
How would a cluster of 10,000 nodes behave? No test cluster can tell; a simulation with the daemon's own decision code
can. Each sub-command answers one question and explains its own options: oxbow sim seed --help
  oxbow sim seed                              its standard sizes, 30 seeds, as tables
  oxbow sim seed --nodes 1024 --seeds 5       smaller, faster
  oxbow sim seed --json | jq .                the numbers, for programs
  oxbow sim all --report /tmp/oxbow           everything in small, as one page with plots: /tmp/oxbow/index.html
The same options give the same numbers on every machine, with any number of threads. Figures over several seeds are
written as mean [p5, p95]. Ctrl-C ends a simulation without a result. More: docs/simulation.md
)";

/// What was typed, but for what does not change the numbers.
std::string command_line(const CLI::App& command) {
  std::string out = "oxbow sim " + command.get_name();
  for (const auto* option : command.get_options()) {
    const auto name = option->get_name();
    if (option->count() == 0 || name == "--json" || name == "--markdown" || name == "--report" || name == "--threads")
      continue;
    out += " " + name;
    if (option->get_items_expected_max() == 0) continue;  // a flag
    std::string values;
    for (const auto& value : option->results()) values += (values.empty() ? "" : ",") + value;
    out += " " + values;
  }
  return out;
}

}  // namespace

std::vector<std::unique_ptr<SimPart>> all_sim_parts() {
  std::vector<std::unique_ptr<SimPart>> out;
  out.push_back(make_sim_seed());
  out.push_back(make_sim_crowd());
  out.push_back(make_sim_lookup());
  out.push_back(make_sim_topology());
  out.push_back(make_sim_selection());
  out.push_back(make_sim_churn());
  out.push_back(make_sim_capacity());
  return out;
}

SimCommand::SimCommand(CLI::App& app, std::vector<std::unique_ptr<SimPart>> parts) {
  command_ = app.add_subcommand("sim", "Simulate clusters of up to 100,000 nodes: load, locality, hops, copies, time");
  command_->require_subcommand(1);
  command_->footer(kExample);
  for (auto& part : parts) {
    auto* command = part->add(*command_);
    add_common(*command);
    entries_.push_back({std::move(part), command});
  }
  add_all();
}

void SimCommand::add_all() {
  all_ = command_->add_subcommand("all", "Every simulation, one after the other; best with --report DIR");
  all_->add_flag("--full", full_, "Each at the size it has when it is run alone: minutes to hours, not seconds");
  add_common(*all_);
  all_->footer("\nExample: oxbow sim all --report /tmp/oxbow; then open /tmp/oxbow/index.html in a browser\n");
}

void SimCommand::add_common(CLI::App& command) {
  constexpr const char* kGroup = "Options of every simulation";
  command.add_option("--seeds", common_.seeds, "How many independent runs each figure comes from")
      ->check(CLI::Range(1U, kMostSeeds).description(""))
      ->type_name("N")
      ->group(kGroup);
  command.add_option("--seed", common_.first_seed, "The first of these seeds; the others follow")
      ->capture_default_str()
      ->type_name("N")
      ->group(kGroup);
  command.add_option("--nodes", common_.nodes, "Cluster sizes, e.g. --nodes 1000,10000")
      ->delimiter(',')
      ->check(CLI::Range(1U, kMostNodes).description(""))
      ->type_name("N,N")
      ->group(kGroup);
  command.add_option("--threads", common_.threads, "Threads to run on; 0: one a core. The numbers do not depend on it")
      ->capture_default_str()
      ->check(CLI::Range(0U, kMostThreads).description(""))
      ->type_name("N")
      ->group(kGroup);
  auto* json = command.add_flag("--json", json_, "The numbers as JSON")->group(kGroup);
  command.add_flag("--markdown", markdown_, "The tables as Markdown")->excludes(json)->group(kGroup);
  command
      .add_option("--report", report_directory_,
                  "Write DIR/index.html too: one page with plots that needs no network. DIR is made")
      ->type_name("DIR")
      ->group(kGroup);
}

bool SimCommand::parsed() const { return command_->parsed(); }

int SimCommand::run(std::FILE* out, std::FILE* errors) {
  const auto failed = [&](const Error& error) {
    std::fprintf(errors, "oxbow sim: %s\n", error.what().c_str());
    return error.code() == Errc::kInvalid ? 2 : error.code() == Errc::kCancelled ? kInterrupted : 1;
  };
  Result<std::vector<p2p::sim::Report>> reports;
  {
    p2p::sim::Progress progress;
    const SimWatch watch(progress, errors, ::isatty(::fileno(errors)) == 1);
    reports = simulate(progress);
  }
  if (!reports) return failed(reports.error());
  std::fputs(written(*reports).c_str(), out);
  if (std::fflush(out) != 0) return failed(errno_error(errno, "write the result"));
  if (report_directory_.empty()) return 0;
  const auto page = write_page(*reports);
  if (!page) return failed(page.error());
  std::fprintf(errors, "the page is %s\n", page->c_str());
  return 0;
}

Result<std::vector<p2p::sim::Report>> SimCommand::simulate(p2p::sim::Progress& progress) {
  common_.quick = all_->parsed() && !full_;
  std::vector<p2p::sim::Report> out;
  for (auto& [part, command] : entries_) {
    if (!all_->parsed() && !command->parsed()) continue;
    auto report = part->run(common_, progress);
    if (!report) return std::unexpected(std::move(report.error()).in(command->get_name()));
    // A part that has no long loop may not have noticed.
    if (progress.cancelled()) return fail(Errc::kCancelled, "interrupted");
    if (report->command.empty()) report->command = command_line(all_->parsed() ? *all_ : *command);
    out.push_back(std::move(*report));
  }
  return out;
}

std::string SimCommand::written(const std::vector<p2p::sim::Report>& reports) const {
  std::string out;
  for (const auto& report : reports) {
    if (!out.empty()) out += json_ ? "," : "\n";
    out += json_ ? to_json(report) : markdown_ ? to_markdown(report) : to_text(report);
  }
  // One report is one object; `all` is a list, also when there is only one simulation.
  return json_ && all_->parsed() ? "[" + out + "]\n" : out;
}

Result<std::string> SimCommand::write_page(const std::vector<p2p::sim::Report>& reports) const {
  std::error_code failed;
  std::filesystem::create_directories(report_directory_, failed);
  if (failed) return std::unexpected(errno_error(failed.value(), "make " + report_directory_));
  const auto path = std::filesystem::path(report_directory_) / "index.html";
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << to_html(reports);
  file.close();
  if (!file) return std::unexpected(errno_error(errno, "write " + path.string()));
  return path.string();
}

}  // namespace oxbow::mirror
