// Where credentials come from: every form of file and program, with real small scripts.
#include "mirror/upstream/credentials.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "core/encoding.h"
#include "mirror/upstream/credential_files.h"
#include "mirror/upstream/credential_programs.h"
#include "mirror/upstream/program.h"
#include "tests/unit/mirror/upstream/bench.h"

namespace oxbow::mirror::upstream::testing {
namespace {

namespace fs = std::filesystem;

class UpstreamCredentials : public ::testing::Test {
 protected:
  void SetUp() override {
    directory = fs::path(::testing::TempDir()) / fmt::format("oxbow-credentials-{}", getpid());
    fs::create_directories(directory);
  }
  void TearDown() override { fs::remove_all(directory); }

  std::string write(const std::string& name, const std::string& content) {
    const auto path = directory / name;
    std::ofstream(path) << content;
    return path.string();
  }
  std::string script(const std::string& name, const std::string& body) {
    const auto path = write(name, "#!/bin/sh\n" + body);
    chmod(path.c_str(), 0755);
    return path;
  }

  fs::path directory;
};

CredentialQuery query_for(std::string url, std::string repository = "a/b") {
  return {.url = std::move(url), .repository = std::move(repository)};
}

// `auths` by host and by URL, with `auth` and with plain fields; other hosts and other ports get nothing.
TEST_F(UpstreamCredentials, DockerAuths) {
  const auto json = R"({"auths":{
    "quay.io":{"auth":")" +
                    base64_encode("robot:pass:word") + R"("},
    "https://ghcr.io/v2/":{"username":"u","password":"p"},
    "reg.local:5000":{"auth":")" +
                    base64_encode("x:y") + R"("}}})";
  auto found = parse_docker_config(json, "https://quay.io");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->credential->username, "robot");
  EXPECT_EQ(found->credential->password, "pass:word");
  EXPECT_EQ(parse_docker_config(json, "https://ghcr.io")->credential->password, "p");
  EXPECT_EQ(parse_docker_config(json, "http://reg.local:5000")->credential->username, "x");
  EXPECT_FALSE(parse_docker_config(json, "http://reg.local:5001")->credential);
  EXPECT_FALSE(parse_docker_config(json, "https://io")->credential);
}

// Docker Hub's many names share one key.
TEST_F(UpstreamCredentials, DockerHub) {
  const auto json = R"({"auths":{"https://index.docker.io/v1/":{"auth":")" + base64_encode("hub:pw") + R"("}}})";
  for (const auto* url : {"https://registry-1.docker.io", "https://index.docker.io", "https://docker.io"}) {
    EXPECT_EQ(parse_docker_config(json, url)->credential->username, "hub") << url;
    EXPECT_EQ(docker_server_name(url), "https://index.docker.io/v1/");
  }
  EXPECT_FALSE(parse_docker_config(json, "https://evil-docker.io")->credential);
  EXPECT_EQ(docker_server_name("https://Quay.io:443/x"), "quay.io");
}

// Identity and registry tokens; "<token>" as the user's name.
TEST_F(UpstreamCredentials, DockerTokens) {
  const auto json = R"({"auths":{"a.io":{"auth":")" + base64_encode("00000000:") + R"(","identitytoken":"refresh"},
    "b.io":{"registrytoken":"bearer"},"c.io":{"username":"<token>","password":"refresh2"}}})";
  EXPECT_EQ(parse_docker_config(json, "https://a.io")->credential->identity_token, "refresh");
  EXPECT_EQ(parse_docker_config(json, "https://b.io")->credential->registry_token, "bearer");
  EXPECT_EQ(parse_docker_config(json, "https://c.io")->credential->identity_token, "refresh2");
  EXPECT_EQ(parse_docker_config(json, "https://c.io")->credential->username, "");
}

// A host's own helper goes first; the store is asked only where `auths` has nothing; broken files are told apart.
TEST_F(UpstreamCredentials, DockerHelpers) {
  const auto json = R"({"credsStore":"desktop","credHelpers":{"ecr.io":"ecr-login"},"auths":{"x.io":{}}})";
  EXPECT_EQ(parse_docker_config(json, "https://ecr.io")->helper, "ecr-login");
  EXPECT_EQ(parse_docker_config(json, "https://x.io")->helper, "desktop");
  EXPECT_EQ(parse_docker_config("[]", "https://x.io").error().code(), Errc::kInvalid);
  EXPECT_EQ(parse_docker_config("{", "https://x.io").error().code(), Errc::kInvalid);
  EXPECT_TRUE(parse_docker_config(R"({"auths":7,"credHelpers":[],"credsStore":{}})", "https://x.io"));
  EXPECT_FALSE(read_credential(DockerConfigSource{"/nonexistent/config.json"}, query_for("https://x.io"))->credential);
}

