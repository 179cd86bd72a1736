// Runs a handler on the connection's loop and hands its response to `done`, which may be called before this returns.
// Thread rule: the loop. Lifetime: `done` keeps what it needs; the handler may outlive its connection.
#pragma once

#include <functional>

#include "core/http/handler.h"
#include "core/http/worker.h"

namespace oxbow::http {

void call_handler(Worker& worker, Request request, std::move_only_function<void(Response)> done);

/// The debug line of a request, once its fate is known. `end` says how: "sent", "cut", "abandoned".
struct RequestLog {
  std::string method;
  std::string path;
  std::chrono::steady_clock::time_point received{};
  int status = 0;
  std::uint64_t body_bytes = 0;

  void write(std::string_view remote, std::string_view protocol, std::string_view end,
             std::chrono::steady_clock::time_point now) const;
};

}  // namespace oxbow::http
