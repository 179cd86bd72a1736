#include "mirror/operator/daemon_command.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace oxbow::mirror {

using Json = nlohmann::ordered_json;

void DaemonCommand::Output::text(std::string_view what) const { std::fwrite(what.data(), 1, what.size(), out); }

void DaemonCommand::Output::raw(const Json& answer) const {
  text(answer.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

DaemonCommand::DaemonCommand(CLI::App& parent, const char* name, const char* help)
    : name_(name), command_(parent.add_subcommand(name, help)) {
  admin_.add_to(*command_);
  command_->add_flag("--json", json_, "For programs: the daemon's answer as JSON");
}

bool DaemonCommand::parsed() const { return command_->parsed(); }

int DaemonCommand::run(const ApiClient& api, std::FILE* out, std::FILE* errors) const {
  const auto code = ask(api, {out, Terminal::of(out), json_});
  if (!code) {
    std::fprintf(errors, "oxbow %s: %s\n", name_.c_str(), code.error().what().c_str());
    return code.error().code() == Errc::kInvalid ? 2 : 1;
  }
  return std::fflush(out) == 0 ? *code : 1;
}

}  // namespace oxbow::mirror