// A helper program gets the server on stdin and answers; its refusals and failures are not the same.
TEST_F(UpstreamCredentials, HelperProgram) {
  const auto helper = script("docker-credential-fake", R"(read server
[ "$1" = get ] || exit 9
case "$server" in
  quay.io) echo '{"ServerURL":"quay.io","Username":"me","Secret":"s3cret"}' ;;
  https://index.docker.io/v1/) echo '{"Username":"<token>","Secret":"refresh"}' ;;
  broken.io) echo 'rubbish' ;;
  gone.io) echo 'credentials not found in native keychain'; exit 1 ;;
  *) echo "secret things" >&2; exit 3 ;;
esac)");
  const auto ask = [&](const std::string& url) { return read_credential(HelperSource{helper}, query_for(url)); };
  EXPECT_EQ(ask("https://quay.io")->credential->password, "s3cret");
  EXPECT_EQ(ask("https://registry-1.docker.io")->credential->identity_token, "refresh");
  EXPECT_EQ(ask("https://broken.io").error().code(), Errc::kInvalid);
  EXPECT_FALSE(ask("https://gone.io")->credential);
  EXPECT_EQ(ask("https://other.io").error().code(), Errc::kUnavailable);
  EXPECT_FALSE(ask("https://other.io").error().what().contains("secret"));
  EXPECT_EQ(read_credential(HelperSource{"no-such-helper"}, query_for("https://x.io")).error().code(),
            Errc::kUnavailable);
}

// A program that hangs is killed with its children; one that prints without end is stopped; input it ignores does no
// harm.
TEST_F(UpstreamCredentials, Programs) {
  const auto begin = std::chrono::steady_clock::now();
  const auto hang = run_program({script("hang", "sleep 60 & wait")}, {}, "", 200ms);
  ASSERT_FALSE(hang);
  EXPECT_EQ(hang.error().code(), Errc::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  EXPECT_EQ(run_program({script("flood", "yes")}, {}, "", 10s).error().code(), Errc::kLimit);
  const auto deaf =
      run_program({script("deaf", "exec <&-; echo $MARK")}, {"MARK=here"}, std::string(1 << 20, 'x'), 10s);
  ASSERT_TRUE(deaf) << deaf.error().what();
  EXPECT_EQ(deaf->output, "here\n");
  EXPECT_EQ(run_program({script("code", "exit 7")}, {}, "", 10s)->exit_code, 7);
  EXPECT_EQ(run_program({"/nonexistent/program"}, {}, "", 10s).error().code(), Errc::kUnavailable);
}

// Kubernetes' rule for matchImages.
TEST_F(UpstreamCredentials, ImageMatching) {
  EXPECT_TRUE(matches_image("*.dkr.ecr.*.amazonaws.com", "123.dkr.ecr.eu-west-1.amazonaws.com/a/b"));
  EXPECT_FALSE(matches_image("*.dkr.ecr.*.amazonaws.com", "dkr.ecr.eu-west-1.amazonaws.com/a"));
  EXPECT_TRUE(matches_image("*.azurecr.io", "x.azurecr.io/repo"));
  EXPECT_FALSE(matches_image("*.azurecr.io", "a.b.azurecr.io/repo"));
  EXPECT_TRUE(matches_image("registry.io:8080/path", "registry.io:8080/path/image"));
  EXPECT_FALSE(matches_image("registry.io:8080/path", "registry.io/path/image"));
  EXPECT_FALSE(matches_image("registry.io/path", "registry.io/other"));
  EXPECT_TRUE(matches_image("https://gcr.io", "gcr.io/x"));
}

// The provider whose images fit is run with the request kubelet sends; its answer says for which images and for how
// long.
TEST_F(UpstreamCredentials, KubeletProviderYaml) {
  script("ecr-provider", R"(cat > "$(dirname "$0")/request"
[ "$1" = get-credentials ] && [ "$AWS_PROFILE" = prod ] || exit 1
echo '{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry",
"cacheDuration":"6h0m0s","auth":{"*.ecr.example.com":{"username":"AWS","password":"pw"},"other.io":{"username":"no","password":"no"}}}')");
  const auto config = write("config.yaml", R"(# managed by the installer
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: never
    matchImages: ["*.gcr.io", 'gcr.io']
    defaultCacheDuration: "12h"
    apiVersion: credentialprovider.kubelet.k8s.io/v1
  - name: ecr-provider
    matchImages:
      - "*.ecr.example.com"   # all accounts
    defaultCacheDuration: "12h"
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    args:
    - get-credentials
    env:
      - name: AWS_PROFILE
        value: prod
)");
  const KubeletProviderSource source{.bin_dir = directory.string(), .config_file = config};
  const auto answer = read_credential(source, query_for("https://1.ecr.example.com", "team/app"));
  ASSERT_TRUE(answer) << answer.error().what();
  ASSERT_TRUE(answer->credential);
  EXPECT_EQ(answer->credential->username, "AWS");
  EXPECT_EQ(answer->credential->password, "pw");
  EXPECT_EQ(answer->valid_for, 6h);
  EXPECT_EQ(answer->scope, CredentialAnswer::Scope::kHost);
  const auto request = read_small_file((directory / "request").string());
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->contains("\"image\":\"1.ecr.example.com/team/app\"")) << *request;
  EXPECT_TRUE(request->contains("CredentialProviderRequest"));
  EXPECT_FALSE(read_credential(source, query_for("https://quay.io"))->credential);
}

