// An image through a mirror that is a script: what is asked for, what is believed, and how it goes on after a cut.
#include "mirror/operator/image_pull.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <random>

#include "core/encoding.h"
#include "tests/unit/mirror/upstream/fake_registry.h"

namespace oxbow::mirror {
namespace {

using upstream::testing::FakeRegistry;
using upstream::testing::Reply;
using upstream::testing::Seen;

std::string noise(std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string out(bytes, '\0');
  for (auto& c : out) c = static_cast<char>(random());
  return out;
}

class Quiet final : public PullWatcher {
 public:
  void on_running(const std::vector<const BlobDownload*>& running, const PullReport&, std::uint64_t) override {
    most = std::max(most, running.size());
  }
  void on_blob(const PulledBlob&) override {}
  std::size_t most = 0;
};

class ImagePullTest : public ::testing::Test {
 protected:
  ImagePullTest() {
    std::string layers;
    for (unsigned i = 0; i < 5; ++i) {
      const auto digest = add(noise(300'000, i));
      layers += fmt::format(R"({}{{"mediaType":"l","digest":"{}","size":300000}})", i > 0 ? "," : "", digest);
      digests_.push_back(digest);
    }
    const auto config = add("{}");
    const auto text =
        fmt::format(R"({{"config":{{"mediaType":"c","digest":"{}","size":2}},"layers":[{}]}})", config, layers);
    root_ = add(text);
    content_["1"] = text;
    mirror_.script([this](const Seen& seen) {
      const std::lock_guard lock(mutex_);  // each connection has its thread
      return answer(seen);
    });
  }

  std::string add(std::string bytes) {
    const auto digest = Digest::sha256(std::string_view(bytes)).to_string();
    content_[digest] = std::move(bytes);
    return digest;
  }
  Reply answer(const Seen& seen) {
    const auto name = seen.path().substr(seen.path().rfind('/') + 1);
    if (refuse && seen.header("authorization") != *refuse)
      return {.status = 401, .headers = {{"WWW-Authenticate", challenge}}};
    const auto found = content_.find(name);
    if (found == content_.end())
      return {.status = 404, .body = R"({"errors":[{"code":"BLOB_UNKNOWN","message":"gone"}]})"};
    Reply reply{.body = found->second};
    if (source.contains(name)) reply.headers.emplace_back("Oxbow-Source", source[name]);
    if (const auto range = seen.header("range"); !range.empty() && ranges) {
      const auto from = std::stoul(range.substr(6));
      reply.status = 206;
      reply.headers.emplace_back("Content-Range",
                                 fmt::format("bytes {}-{}/{}", from, found->second.size() - 1, found->second.size()));
      reply.body = found->second.substr(from);
    }
    if (cuts[name] > 0) {
      --cuts[name];
      reply.cut_after = 100'000;
    }
    return reply;
  }

  PullReport pull(std::optional<upstream::Credential> credential = {}, bool private_way = true) {
    Interrupt interrupt;
    HttpRunner http(interrupt);
    ImagePull::Options options{
        .image = *registry_api::parse_image_name("reg.test/team/app:1"),
        .platform = {},
        .access = {.mirror = {.url = mirror_.url(), .pinned_key = {}, .private_way = private_way},
                   .repository = "team/app",
                   .credential = std::move(credential),
                   .registry_is_https = false}};
    options.download.retry_after = std::chrono::milliseconds(1);
    ImagePull pull(std::move(options), {.http = http, .watcher = watcher, .ask_sources = {}, .user_agent = "test"});
    return pull.run();
  }

  std::map<std::string, std::string> content_;
  std::vector<std::string> digests_;
  std::string root_;
  std::map<std::string, int> cuts;
  std::map<std::string, std::string> source;
  std::optional<std::string> refuse;
  std::string challenge = R"(Basic realm="x")";
  bool ranges = true;
  Quiet watcher;
  std::mutex mutex_;
  FakeRegistry mirror_;
};

TEST_F(ImagePullTest, ItIsAskedForAsContainerdDoes) {
  const auto report = pull();
  ASSERT_FALSE(report.error) << report.error->what();
  EXPECT_EQ(report.digest->to_string(), root_);
  EXPECT_EQ(report.blobs.size(), 6U);
  EXPECT_EQ(report.bytes, 1'500'002 + content_[root_].size());
  EXPECT_LE(watcher.most, kParallelBlobs);
  for (const auto& seen : mirror_.seen()) {
    EXPECT_EQ(seen.query(), "ns=reg.test");
    EXPECT_EQ(seen.header("authorization"), "");
  }
  EXPECT_EQ(mirror_.count("/v2/team/app/manifests/1"), 1U);
}

TEST_F(ImagePullTest, ACutIsGoneOnWithByRange) {
  cuts[digests_[2]] = 2;
  const auto report = pull();
  ASSERT_FALSE(report.error) << report.error->what();
  std::vector<std::string> asked;
  for (const auto& seen : mirror_.seen()) {
    if (!seen.header("range").empty()) asked.push_back(seen.header("range"));
  }
  EXPECT_EQ(asked, (std::vector<std::string>{"bytes=100000-", "bytes=200000-"}));
}

TEST_F(ImagePullTest, AMirrorThatIgnoresTheRangeIsReadFromTheBegin) {
  cuts[digests_[2]] = 1;
  ranges = false;
  const auto report = pull();
  EXPECT_FALSE(report.error) << report.error->what();
}

TEST_F(ImagePullTest, WrongBytesAreAnErrorThatNamesThem) {
  content_[digests_[1]][7] ^= 1;
  const auto report = pull();
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->code(), Errc::kCorrupt);
  EXPECT_TRUE(report.error->what().contains(digests_[1])) << report.error->what();
}

TEST_F(ImagePullTest, AnotherLengthThanTheManifestsIsAnError) {
  content_[digests_[1]] += "more";
  EXPECT_EQ(pull().error->code(), Errc::kCorrupt);
}

TEST_F(ImagePullTest, AWrongManifestIsAnError) {
  content_["1"] += " ";
  content_.erase(root_);
  const auto report = pull();
  EXPECT_FALSE(report.error) << "a tag may point to anything";
  const auto image = *registry_api::parse_image_name("reg.test/team/app@" + root_);
  content_[root_] = content_["1"];
  Interrupt interrupt;
  HttpRunner http(interrupt);
  ImagePull pull({.image = image,
                  .platform = {},
                  .access = {.mirror = {.url = mirror_.url(), .pinned_key = {}, .private_way = true},
                             .repository = "team/app",
                             .credential = {}}},
                 {.http = http, .watcher = watcher, .ask_sources = {}, .user_agent = "test"});
  EXPECT_EQ(pull.run().error->code(), Errc::kCorrupt);
}

TEST_F(ImagePullTest, WhatIsMissingIsSaidInTheMirrorsWords) {
  content_.erase(digests_[3]);
  const auto report = pull();
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->code(), Errc::kNotFound);
  EXPECT_TRUE(report.error->what().contains("gone")) << report.error->what();
}

TEST_F(ImagePullTest, SourcesAreTakenFromTheAnswers) {
  for (const auto& [name, bytes] : content_) source[name] = "storage";
  source[digests_[0]] = "upstream";
  source.erase(digests_[1]);
  const auto report = pull();
  ASSERT_FALSE(report.error);
  EXPECT_EQ(report.sources.upstream, 300'000U);
  EXPECT_EQ(report.sources.storage, report.bytes - 600'000);
}

upstream::Credential alice() {
  upstream::Credential credential;
  credential.username = "alice";
  credential.password = "secret";
  return credential;
}

TEST_F(ImagePullTest, ACredentialIsShownWhenItIsAskedForAndNotBefore) {
  refuse = "Basic " + base64_encode("alice:secret");
  const auto report = pull(alice());
  ASSERT_FALSE(report.error) << report.error->what();
  EXPECT_EQ(mirror_.seen().front().header("authorization"), "");
  EXPECT_EQ(mirror_.count("/v2/team/app/manifests/"), 2U);
  auto wrong = alice();
  wrong.password = "guess";
  EXPECT_EQ(pull(wrong).error->code(), Errc::kUnauthorized);
  EXPECT_EQ(pull().error->code(), Errc::kUnauthorized);
}

TEST_F(ImagePullTest, ACredentialDoesNotGoInClearOverANetwork) {
  refuse = "Basic " + base64_encode("alice:secret");
  const auto report = pull(alice(), false);
  ASSERT_TRUE(report.error);
  EXPECT_EQ(report.error->code(), Errc::kDenied);
  for (const auto& seen : mirror_.seen()) EXPECT_EQ(seen.header("authorization"), "");
}

TEST_F(ImagePullTest, ATokenIsFetchedWhereTheChallengeSays) {
  FakeRegistry tokens([](const Seen& seen) {
    if (seen.method == "POST") return Reply{.status = 404};
    if (seen.header("authorization") != "Basic " + base64_encode("alice:secret")) return Reply{.status = 401};
    return Reply{.body = R"({"token":"t1"})"};
  });
  challenge = fmt::format(R"(Bearer realm="{}/token",service="s",scope="repository:team/app:pull")", tokens.url());
  refuse = "Bearer t1";
  const auto report = pull(alice());
  ASSERT_FALSE(report.error) << report.error->what();
  EXPECT_TRUE(tokens.seen().back().query().contains("scope=repository%3Ateam%2Fapp%3Apull"));
  for (const auto& seen : mirror_.seen()) EXPECT_FALSE(seen.header("authorization").starts_with("Basic"));
  EXPECT_EQ(pull().error->code(), Errc::kUnauthorized);
}

}  // namespace
}  // namespace oxbow::mirror
