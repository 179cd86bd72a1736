// The table of what the admin addresses answer: method and path to the function that answers. Files of routes register
// themselves at start (`add_status_routes` and the like); AdminService looks requests up in it.
// Thread rule: registered from main before the servers start; everything else from any loop. Lifetime: outlives the
// servers, and what its functions refer to outlives it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/handler.h"

namespace oxbow::mirror {

/// One request that has been matched, checked and parsed.
struct ApiCall {
  std::string parameter;  ///< what stands for `{…}` in the pattern, decoded and never empty; empty without one
  std::string query;      ///< raw
  std::shared_ptr<const nlohmann::ordered_json> json;  ///< the body, an object; an empty one where none was sent
  bool may_change = false;                             ///< it came over the socket
  std::string if_none_match;                           ///< the header, for answers with an ETag; empty without it

  /// The value of a query key, decoded.
  std::optional<std::string> option(std::string_view key) const;
  /// The value of a query key as a number of at most `most`; `otherwise` when it is missing. Errors: kInvalid.
  Result<std::uint64_t> number(std::string_view key, std::uint64_t otherwise, std::uint64_t most) const;
  /// A string of the body. Errors: kInvalid, when it is missing or no string.
  Result<std::string> field(const char* key) const;
};

/// What a caller needs to be allowed: everybody who reaches an admin address may read; who opens the socket may change.
enum class ApiAccess : std::uint8_t { kRead, kChange };

class ApiRoutes {
 public:
  /// Runs on the caller's loop; `call` lives until the task ends.
  using Function = std::function<Task<http::Response>(const ApiCall& call)>;
  /// Runs on the pool, so it may block. Errors become `{"error": …}` with a status of their kind (api_answer.h).
  using Maker = std::function<Result<nlohmann::ordered_json>(const ApiCall& call)>;

  struct Route {
    http::Method method;
    std::string pattern;
    ApiAccess access;
    Function function;
  };

  explicit ApiRoutes(WorkPool& pool) : pool_(pool) {}
  ApiRoutes(const ApiRoutes&) = delete;
  ApiRoutes& operator=(const ApiRoutes&) = delete;

  /// `pattern`: "/api/v1/pulls", or with one parameter at its end, "/api/v1/pulls/{id}", which stands for the rest of
  /// the path. A fixed path goes before a parameter. The same method and pattern twice is a broken invariant.
  void add(http::Method method, std::string pattern, ApiAccess access, Function function);
  /// GET, reading; POST, changing: JSON made on the pool.
  void get(std::string pattern, Maker make);
  void post(std::string pattern, Maker make);

  struct Match {
    const Route* route = nullptr;  ///< null: no such path, or not with this method
    std::string parameter;         ///< still encoded
    std::string allowed;           ///< the methods that the path has, for Allow; empty: no such path
  };
  /// HEAD is looked up as GET.
  Match find(http::Method method, std::string_view path) const;
  const std::vector<Route>& all() const noexcept { return routes_; }

 private:
  Function on_pool(Maker make);

  WorkPool& pool_;
  std::vector<Route> routes_;
};

}  // namespace oxbow::mirror
