#include "mirror/admin/errors_routes.h"

#include <nlohmann/json.hpp>

#include "mirror/admin/api_answer.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

Json entry_json(const ErrorJournal::Entry& entry) {
  Json fields = Json::object();
  for (const auto& [key, value] : entry.fields) fields[key] = value;
  return {{"at", api_time(entry.first)},
          {"last", api_time(entry.last)},
          {"level", entry.level == log::Level::kError ? "error" : "warn"},
          {"message", entry.message},
          {"fields", std::move(fields)},
          {"count", entry.count}};
}

}  // namespace

void add_errors_routes(ApiRoutes& routes, const ErrorJournal& journal) {
  routes.get("/api/v1/errors", [&journal](const ApiCall&) -> Result<Json> {
    Json errors = Json::array();
    for (const auto& entry : journal.entries()) errors.push_back(entry_json(entry));
    return Json{{"errors", std::move(errors)}};
  });
}

}  // namespace oxbow::mirror
