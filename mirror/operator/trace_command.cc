#include "mirror/operator/trace_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/bounded_json.h"
#include "mirror/operator/image_layers.h"
#include "mirror/version.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kHelp = R"(
Examples:
  oxbow trace nginx:1.27                 each layer of the image, as this node last got it
  oxbow trace sha256:0123456789ab        one blob; as many digits as tell it from others
  oxbow trace 17 --stripes               one pull by its number, stripe by stripe
The map has a character a stripe. VERIFIED BY: what first vouched for the bytes of a stripe: a checksum that its sender
or its first holder had said, the link between the hash before and after it, or the digest of the whole blob.
Exit codes: 0 shown, 1 there is no record of it, or it cannot be asked for, 2 an argument is wrong.
)";

bool is_number(std::string_view text) {
  return !text.empty() && text.size() < 20 && text.find_first_not_of("0123456789") == std::string_view::npos;
}
bool is_digest_or_its_begin(std::string_view text) {
  return text.starts_with("sha256:") || text.starts_with("sha512:");
}

int fail_with(std::FILE* errors, const Error& error, int code) {
  std::fprintf(errors, "oxbow trace: %s\n", error.what().c_str());
  return code;
}

/// All pulls that the daemon remembers, without their stripes.
Result<Json> all_pulls(const ApiClient& api) { return api.get("/api/v1/pulls?limit=256"); }

/// What the daemon remembers of a digest or number; null: nothing.
Result<Json> pull_of(const ApiClient& api, const std::string& which) {
  auto answer = api.get("/api/v1/pulls/" + which);
  if (!answer && answer.error().code() == Errc::kNotFound) return Json();
  return answer;
}

/// The one digest among `pulls` that begins so. Errors: kInvalid (several do); `begin` itself, where none does.
Result<std::string> complete_digest(const Json& pulls, const std::string& begin) {
  std::string found;
  for (const auto* list : {"running", "recent"}) {
    const auto some = pulls.find(list);
    if (some == pulls.end() || !some->is_array()) continue;
    for (const auto& pull : *some) {
      const auto digest = pull.is_object() ? string_at(pull, "digest") : std::string();
      if (!digest.starts_with(begin) || digest == found) continue;
      if (!found.empty()) return fail(Errc::kInvalid, begin + " is the begin of several digests: give more of it");
      found = digest;
    }
  }
  return found.empty() ? begin : found;
}

}  // namespace

struct TraceCommand::Question {
  ApiClient api;
  TraceReport report;
  std::vector<Json> pulls;

  Result<> add(const std::string& which, TracedBlob blob) {
    auto answer = pull_of(api, which);
    if (!answer) return std::unexpected(std::move(answer.error()));
    if (!answer->is_null()) {
      auto pull = read_pull(*answer);
      if (!pull) return std::unexpected(std::move(pull.error()));
      blob.digest = pull->digest;
      blob.pull = std::move(*pull);
    }
    report.blobs.push_back(std::move(blob));
    pulls.push_back(std::move(*answer));
    return {};
  }
};

TraceCommand::TraceCommand(CLI::App& app) {
  command_ = app.add_subcommand("trace", "Show where the bytes of a pull came from, stripe by stripe");
  command_
      ->add_option("IMAGE|DIGEST|ID", target_,
                   "An image as Docker writes it, the digest of a blob or its begin, or the number of a pull")
      ->required();
  command_->add_option("--platform", platform_,
                       "Of an image: os/architecture[/variant], or all. Default: this machine's");
  command_->add_flag("--stripes", stripes_, "Each stripe: when, from whom, how long, and what vouched for it");
  command_->add_flag("--json", json_, "For programs");
  command_->footer(kHelp);
  admin_.add_to(*command_);
}

bool TraceCommand::parsed() const { return command_->parsed(); }

