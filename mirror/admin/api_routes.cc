#include "mirror/admin/api_routes.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "core/encoding.h"
#include "mirror/admin/api_answer.h"

namespace oxbow::mirror {
namespace {

/// The path up to the parameter; the whole pattern where there is none.
std::string_view fixed_part(std::string_view pattern) { return pattern.substr(0, pattern.find('{')); }

bool has_parameter(std::string_view pattern) { return pattern.ends_with('}'); }

}  // namespace

std::optional<std::string> ApiCall::option(std::string_view key) const { return query_value(query, key); }

Result<std::uint64_t> ApiCall::number(std::string_view key, std::uint64_t otherwise, std::uint64_t most) const {
  const auto text = option(key);
  if (!text) return otherwise;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size() || value > most)
    return fail(Errc::kInvalid, fmt::format("{}: a whole number of at most {} is wanted", key, most));
  return value;
}

Result<std::string> ApiCall::field(const char* key) const {
  if (json) {
    const auto found = json->find(key);
    if (found != json->end() && found->is_string()) return found->get<std::string>();
  }
  return fail(Errc::kInvalid, fmt::format("the body has no string \"{}\"; send a JSON object with it", key));
}

void ApiRoutes::add(http::Method method, std::string pattern, ApiAccess access, Function function) {
  for (const auto& route : routes_) OXBOW_INVARIANT(route.method != method || route.pattern != pattern);
  routes_.push_back({method, std::move(pattern), access, std::move(function)});
}

ApiRoutes::Function ApiRoutes::on_pool(Maker make) {
  return [this, make = std::move(make)](const ApiCall& call) -> Task<http::Response> {
    return [](WorkPool& pool, const Maker& maker, const ApiCall& asked) -> Task<http::Response> {
      auto made = co_await pool.run([&maker, &asked]() -> Result<std::string> {
        auto json = maker(asked);
        if (!json) return std::unexpected(std::move(json.error()));
        return api_text(*json);
      });
      co_return made ? api_json(200, std::move(*made)) : api_error(made.error());
    }(pool_, make, call);
  };
}

void ApiRoutes::get(std::string pattern, Maker make) {
  add(http::Method::kGet, std::move(pattern), ApiAccess::kRead, on_pool(std::move(make)));
}

void ApiRoutes::post(std::string pattern, Maker make) {
  add(http::Method::kPost, std::move(pattern), ApiAccess::kChange, on_pool(std::move(make)));
}

ApiRoutes::Match ApiRoutes::find(http::Method method, std::string_view path) const {
  if (method == http::Method::kHead) method = http::Method::kGet;
  // The longest fixed part wins: "/api/v1/cache/evictions" is no blob's name.
  std::size_t best = 0;
  for (const auto& route : routes_) {
    const auto fixed = fixed_part(route.pattern);
    if (has_parameter(route.pattern) ? path.starts_with(fixed) && path.size() > fixed.size() : path == fixed)
      best = std::max(best, fixed.size());
  }
  Match match;
  for (const auto& route : routes_) {
    const auto fixed = fixed_part(route.pattern);
    const bool wanted = has_parameter(route.pattern) ? path.size() > fixed.size() : path.size() == fixed.size();
    if (best == 0 || fixed.size() != best || !wanted || !path.starts_with(fixed)) continue;
    match.allowed += (match.allowed.empty() ? "" : ", ") + std::string(http::to_string(route.method));
    if (route.method != method) continue;
    match.route = &route;
    match.parameter = path.substr(fixed.size());
  }
  return match;
}

}  // namespace oxbow::mirror
