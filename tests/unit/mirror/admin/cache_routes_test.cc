// /api/v1/cache over a real store.
#include "mirror/admin/cache_routes.h"

#include <thread>

#include "admin_site.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMiB = 1024ULL * 1024;

class CacheRoutesTest : public ::testing::Test {
 protected:
  CacheRoutesTest() { add_cache_routes(site_.routes, {blobs_, memory_, scrub_}); }
  ~CacheRoutesTest() override { scrub_.stop(); }

  storage::Store& store() { return site_.scratch.store(); }

  /// Stores `bytes` bytes as a blob of `repository` and returns its digest.
  Digest put(char fill, std::uint64_t bytes, const std::string& repository) {
    const std::string content(bytes, fill);
    const auto digest = Digest::sha256(content);
    const auto blob = store().reserve(digest, bytes);
    EXPECT_TRUE(blob);
    for (std::uint32_t stripe = 0; stripe < (*blob)->geometry().stripes(); ++stripe) {
      auto writer = (*blob)->begin_stripe(stripe);
      EXPECT_TRUE(writer);
      const auto range = (*blob)->geometry().stripe(stripe);
      EXPECT_TRUE((*writer)->write(std::as_bytes(std::span(content)).subspan(range.begin, range.size())));
      wait_for([&] { return (*blob)->has(stripe); });
    }
    site_.scratch.run(remembered(memory_, digest, {"docker.io", repository}, bytes));
    return digest;
  }
  static Task<bool> remembered(DigestMemory& memory, Digest digest, RepositoryKey place, std::uint64_t size) {
    co_await memory.remember(digest, std::move(place), size);
    co_return true;
  }
  static void wait_for(const std::function<bool()>& done) {
    for (int i = 0; i < 12'000 && !done(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(done());
  }
  Json digests(const std::string& query) {
    Json out = Json::array();
    const auto answer = site_.ask("/api/v1/cache" + query).json();
    for (const auto& blob : answer.at("blobs")) out.push_back(blob.at("digest"));
    return out;
  }
  AdminAnswer change(const std::string& what, const std::string& digest) {
    return site_.post("/api/v1/cache/" + what, Json{{"digest", digest}}.dump());
  }

  AdminSite site_;
  Blobs blobs_{store(), site_.scratch.pool(), site_.scratch.clock(), site_.scratch.metrics(), FetchLimits{}};
  DigestMemory memory_{store()};
  ScrubJob scrub_{store(), site_.scratch.pool(), site_.scratch.clock()};
};

// Proves: the list has the largest first, with where they belong, and is filtered and cut.
TEST_F(CacheRoutesTest, ListsWhatIsStored) {
  const auto small = put('a', kMiB, "library/nginx").to_string();
  const auto large = put('b', 3 * kMiB, "library/alpine").to_string();
  const auto all = site_.ask("/api/v1/cache").json();
  EXPECT_EQ(all.at("total"), 2);
  const auto& first = all.at("blobs").at(0);
  EXPECT_EQ(first.at("digest"), large);
  EXPECT_EQ(first.at("size_bytes"), 3 * kMiB);
  EXPECT_EQ(first.at("stored_bytes"), 3 * kMiB);
  EXPECT_EQ(first.at("state"), "partial");  // nobody has hashed it
  EXPECT_EQ(first.at("repositories"), Json{"docker.io/library/alpine"});
  EXPECT_EQ(first.at("running"), false);
  EXPECT_EQ(digests("?limit=1"), Json{large});
  EXPECT_EQ(site_.ask("/api/v1/cache?limit=1").json().at("total"), 2);
  EXPECT_EQ(digests("?repository=library%2Fnginx"), Json{small});
  EXPECT_EQ(digests("?repository=docker.io/library/nginx"), Json{small});
  EXPECT_EQ(digests("?registry=docker.io").size(), 2U);
  EXPECT_EQ(digests("?registry=ghcr.io").size(), 0U);
  EXPECT_EQ(digests("?digest=" + small.substr(0, 14)), Json{small});
}

// Proves: what is pinned is no longer among what goes next, and after unpinning is again.
TEST_F(CacheRoutesTest, PinsAndEvictions) {
  const auto one = put('a', kMiB, "x").to_string(), two = put('b', kMiB, "x").to_string();
  const auto next = [&] { return site_.ask("/api/v1/cache/evictions?limit=10").json().at("evictions"); };
  ASSERT_EQ(next().size(), 2U);
  EXPECT_EQ(next().at(0), (Json{{"digest", one}, {"stored_bytes", kMiB}}));
  EXPECT_EQ(change("pin", one).json().at("pinned"), true);
  ASSERT_EQ(next().size(), 1U);
  EXPECT_EQ(next().at(0).at("digest"), two);
  EXPECT_EQ(site_.ask("/api/v1/cache?digest=" + one).json().at("blobs").at(0).at("pinned"), true);
  EXPECT_EQ(change("unpin", one).json().at("pinned"), false);
  EXPECT_EQ(next().size(), 2U);
}

// Proves: a purge removes blobs and manifests, and says when there is nothing to remove.
TEST_F(CacheRoutesTest, Purge) {
  const auto digest = put('a', kMiB, "x").to_string();
  EXPECT_EQ(change("purge", digest).json().at("stored_bytes"), kMiB);
  EXPECT_FALSE(store().peek(Digest::parse(digest).value()));
  const auto manifest = Digest::sha256("{}");
  ASSERT_TRUE(store().put_small(manifest, {"{}", "application/vnd.oci.image.manifest.v1+json"}));
  EXPECT_EQ(change("purge", manifest.to_string()).status, 200);
  EXPECT_FALSE(store().small(manifest));
  for (const auto* what : {"pin", "unpin", "purge"}) {
    EXPECT_EQ(change(what, digest).status, 404) << what;
    EXPECT_EQ(change(what, "sha256:short").status, 400) << what;
  }
}

// Proves: a scrub runs by itself, is asked how it went, and the answer to a second one beside it is that one runs.
TEST_F(CacheRoutesTest, ScrubIsAJob) {
  put('a', 2 * kMiB, "x");
  EXPECT_EQ(site_.ask("/api/v1/cache/scrub").json().at("state"), "none");
  EXPECT_EQ(site_.post("/api/v1/cache/scrub", "").status, 200);
  wait_for([&] { return site_.ask("/api/v1/cache/scrub").json().at("state") == "done"; });
  const auto report = site_.ask("/api/v1/cache/scrub").json();
  EXPECT_EQ(report.at("bytes"), 2 * kMiB);
  EXPECT_EQ(report.at("corrupt"), 0);
  EXPECT_TRUE(report.at("ended").is_string());

  // The pool's threads are kept busy, so that the next one cannot begin to run.
  std::promise<void> go;
  const auto gate = go.get_future().share();
  for (int i = 0; i < 2; ++i) site_.scratch.pool().submit([gate] { gate.wait(); });
  ASSERT_TRUE(scrub_.start());
  const auto second = scrub_.start();
  go.set_value();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Errc::kBusy);
  wait_for([&] { return scrub_.report().state == ScrubJob::Report::State::kDone; });
  scrub_.stop();
  EXPECT_EQ(site_.post("/api/v1/cache/scrub", "").status, 503);
}

}  // namespace
}  // namespace oxbow::mirror
