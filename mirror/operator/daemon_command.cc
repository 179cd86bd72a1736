#include "mirror/operator/daemon_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
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

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

double number_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::uint64_t bytes_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return 0;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, found->get<std::int64_t>()));
}

bool flag_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

const Json& part_at(const Json& object, const char* key) {
  static const Json empty = Json::array();
  const auto found = object.find(key);
  return found != object.end() && found->is_structured() ? *found : empty;
}

}  // namespace oxbow::mirror
