#include "mirror/operator/pull_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "mirror/operator/image_layers.h"
#include "mirror/operator/image_pull.h"
#include "mirror/operator/preheat_watch.h"
#include "mirror/operator/pull_progress.h"
#include "mirror/operator/pull_sources.h"
#include "mirror/version.h"

namespace oxbow::mirror {
namespace {

constexpr const char* kHelp = R"(
Examples:
  oxbow pull nginx
  oxbow pull registry.example.com/team/app:1.4 --platform linux/arm64
  oxbow pull nginx --nodes all          each node of the cluster gets it, with its own rights
  oxbow pull nginx --nodes 25%          a quarter of them; the next quarter with 50%
  oxbow pull --status ID                how far that is; --cancel ID ends it
Sources: = disk of this node, + peers, # upstream.
Exit codes: 0 all of it is there, 1 it failed or was interrupted, 2 an argument is wrong.
)";

int fail_with(std::FILE* errors, const Error& error, int code) {
  std::fprintf(errors, "oxbow pull: %s\n", printable(error.what()).c_str());
  return code;
}

Result<std::string> read_password(std::FILE* in) {
  constexpr std::size_t kMaxBytes = 64UL * 1024;
  std::string text;
  for (int c = std::fgetc(in); c != EOF; c = std::fgetc(in)) {
    text += static_cast<char>(c);
    if (text.size() > kMaxBytes) return fail(Errc::kInvalid, "--password-stdin: what comes is too long for a password");
  }
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.empty()) return fail(Errc::kInvalid, "--password-stdin: nothing came");
  return text;
}

}  // namespace

PullCommand::PullCommand(CLI::App& app) {
  command_ = app.add_subcommand("pull", "Fetch an image into the cache of this node, or of other nodes (--nodes)");
  command_->add_option("IMAGE", image_, "As Docker writes it: nginx, ghcr.io/owner/app:1.4, localhost:5000/a@sha256:…");
  command_->add_option("--platform", platform_, "os/architecture[/variant], or all. Default: this machine's");
  command_->add_option("-u,--username", username_, "Who asks; with --password-stdin. Default: docker's config.json");
  command_->add_flag("--password-stdin", password_stdin_, "Read the password, or a token, from the standard input");
  command_->add_option("--nodes", nodes_,
                       "Instead of this node's cache that of others: all, a share like 25%, or NAME,NAME. Needs the "
                       "admin socket; each node fetches with its own rights");
  command_->add_option("--status", status_, "Show a preheat that --nodes has started; list for all of them");
  command_->add_option("--cancel", cancel_, "End a preheat; what has arrived stays");
  command_->add_flag("--json", json_, "For programs");
  command_->add_flag("-q,--quiet", quiet_, "Print only the digest");
  admin_.add_to(*command_);
  command_->footer(kHelp);
}

bool PullCommand::parsed() const { return command_->parsed(); }

Result<> PullCommand::check_arguments() const {
  const bool about = !status_.empty() || !cancel_.empty();
  if (about && (!image_.empty() || !nodes_.empty() || (!status_.empty() && !cancel_.empty())))
    return fail(Errc::kInvalid, "--status ID and --cancel ID stand alone");
  if (!about && image_.empty()) return fail(Errc::kInvalid, "which image? For example: oxbow pull nginx");
  if (password_stdin_ == username_.empty())
    return fail(Errc::kInvalid,
                "--username and --password-stdin go together; a password is never an argument, which "
                "everybody on the machine can read");
  if (!nodes_.empty() && !username_.empty())
    return fail(Errc::kInvalid,
                "--nodes: no credential travels, each node fetches with its own rights; leave "
                "--username out");
  return {};
}

int PullCommand::run(const config::Config& config, std::FILE* in, std::FILE* out, std::FILE* errors) const {
  if (auto good = check_arguments(); !good) return fail_with(errors, good.error(), 2);
  return nodes_.empty() && status_.empty() && cancel_.empty() ? pull(config, in, out, errors)
                                                              : preheat(config, out, errors);
}

