#include "core/http/server.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <future>
#include <thread>

#include "core/http/listener.h"
#include "core/http/server_context.h"
#include "core/http/unix_socket.h"
#include "core/http/worker.h"
#include "core/log.h"

namespace oxbow::http {
namespace {

constexpr std::chrono::milliseconds kDrainPoll{5};
/// Past `linger` a drained server has closed everything; handlers then have their own promise of 3 s to end.
constexpr std::chrono::milliseconds kHandlerGrace{4'000};

}  // namespace

struct Server::State {
  std::shared_ptr<ServerContext> context;
  std::vector<std::shared_ptr<Worker>> workers;
  std::vector<BoundSocket> sockets;                    // until `start`
  std::vector<std::shared_ptr<Listener>> listeners;    // on the first worker's loop
  std::vector<std::shared_ptr<UnixSocketFile>> files;  // of Unix sockets, until nobody is accepted any more
  std::vector<std::string> addresses;
  std::shared_ptr<std::atomic<std::size_t>> steps_due = std::make_shared<std::atomic<std::size_t>>(0);
  bool started = false;
  bool drained = false;

  ~State() {
    for (const auto& socket : sockets) ::close(socket.fd);
  }
  void on_each_loop(void (Worker::*step)()) {
    steps_due->fetch_add(workers.size());
    for (const auto& worker : workers) {
      asio::post(worker->loop(), [worker, step, due = steps_due] {
        ((*worker).*step)();
        due->fetch_sub(1);
      });
    }
  }
  bool wait_until_gone(std::chrono::steady_clock::time_point deadline, bool handlers_too) const {
    // A step that the loops have not run yet counts too: a worker that never stops keeps its last connections for ever.
    while (steps_due->load() > 0 || context->connections.load() > 0 || (handlers_too && context->handlers.load() > 0)) {
      if (std::chrono::steady_clock::now() >= deadline) return false;
      std::this_thread::sleep_for(kDrainPoll);
    }
    return true;
  }
};

Server::Server(std::shared_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() {
  if (state_->started && !state_->drained) drain(std::chrono::milliseconds(0));
}

Result<std::unique_ptr<Server>> Server::create(ServerConfig config, Loops& loops, Handler& handler,
                                               MetricsRegistry& metrics) {
  auto state = std::make_shared<State>();
  state->context = std::make_shared<ServerContext>(std::move(config), handler, metrics);
  const auto& settings = state->context->config;
  const auto in_context = [&](Error error) { return std::unexpected(std::move(error).in(settings.name + " server")); };
  if (settings.tls) {
    auto tls = TlsContext::create(*settings.tls);
    if (!tls) return in_context(tls.error());
    state->context->tls = std::move(*tls);
  }
  for (const auto& address : settings.listen) {
    auto socket = bind_address(address);
    if (!socket && socket.error().code() == Errc::kUnsupported && settings.listen.size() > 1) {
      log::warn("not listening here", {{"server", settings.name}, log::Field(socket.error())});
      continue;
    }
    if (!socket) return in_context(socket.error());
    state->addresses.push_back(socket->address);
    if (socket->file) state->files.push_back(socket->file);
    state->sockets.push_back(std::move(*socket));
  }
  if (state->sockets.empty()) return in_context(Error(Errc::kInvalid, "there is no address to listen on"));
  for (std::size_t i = 0; i < loops.size(); ++i) {
    auto worker = Worker::create(loops.at(i), state->context);
    if (!worker) return in_context(worker.error());
    state->workers.push_back(std::move(*worker));
  }
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

void Server::start() {
  // sendfile(2) has no MSG_NOSIGNAL: a client that leaves must not end the daemon.
  std::signal(SIGPIPE, SIG_IGN);
  state_->started = true;
  for (const auto& socket : state_->sockets) {
    state_->listeners.push_back(std::make_shared<Listener>(socket.fd, state_->workers));
  }
  state_->sockets.clear();
  state_->on_each_loop(&Worker::start);
  const auto& first = state_->workers.front();
  asio::post(first->loop(), [first, listeners = state_->listeners] {
    for (const auto& listener : listeners) first->events().watch(listener->fd(), *listener, false);
  });
}

std::vector<std::string> Server::addresses() const { return state_->addresses; }

std::size_t Server::connections() const noexcept { return state_->context->connections.load(); }

void Server::drain(std::chrono::milliseconds timeout) {
  if (!state_->started || std::exchange(state_->drained, true)) return;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  state_->files.clear();
  const auto& first = state_->workers.front();
  asio::post(first->loop(), [first, listeners = std::exchange(state_->listeners, {})] {
    for (const auto& listener : listeners) first->events().unwatch(listener->fd(), *listener);
  });
  state_->on_each_loop(&Worker::drain);
  if (!state_->wait_until_gone(now() + timeout, false)) {
    state_->on_each_loop(&Worker::cut);
    state_->wait_until_gone(now() + state_->context->config.limits.linger + std::chrono::seconds(1), false);
  }
  state_->on_each_loop(&Worker::stop);
  if (!state_->wait_until_gone(now() + kHandlerGrace, true)) {
    log::error("handlers still run after the server was drained",
               {{"server", state_->context->config.name}, {"handlers", state_->context->handlers.load()}});
  }
}

}  // namespace oxbow::http