Result<> TraceCommand::ask_for_image(Question& question, const config::Config& config) const {
  auto image = registry_api::parse_image_name(target_);
  if (!image) return std::unexpected(image.error().in(target_));
  auto platform = registry_api::parse_platform_choice(platform_);
  if (!platform) return std::unexpected(platform.error().in("--platform " + platform_));
  auto mirror = mirror_address(config.client);
  if (!mirror) return std::unexpected(std::move(mirror.error()));
  question.report.image = image->text();
  question.report.platform = platform->platform ? registry_api::to_string(*platform->platform) : "all platforms";
  auto credential = callers_credential(image->registry, image->repository);
  ImageQuestion ask{.image = *image,
                    .platform = *platform,
                    .access = {.mirror = std::move(*mirror),
                               .repository = image->repository,
                               .credential = credential ? std::move(*credential) : std::nullopt,
                               .registry_is_https = registry_is_https(config, image->registry)},
                    .user_agent = std::string("oxbow/") + kVersion};
  Interrupt interrupt;
  HttpRunner http(interrupt);
  auto layers = image_layers(ask, http);
  if (!layers) {
    auto error = std::move(layers.error()).in(question.report.image);
    if (error.code() == Errc::kUnauthorized || error.code() == Errc::kDenied) {
      return fail(error.code(), error.what() +
                                    "\n  the registry does not let this caller read the image: log in with `docker "
                                    "login`; or trace a layer by its digest (`oxbow trace sha256:…`), which needs no "
                                    "right to the image");
    }
    if (error.code() == Errc::kUnavailable || error.code() == Errc::kTimeout) {
      return fail(error.code(),
                  fmt::format("{}\n  the mirror was asked at {} (client.listen); `oxbow trace sha256:…` asks "
                              "the daemon alone",
                              error.what(), ask.access.mirror.url));
    }
    return std::unexpected(std::move(error));
  }
  for (const auto& blob : *layers) {
    TracedBlob traced{.digest = blob.digest.to_string(),
                      .size_bytes = blob.size,
                      .what = blob.config ? "config" : "layer",
                      .pull = std::nullopt};
    if (auto added = question.add(traced.digest, traced); !added) return added;
  }
  return {};
}

int TraceCommand::run(const config::Config& config, std::FILE* out, std::FILE* errors) const {
  const auto address = admin_.address([&config] { return std::optional(config); });
  if (!address) return fail_with(errors, address.error(), 2);
  Question question{.api = ApiClient(**address), .report = {}, .pulls = {}};
  const auto pulls = all_pulls(question.api);
  if (!pulls) return fail_with(errors, pulls.error(), 1);
  question.report.since = string_at(*pulls, "since");
  Result<> asked;
  if (is_number(target_)) {
    asked = question.add(target_, {.digest = "pull " + target_, .size_bytes = {}, .what = "", .pull = {}});
  } else if (is_digest_or_its_begin(target_)) {
    const auto digest = complete_digest(*pulls, target_);
    if (!digest) return fail_with(errors, digest.error(), 2);
    if (!Digest::parse(*digest)) {
      const auto text = fmt::format("this node has no record of a pull of a blob whose digest begins with {}", *digest);
      return fail_with(errors, Error(Errc::kNotFound, text), 1);
    }
    asked = question.add(*digest, {.digest = *digest, .size_bytes = {}, .what = "", .pull = {}});
  } else {
    asked = ask_for_image(question, config);
  }
  if (!asked) return fail_with(errors, asked.error(), asked.error().code() == Errc::kInvalid ? 2 : 1);
  if (json_) {
    const auto text = trace_json(question.report, question.pulls).dump(2, ' ', false, Json::error_handler_t::replace);
    std::fprintf(out, "%s\n", text.c_str());
  } else {
    const TraceView view{.terminal = Terminal::of(out), .now = std::chrono::system_clock::now(), .stripes = stripes_};
    std::fputs(trace_text(question.report, view).c_str(), out);
  }
  return has_record(question.report) ? 0 : 1;
}

}  // namespace oxbow::mirror
