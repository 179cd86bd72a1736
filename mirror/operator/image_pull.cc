#include "mirror/operator/image_pull.h"

namespace oxbow::mirror {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kStep{200};
constexpr milliseconds kAskSourcesEvery{1'000};
constexpr int kManifestTries = 4;
constexpr milliseconds kManifestRetry{500};

milliseconds since(Steady::time_point start) { return std::chrono::duration_cast<milliseconds>(Steady::now() - start); }

bool worth_another_try(Errc code) { return code == Errc::kUnavailable || code == Errc::kTimeout; }

}  // namespace

/// A blob that is being fetched.
struct ImagePull::Under {
  Under(registry_api::ImageBlob blob, const BlobDownload::Options& options, HttpRunner& http)
      : download(std::move(blob), options, http) {}
  BlobDownload download;
  std::chrono::system_clock::time_point began = std::chrono::system_clock::now();
  Steady::time_point asked{};
};

ImagePull::ImagePull(Options options, Parts parts)
    : options_(std::move(options)), parts_(std::move(parts)), access_(options_.access, parts_.http) {
  report_.image = options_.image.text();
  options_.download.ask = [this](const registry_api::ImageBlob& blob) {
    return ask(MirrorPath::kBlobs, blob.digest.to_string());
  };
}

ImagePull::~ImagePull() = default;

HttpAsk ImagePull::ask(MirrorPath kind, const std::string& reference) const {
  return mirror_ask(options_.access.mirror, options_.image, kind, reference, access_, parts_.user_agent);
}

PullReport ImagePull::run() {
  const auto start = Steady::now();
  auto outcome = fetch_manifests();
  if (outcome) outcome = fetch_blobs();
  if (!outcome) {
    for (const auto& one : under_way_) settle(*one);  // what came of the others
    report_.error = std::move(outcome.error());
  }
  under_way_.clear();
  report_.took = since(start);
  return std::move(report_);
}

Result<HttpRunner::Whole> ImagePull::manifest(const std::string& reference) {
  std::optional<Error> last;
  for (int tries = 0; tries < kManifestTries; ++tries) {
    if (last) {
      const auto until = Steady::now() + kManifestRetry * tries;
      while (Steady::now() < until) {
        if (auto stepped = parts_.http.step(kStep); !stepped) return std::unexpected(std::move(stepped.error()));
      }
    }
    const auto sent = access_.authorization();
    auto answer = parts_.http.whole(ask(MirrorPath::kManifests, reference));
    if (!answer) {
      // Nobody listens: no patience will help.
      if (!worth_another_try(answer.error().code()) || tries > 0) return answer;
      last = std::move(answer.error());
      continue;
    }
    if (answer->head.status == 200) {
      access_.worked(sent);
      return answer;
    }
    last = mirror_error(answer->head.status, answer->body);
    if (answer->head.status == 401) {
      auto again = access_.answer(registry_api::parse_challenges(answer->head.headers), sent);
      if (!again) return std::unexpected(std::move(again.error()));
      if (*again) continue;
      return fail(
          Errc::kUnauthorized,
          std::string("the registry refuses it to this caller (401): ") +
              (options_.access.credential ? "these credentials may not read it"
                                          : "log in with `docker login`, or give --username and --password-stdin"));
    }
    if (!worth_another_try(last->code())) break;
  }
  return std::unexpected(std::move(*last));
}

Result<> ImagePull::fetch_manifests() {
  auto reference = options_.image.reference();
  std::optional<Digest> wanted = options_.image.digest;
  do {
    auto answer = manifest(reference);
    if (!answer) return std::unexpected(std::move(answer.error()).in("manifest " + reference));
    const auto actual = manifest_digest(answer->body, wanted);
    if (!actual) return std::unexpected(actual.error().in("manifest " + reference));
    const auto said = answer->head.headers.find("Docker-Content-Digest");
    if (!wanted && said && *said != actual->to_string()) {
      return fail(Errc::kCorrupt, "manifest " + reference + ": the bytes hash to " + actual->to_string() +
                                      ", and the answer says " + std::string(*said));
    }
    if (!walk_) {
      report_.digest = *actual;
      walk_.emplace(*actual, options_.platform);
    }
    const auto type = answer->head.headers.find("Content-Type").value_or("");
    if (auto taken = walk_->take(answer->body, type); !taken)
      return std::unexpected(std::move(taken.error()).in("manifest " + reference));
    report_.bytes += answer->body.size();
    if (const auto sources = sources_of(answer->head.headers, answer->body.size())) report_.sources += *sources;
    report_.manifests = walk_->manifests();
    wanted = walk_->next();
    if (wanted) reference = wanted->to_string();
  } while (wanted);
  return {};
}

Result<> ImagePull::fetch_blobs() {
  const auto& blobs = walk_->blobs();
  std::uint64_t total = report_.bytes;
  for (const auto& blob : blobs) total += blob.size.value_or(0);
  std::size_t next = 0;
  while (next < blobs.size() || !under_way_.empty()) {
    while (next < blobs.size() && under_way_.size() < options_.parallel)
      under_way_.push_back(std::make_unique<Under>(blobs[next++], options_.download, parts_.http));
    for (const auto& one : under_way_) {
      if (auto good = look_after(*one); !good) return good;
    }
    std::vector<const BlobDownload*> running;
    for (const auto& one : under_way_) {
      if (!one->download.outcome()) running.push_back(&one->download);
    }
    parts_.watcher.on_running(running, report_, total);
    if (auto stepped = parts_.http.step(kStep); !stepped) return stepped;
    std::optional<Error> wrong;
    std::erase_if(under_way_, [&](const std::unique_ptr<Under>& one) {
      const auto& outcome = one->download.outcome();
      if (outcome && *outcome) settle(*one);
      if (outcome && !*outcome && !wrong)
        wrong = outcome->error().in("blob " + one->download.blob().digest.to_string());
      return outcome && *outcome;
    });
    if (wrong) return std::unexpected(std::move(*wrong));
  }
  return {};
}

Result<> ImagePull::look_after(Under& one) {
  auto& download = one.download;
  if (download.accepted()) access_.worked(download.authorization());
  if (const auto challenges = download.take_refusal()) {
    auto again = access_.answer(*challenges, download.authorization());
    if (!again) return std::unexpected(std::move(again.error()));
    if (!*again) download.refused();
  }
  if (download.due(Steady::now())) download.begin(Steady::now());
  ask_for_sources(one, false);
  return {};
}

void ImagePull::ask_for_sources(Under& one, bool at_end) {
  auto& download = one.download;
  if (auto all = download.whole_source()) {
    download.sources = std::move(all);
    return;
  }
  if (!parts_.ask_sources || (!at_end && Steady::now() < one.asked + kAskSourcesEvery)) return;
  if (!at_end && one.asked == Steady::time_point{}) {  // nothing has come yet
    one.asked = Steady::now();
    return;
  }
  one.asked = Steady::now();
  if (auto sources = parts_.ask_sources(download.blob(), one.began)) download.sources = *sources;
}

void ImagePull::settle(Under& one) {
  auto& download = one.download;
  ask_for_sources(one, true);
  PulledBlob done{.blob = download.blob()};
  done.bytes = download.received();
  done.sources = download.sources;
  done.resumed = download.resumed();
  const auto end = download.outcome() ? download.ended() : Steady::now();
  if (download.started()) done.took = std::chrono::duration_cast<milliseconds>(end - *download.started());
  if (!download.outcome())
    done.error = Error(Errc::kCancelled, "given up");
  else if (!*download.outcome())
    done.error = download.outcome()->error();
  report_.bytes += done.bytes;
  if (done.sources) report_.sources += *done.sources;
  parts_.watcher.on_blob(done);
  report_.blobs.push_back(std::move(done));
}

}  // namespace oxbow::mirror
