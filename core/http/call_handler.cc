#include "core/http/call_handler.h"

#include <exception>

#include "core/http/http1_head.h"
#include "core/log.h"

namespace oxbow::http {

void call_handler(Worker& worker, Request request, std::move_only_function<void(Response)> done) {
  auto context = worker.context_owner();
  ++context->handlers;
  asio::co_spawn(worker.loop(), context->handler.handle(std::move(request)),
                 [context, done = std::move(done)](const std::exception_ptr& error, Response response) mutable {
                   --context->handlers;
                   if (error) {
                     log::error("handler threw", {{"server", context->config.name}});
                     response = error_response(500, "internal error");
                   }
                   done(std::move(response));
                 });
}

void RequestLog::write(std::string_view remote, std::string_view protocol, std::string_view end,
                       std::chrono::steady_clock::time_point now) const {
  if (!log::enabled(log::Level::kDebug)) return;
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - received).count();
  // The query is left out: it may carry a token.
  log::debug("request", {{"method", method},
                         {"path", path},
                         {"status", status},
                         {"bytes", body_bytes},
                         {"us", took},
                         {"protocol", protocol},
                         {"remote", remote},
                         {"end", end}});
}

}  // namespace oxbow::http