Result<std::optional<upstream::Credential>> PullCommand::credential(const registry_api::ImageName& image,
                                                                    std::FILE* in) const {
  if (username_.empty()) return callers_credential(image.registry, image.repository);
  auto password = read_password(in);
  if (!password) return std::unexpected(std::move(password.error()));
  upstream::Credential credential;
  credential.username = username_;
  credential.password = std::move(*password);
  return credential;
}

int PullCommand::pull(const config::Config& config, std::FILE* in, std::FILE* out, std::FILE* errors) const {
  auto image = registry_api::parse_image_name(image_);
  if (!image) return fail_with(errors, image.error().in(image_), 2);
  auto platform = registry_api::parse_platform_choice(platform_);
  if (!platform) return fail_with(errors, platform.error().in("--platform " + platform_), 2);
  auto mirror = mirror_address(config.client);
  if (!mirror) return fail_with(errors, mirror.error(), 2);
  const auto admin = admin_.address([&config] { return std::optional(config); });
  auto found = credential(*image, in);
  if (!found) {
    // Docker's own client goes on without a helper that fails, and so does a public image.
    if (!username_.empty()) return fail_with(errors, found.error(), 2);
    std::fprintf(errors, "oxbow pull: going on without a credential: %s\n", printable(found.error().what()).c_str());
    found = std::nullopt;
  }

  Interrupt interrupt;
  HttpRunner http(interrupt);
  const bool plain = json_ || quiet_;
  PullProgress progress(
      {.lines = plain ? nullptr : out, .terminal = !quiet_ && ::isatty(::fileno(errors)) != 0 ? errors : nullptr});
  const bool https = registry_is_https(config, image->registry);
  ImagePull::Options options{.image = *image,
                             .platform = std::move(*platform),
                             .access = {.mirror = std::move(*mirror),
                                        .repository = image->repository,
                                        .credential = std::move(*found),
                                        .registry_is_https = https}};
  const auto url = options.access.mirror.url;
  ImagePull pull(std::move(options), {.http = http,
                                      .watcher = progress,
                                      .ask_sources = admin && *admin ? ask_daemon(**admin) : AskSources(),
                                      .user_agent = std::string("oxbow/") + kVersion});
  const auto report = pull.run();
  progress.finish();
  if (json_) {
    std::fputs(report_json(report).c_str(), out);
  } else if (!report.error) {
    if (quiet_)
      std::fprintf(out, "%s\n", report.digest->to_string().c_str());
    else
      std::fputs(summary_text(report).c_str(), out);
  }
  std::fflush(out);
  if (!report.error) return 0;
  std::fprintf(errors, "oxbow pull: %s: %s\n", report.image.c_str(), printable(report.error->what()).c_str());
  if (report.error->code() == Errc::kCancelled)
    std::fprintf(errors, "what has arrived stays in the cache; the same command goes on with the rest\n");
  else if (report.manifests == 0 && report.error->code() == Errc::kUnavailable)
    std::fprintf(errors, "the mirror was asked at %s (client.listen): systemctl status oxbow\n", url.c_str());
  return 1;
}

int PullCommand::preheat(const config::Config& config, std::FILE* out, std::FILE* errors) const {
  const bool starts = !nodes_.empty();
  auto image = starts ? registry_api::parse_image_name(image_) : registry_api::ImageName();
  if (!image) return fail_with(errors, image.error().in(image_), 2);
  const auto nodes = starts ? parse_nodes(nodes_) : nlohmann::ordered_json();
  if (!nodes) return fail_with(errors, nodes.error(), 2);
  if (const auto good = registry_api::parse_platform_choice(platform_); !good)
    return fail_with(errors, good.error().in("--platform " + platform_), 2);
  const auto admin = admin_.address([&config] { return std::optional(config); });
  if (!admin) return fail_with(errors, admin.error(), 2);
  PreheatWatch watch({.api = ApiClient(**admin), .json = json_, .quiet = quiet_, .out = out, .errors = errors});
  if (starts) return watch.start(image->text(), *nodes, platform_);
  if (!cancel_.empty()) return watch.cancel(cancel_);
  return status_ == "list" ? watch.list() : watch.show(status_);
}

}  // namespace oxbow::mirror