// JSON serves as well as YAML; an answer by image is kept by image; what is neither says so.
TEST_F(UpstreamCredentials, KubeletProviderJson) {
  script(
      "p",
      R"(echo '{"kind":"CredentialProviderResponse","cacheKeyType":"Image","auth":{"r.io/a":{"username":"u","password":"p"}}}')");
  const auto config =
      write("config.json", R"({"kind":"CredentialProviderConfig","providers":[{"name":"p","matchImages":["r.io"],
    "defaultCacheDuration":"1m30s","apiVersion":"credentialprovider.kubelet.k8s.io/v1"}]})");
  const KubeletProviderSource source{.bin_dir = directory.string(), .config_file = config};
  const auto answer = read_credential(source, query_for("https://r.io", "a/x"));
  ASSERT_TRUE(answer) << answer.error().what();
  EXPECT_EQ(answer->credential->username, "u");
  EXPECT_EQ(answer->valid_for, 90s);
  EXPECT_EQ(answer->scope, CredentialAnswer::Scope::kRepository);
  EXPECT_FALSE(read_credential(source, query_for("https://r.io", "b"))->credential);
  EXPECT_EQ(parse_kubelet_config("just text").error().code(), Errc::kInvalid);
  EXPECT_EQ(parse_kubelet_config("kind: CredentialProviderConfig\nproviders:\n  - name: ../../bin/sh\n").error().code(),
            Errc::kInvalid);
  EXPECT_EQ(parse_kubelet_config("a: &anchor b").error().code(), Errc::kInvalid);
  EXPECT_EQ(parse_kubelet_config("a:\n\t- b").error().code(), Errc::kInvalid);
}

// A changed file is noticed; while its answer is fresh nothing is read; many who ask at once run one program.
TEST_F(UpstreamCredentials, CachingAndCoalescing) {
  const auto helper = script("docker-credential-count", fmt::format(R"(echo x >> {}/runs; sleep 0.2
echo '{{"Username":"u","Secret":"s"}}')",
                                                                    directory.string()));
  asio::io_context loop;  // before the pool, which may still be waking it when it has run
  Bench bench;
  const auto credentials = std::make_shared<Credentials>(HelperSource{helper}, bench.clock, bench.pool);
  int answered = 0;
  const auto ask = [&](const std::string& repository) {
    asio::co_spawn(loop, credentials->find(query_for("https://r.io", repository), SteadyTime::max()),
                   [&](std::exception_ptr failed, Result<std::optional<Credential>> found) {
                     EXPECT_FALSE(failed);
                     EXPECT_TRUE(found && *found && (*found)->password == "s");
                     ++answered;
                   });
  };
  const auto runs = [&] { return fs::file_size(directory / "runs") / 2; };
  for (int i = 0; i < 20; ++i) ask("same");
  loop.run();
  EXPECT_EQ(answered, 20);
  EXPECT_EQ(runs(), 1);
  loop.restart();
  ask("other");  // the answer is the host's
  loop.run();
  EXPECT_EQ(runs(), 1);
  bench.clock.advance(5min + 1s);
  loop.restart();
  ask("same");
  loop.run();
  EXPECT_EQ(runs(), 2);
  credentials->forget(query_for("https://r.io"));
  loop.restart();
  ask("same");
  loop.run();
  EXPECT_EQ(runs(), 3);
}

// A source that fails is kUnavailable for the request, not an anonymous try.
TEST_F(UpstreamCredentials, FailingSourceIsAnError) {
  FakeRegistry fake(
      [](const Seen&) -> Reply { return {.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=x"}}}; });
  Bench bench;
  UpstreamConfig config;
  config.urls = {fake.url()};
  config.credentials = HelperSource{script("docker-credential-bad", "exit 2")};
  const auto registry = bench.registry(config);
  auto request = manifest_request();
  request.identity.kind = IdentityKind::kNode;
  EXPECT_EQ(bench.get(*registry, request).error().code(), Errc::kUnavailable);
}

}  // namespace
}  // namespace oxbow::mirror::upstream::testing
