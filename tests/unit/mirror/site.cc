#include "site.h"

#include <charconv>

#include "core/encoding.h"

namespace oxbow::mirror {

Site::Site() {
  server_.script([this](const Seen& seen) { return answer(seen); });
}

Digest Site::add_blob(const std::string& repository, std::string bytes) {
  const std::lock_guard lock(mutex_);
  const auto digest = Digest::sha256(bytes);
  repositories_[repository].blobs[digest.to_string()] = std::move(bytes);
  return digest;
}

Digest Site::add_manifest(const std::string& repository, std::string bytes, const std::string& tag,
                          const std::string& type) {
  const std::lock_guard lock(mutex_);
  const auto digest = Digest::sha256(bytes);
  if (!tag.empty()) repositories_[repository].tags[tag] = digest.to_string();
  repositories_[repository].manifests[digest.to_string()] = {std::move(bytes), type};
  return digest;
}

std::string Site::challenge(const std::string& repository) const {
  return fmt::format("Bearer realm=\"{}/token\",service=\"site\",scope=\"repository:{}:pull\"", url(), repository);
}

std::size_t Site::count(std::string_view method, std::string_view part) const {
  std::size_t count = 0;
  for (const auto& seen : server_.seen()) count += seen.method == method && seen.target.contains(part) ? 1 : 0;
  return count;
}

Site::Reply Site::answer(const Seen& seen) {
  std::unique_lock lock(mutex_);
  released_.wait(lock, [&] { return held_.empty() || seen.method != "GET" || !seen.path().contains(held_); });
  if (faults_.down != 0) return {.status = faults_.down, .body = "down"};
  const auto path = seen.path();
  // Everybody gets a token here; what it opens is another matter.
  if (path == "/token") return {.body = R"({"token":"anonymous"})"};
  std::size_t kind = 0;
  for (const auto* part : {"/manifests/", "/blobs/", "/tags/", "/referrers/"}) {
    if (const auto at = path.rfind(part); at != std::string::npos) kind = std::max(kind, at);
  }
  if (kind == 0 || !path.starts_with("/v2/")) return {.status = 404};
  const auto name = path.substr(4, kind - 4);
  const auto rest = path.substr(kind);
  const auto found = repositories_.find(name);
  if (found == repositories_.end()) return {.status = 404};
  const auto& repository = found->second;
  if (seen.method == "HEAD" && rest.starts_with("/blobs/") && faults_.no_head_of_blobs) return {.status = 405};
  if (!repository.readers.empty() && !repository.readers.contains(seen.header("authorization"))) {
    return {.status = 401,
            .headers = {{"WWW-Authenticate", challenge(name)}, {"WWW-Authenticate", "Basic realm=\"site\""}},
            .body = "{}"};
  }
  const auto last = rest.substr(rest.rfind('/') + 1);
  if (rest.starts_with("/manifests/")) return manifest(repository, last, seen.method == "HEAD");
  if (rest.starts_with("/blobs/")) return blob(repository, last, seen);
  if (rest.starts_with("/tags/")) return tags(name, repository, seen);
  if (faults_.no_referrers_api) return {.status = 404};
  const auto index = repository.referrers.find(last);
  return {.headers = {{"Content-Type", "application/vnd.oci.image.index.v1+json"}},
          .body = index == repository.referrers.end() ? R"({"schemaVersion":2,"manifests":[]})" : index->second};
}

Site::Reply Site::manifest(const Repository& repository, std::string reference, bool head) {
  if (head && faults_.no_head_of_manifests) return {.status = 405};
  if (const auto tag = repository.tags.find(reference); tag != repository.tags.end()) reference = tag->second;
  const auto found = repository.manifests.find(reference);
  if (found == repository.manifests.end()) return {.status = 404};
  Reply reply{.headers = {{"Content-Type", found->second.second}}, .body = found->second.first};
  if (!faults_.no_digest) reply.headers.emplace_back("Docker-Content-Digest", reference);
  if (faults_.corrupt) reply.body[reply.body.size() / 2] ^= 1;
  return reply;
}

Site::Reply Site::blob(const Repository& repository, const std::string& digest, const Seen& seen) {
  const auto found = repository.blobs.find(digest);
  if (found == repository.blobs.end()) return {.status = 404};
  if (seen.method == "GET" && faults_.refuse_blobs != 0) return {.status = faults_.refuse_blobs, .body = "{}"};
  if (seen.method == "GET" && !faults_.blobs_at.empty())
    return {.status = 307, .headers = {{"Location", faults_.blobs_at + seen.target}}};
  if (seen.method == "HEAD" && faults_.refuse_heads != 0) return {.status = faults_.refuse_heads};
  if (seen.method == "HEAD" && !faults_.heads_at.empty())
    return {.status = 307, .headers = {{"Location", faults_.heads_at + seen.target}}};
  auto content = found->second;
  if (faults_.corrupt) content[content.size() / 2] ^= 1;
  if (seen.method == "HEAD") {
    // A chunked answer has no length.
    if (faults_.no_length) return {.headers = {{"Transfer-Encoding", "chunked"}}};
    return {.body = std::move(content)};
  }
  if (faults_.no_ranges) return {.body = std::move(content)};
  return upstream::testing::ranged(seen, content);
}

Site::Reply Site::tags(const std::string& name, const Repository& repository, const Seen& seen) const {
  std::vector<std::string> all;
  // In no useful order, as some registries do.
  for (const auto& [tag, digest] : repository.tags) all.insert(all.begin(), tag);
  std::size_t from = 0;
  if (const auto last = query_value(seen.query(), "last")) {
    from = static_cast<std::size_t>(std::ranges::find(all, *last) - all.begin()) + 1;
  }
  const auto to = std::min(all.size(), from + faults_.page.value_or(all.size()));
  Reply reply{.headers = {{"Content-Type", "application/json"}}};
  reply.body = "{\"name\":\"" + name + "\",\"tags\":[";
  for (auto i = from; i < to; ++i) reply.body += (i > from ? ",\"" : "\"") + all[i] + '"';
  reply.body += "]}";
  if (to < all.size()) {
    reply.headers.emplace_back("Link", fmt::format("</v2/{}/tags/list?last={}&n={}>; rel=\"next\"", name,
                                                   percent_encode(all[to - 1]), *faults_.page));
  }
  return reply;
}

std::string manifest_of(const std::vector<std::pair<Digest, std::uint64_t>>& blobs) {
  std::string text = R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",)"
                     R"("config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":)"
                     R"("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[)";
  for (bool first = true; const auto& [digest, size] : blobs) {
    text += fmt::format(R"({}{{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":{},"digest":"{}"}})",
                        first ? "" : ",", size, digest.to_string());
    first = false;
  }
  return text + "]}";
}

}  // namespace oxbow::mirror
