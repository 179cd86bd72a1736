#include "mirror/upstream/program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

extern char** environ;

namespace oxbow::mirror::upstream {
namespace {

constexpr std::size_t kMaxOutputBytes = 1 << 20;

using SteadyClock = std::chrono::steady_clock;

struct Fd {
  int value = -1;
  Fd() = default;
  explicit Fd(int fd) : value(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }
  void reset() {
    if (value >= 0) close(std::exchange(value, -1));
  }
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

Result<pid_t> spawn(std::vector<std::string> arguments, const std::vector<std::string>& extra, int stdin_fd,
                    int stdout_fd) {
  std::vector<std::string> environment = extra;  // the first of two equal names holds
  for (char** variable = environ; *variable != nullptr; ++variable) environment.emplace_back(*variable);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, stdin_fd, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, stdout_fd, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const auto argv = pointers(arguments);
  const auto envp = pointers(environment);
  const int failed = posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) return fail(Errc::kUnavailable, "cannot run " + arguments[0] + ": " + std::strerror(failed));
  return pid;
}

/// Feeds and drains until the program closes its stdout.
Result<std::string> converse(Fd& to, Fd& from, std::string_view input, SteadyClock::time_point until) {
  std::string output;
  if (input.empty()) to.reset();
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - SteadyClock::now()).count();
    if (left <= 0) return fail(Errc::kTimeout, "took too long");
    std::array<pollfd, 2> wanted{pollfd{from.value, POLLIN, 0}, pollfd{to.value, POLLOUT, 0}};
    if (poll(wanted.data(), to.value >= 0 ? 2 : 1, static_cast<int>(left)) < 0 && errno != EINTR) {
      return std::unexpected(errno_error(errno, "poll"));
    }
    if (to.value >= 0 && wanted[1].revents != 0) {
      const auto sent = send(to.value, input.data(), input.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) input.remove_prefix(static_cast<std::size_t>(sent));
      if (input.empty() || (sent < 0 && errno != EAGAIN && errno != EINTR)) to.reset();  // it may not want its input
    }
    if (wanted[0].revents == 0) continue;
    std::array<char, 16 * 1024> buffer;
    const auto got = read(from.value, buffer.data(), buffer.size());
    if (got == 0) return output;
    if (got < 0 && errno != EINTR && errno != EAGAIN) return std::unexpected(errno_error(errno, "read"));
    if (got > 0) output.append(buffer.data(), static_cast<std::size_t>(got));
    if (output.size() > kMaxOutputBytes) return fail(Errc::kLimit, "printed too much");
  }
}

std::optional<int> reap(pid_t pid, SteadyClock::time_point until) {
  for (;;) {
    int status = 0;
    const auto done = waitpid(pid, &status, WNOHANG);
    if (done == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (done < 0 && errno != EINTR) return 127;
    if (SteadyClock::now() >= until) return std::nullopt;
    poll(nullptr, 0, 2);
  }
}

}  // namespace

Result<ProgramOutput> run_program(const std::vector<std::string>& arguments,
                                  const std::vector<std::string>& extra_environment, const std::string& input,
                                  std::chrono::milliseconds timeout) {
  const auto until = SteadyClock::now() + timeout;
  // A socket pair for stdin: writing to one whose reader has gone can be kept from raising SIGPIPE.
  std::array<int, 2> in{-1, -1};
  std::array<int, 2> out{-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in.data()) != 0)
    return std::unexpected(errno_error(errno, "socketpair"));
  Fd to(in[0]);
  Fd child_in(in[1]);
  if (pipe2(out.data(), O_CLOEXEC) != 0) return std::unexpected(errno_error(errno, "pipe"));
  Fd from(out[0]);
  Fd child_out(out[1]);

  const auto pid = spawn(arguments, extra_environment, child_in.value, child_out.value);
  if (!pid) return std::unexpected(pid.error());
  child_in.reset();
  child_out.reset();
  auto output = converse(to, from, input, until);
  to.reset();
  from.reset();
  std::optional<int> code;
  if (output) code = reap(*pid, until);
  if (!code) {
    kill(-*pid, SIGKILL);
    while (waitpid(*pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (!output) return std::unexpected(std::move(output).error().in(arguments[0]));
    return fail(Errc::kTimeout, arguments[0] + ": took too long");
  }
  return ProgramOutput{.exit_code = *code, .output = std::move(*output)};
}

}  // namespace oxbow::mirror::upstream
