#include "registry-api/manifest.h"

#include <gtest/gtest.h>

#include "registry-api/referrers.h"

namespace oxbow::registry_api {
namespace {

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');
const std::string kC = "sha512:" + std::string(128, 'c');

std::string descriptor(const std::string& digest, std::uint64_t size, const std::string& more = "") {
  return R"({"mediaType":"application/x","digest":")" + digest + R"(","size":)" + std::to_string(size) + more + "}";
}

// An OCI image: config, layers, subject and artifact type, sizes beyond 32 bits.
TEST(Manifest, OciImage) {
  const auto manifest =
      parse_manifest(R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)" +
                         descriptor(kA, 7) + R"(,"layers":[)" + descriptor(kB, 700'000'000'000) + "," +
                         descriptor(kC, 1) + R"(],"subject":)" + descriptor(kA, 9) + R"(,"unknown":{"x":[1]}})",
                     kDockerManifestType);
  ASSERT_TRUE(manifest) << manifest.error().what();
  EXPECT_EQ(manifest->kind, ManifestKind::kImage);
  EXPECT_EQ(manifest->media_type, kOciManifestType);
  EXPECT_EQ(manifest->artifact_type, "application/x");  // from the config
  EXPECT_EQ(manifest->config->digest.to_string(), kA);
  ASSERT_EQ(manifest->layers.size(), 2U);
  EXPECT_EQ(manifest->layers[0].size, 700'000'000'000U);
  EXPECT_EQ(manifest->layers[1].digest.to_string(), kC);
  EXPECT_EQ(manifest->subject->size, 9U);
  EXPECT_EQ(manifest->contained().size(), 3U);
}

// Indexes and Docker lists name manifests; the type comes from the header when the document has none.
TEST(Manifest, IndexAndList) {
  const auto index =
      parse_manifest(R"({"schemaVersion":2,"manifests":[)" + descriptor(kA, 5, R"(,"platform":{"os":"linux"})") + "]}",
                     std::string(kDockerListType) + "; charset=utf-8");
  ASSERT_TRUE(index);
  EXPECT_EQ(index->kind, ManifestKind::kIndex);
  EXPECT_EQ(index->media_type, kDockerListType);
  EXPECT_EQ(index->manifests.size(), 1U);
  EXPECT_TRUE(parse_manifest(R"({"manifests":null})", "")->manifests.empty());
}

// Schema 1 has digests without sizes: they are known, their size is not taken for 0.
TEST(Manifest, Schema1) {
  const auto manifest = parse_manifest(
      R"({"schemaVersion":1,"name":"x","fsLayers":[{"blobSum":")" + kA + R"("},{"blobSum":"bad"},7]})", "");
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->kind, ManifestKind::kSchema1);
  ASSERT_EQ(manifest->unsized.size(), 1U);
  EXPECT_EQ(manifest->skipped, 2U);
  EXPECT_TRUE(manifest->layers.empty());
}

TEST(Manifest, ArtifactManifest) {
  const auto manifest = parse_manifest(R"({"artifactType":"application/y","blobs":[)" + descriptor(kA, 5) + "]}", "");
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->kind, ManifestKind::kArtifact);
  EXPECT_EQ(manifest->artifact_type, "application/y");
  EXPECT_EQ(manifest->layers.size(), 1U);
}

// Descriptors of unknown algorithms, without sizes or of the wrong type cost themselves only.
TEST(Manifest, SkipsWhatItCannotUse) {
  const auto manifest =
      parse_manifest(R"({"layers":[)" + descriptor("blake3:" + std::string(64, 'a'), 5) + R"(,"x",{},)" +
                         R"({"digest":")" + kB + R"(","size":-1},)" + descriptor(kA, 5) + "]}",
                     "");
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->skipped, 3U);
  ASSERT_EQ(manifest->layers.size(), 1U);
  ASSERT_EQ(manifest->unsized.size(), 1U);
  EXPECT_EQ(manifest->unsized[0].to_string(), kB);
}

std::size_t contained(const std::string& text, std::string_view media_type = kOciManifestType) {
  const auto manifest = parse_manifest(text, media_type);
  EXPECT_TRUE(manifest) << text;
  return manifest ? manifest->contained().size() : 0;
}

// Foreign layers and subjects may name what the repository does not have: they prove nothing about it.
TEST(Manifest, ContainedLeavesOutForeignLayersAndSubject) {
  for (const std::string urls : {R"(["https://x"])", "[null]", R"("https://x")"}) {
    const auto manifest =
        parse_manifest(R"({"layers":[)" + descriptor(kC, 5) + "," + descriptor(kA, 5, R"(,"urls":)" + urls) +
                           R"(],"subject":)" + descriptor(kB, 5) + "}",
                       kOciManifestType);
    ASSERT_TRUE(manifest);
    EXPECT_EQ(manifest->layers.size(), 2U);
    ASSERT_EQ(manifest->contained().size(), 1U) << urls;
    EXPECT_EQ(manifest->contained()[0]->digest.to_string(), kC);
  }
  for (const std::string type : {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                                 "application/vnd.oci.image.layer.nondistributable.v1.tar"}) {
    EXPECT_EQ(contained(R"({"layers":[{"mediaType":")" + type + R"(","digest":")" + kA + R"(","size":5}]})"), 0U);
  }
  const auto unsized = parse_manifest(
      R"({"layers":[{"digest":")" + kA + R"(","urls":["https://x"]}],"subject":)" + R"({"digest":")" + kB + R"("}})",
      kOciManifestType);
  ASSERT_TRUE(unsized);
  EXPECT_TRUE(unsized->unsized.empty());
}

// Registries look for what the type of a manifest makes it name, and take the rest as it is.
TEST(Manifest, ContainedIsWhatRegistriesCheck) {
  const auto list = [](const std::string& key) { return '"' + key + "\":[" + descriptor(kA, 5) + "]"; };
  const auto image = "{" + list("layers") + "}";
  EXPECT_EQ(contained(image), 1U);
  EXPECT_EQ(contained(image, kDockerManifestType), 1U);
  EXPECT_EQ(contained(image, std::string(kOciManifestType) + "; charset=utf-8"), 1U);
  EXPECT_EQ(contained("{" + list("manifests") + "}", kOciIndexType), 1U);
  EXPECT_EQ(contained("{" + list("manifests") + "}", kDockerListType), 1U);

  const auto mixed = parse_manifest("{\"layers\":[]," + list("blobs") + "}", kOciManifestType);
  ASSERT_TRUE(mixed);
  EXPECT_TRUE(mixed->layers.empty());
  EXPECT_EQ(contained(image, kDockerListType), 0U);
  EXPECT_EQ(contained(image, "application/octet-stream"), 0U);
  EXPECT_EQ(contained("{" + list("manifests") + "}"), 0U);
  EXPECT_EQ(contained(R"({"mediaType":"application/vnd.oci.image.index.v1+json",)" + list("layers") + "}"), 0U);
  EXPECT_EQ(
      contained(R"({"mediaType":"application/vnd.oci.image.manifest.v1+json",)" + list("layers") + "}", kOciIndexType),
      0U);
  EXPECT_EQ(contained("{" + list("blobs") + "}", "application/vnd.oci.artifact.manifest.v1+json"), 0U);
}

// Where Go's reader finds other things than ours, what a registry has checked is not what is read here.
TEST(Manifest, ContainedIsNothingWhereReadersDiffer) {
  const auto own = "[" + descriptor(kB, 5) + "]";
  const auto other = "[" + descriptor(kA, 5) + "]";
  const auto layer = [](const std::string& more) { return R"({"layers":[)" + descriptor(kA, 5, more) + "]}"; };
  for (const std::string& text : {
           R"({"layers":)" + other + R"(,"Layers":)" + own + "}",
           "{\"layers\":" + other + ",\"layer\xC5\xBF\":" + own + "}",
           R"({"layers":)" + other + R"(,"\u004cayers":)" + own + "}",
           R"({"layers":)" + own + R"(,"layers":)" + other + "}",
           R"({"layers":)" + other + R"(,"CONFIG":)" + descriptor(kB, 5) + "}",
           R"({"layers":)" + other + R"(,"MediaType":"application/vnd.oci.image.index.v1+json"})",
           R"({"config":)" + descriptor(kA, 5, R"(,"Digest":")" + kB + '"') + "}",
           layer(R"(,"Digest":")" + kB + '"'),
           layer(R"(,"URLs":["https://x"])"),
           layer(R"(,"urls":["https://x"],"urls":[])"),
       }) {
    EXPECT_EQ(contained(text), 0U) << text;
  }
  EXPECT_EQ(contained(R"({"manifests":)" + other + R"(,"Manifests":)" + own + "}", kOciIndexType), 0U);
  EXPECT_EQ(contained(R"({"annotations":{"Size":"1","size":"2"},"layers":)" + own + "}"), 1U);
  EXPECT_EQ(contained(layer(R"(,"annotations":{"URLs":"x"})")), 1U);
}

// Two readings under one digest (CVE-2021-41190), no JSON, and hostile shapes are refused.
TEST(Manifest, RefusesWhatIsNone) {
  EXPECT_EQ(parse_manifest(R"({"manifests":[],"layers":[]})", "").error().code(), Errc::kInvalid);
  EXPECT_EQ(parse_manifest("", "").error().code(), Errc::kInvalid);
  EXPECT_EQ(parse_manifest("[]", "").error().code(), Errc::kInvalid);
  EXPECT_EQ(parse_manifest("{\"a\":", "").error().code(), Errc::kInvalid);
  EXPECT_EQ(parse_manifest(std::string(1'000'000, '['), "").error().code(), Errc::kLimit);
  EXPECT_EQ(parse_manifest("{\"a\":[" + std::string(600'000, ',') + "]}", "").error().code(), Errc::kLimit);
  EXPECT_EQ(parse_manifest(std::string(kMaxManifestBytes + 1, ' '), "").error().code(), Errc::kLimit);
  EXPECT_TRUE(parse_manifest("{}", ""));
}

// Filtering keeps the matching manifests as they are, and the index around them.
TEST(Referrers, FilterByArtifactType) {
  const auto index = R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)" +
                     descriptor(kA, 1, R"(,"artifactType":"application/sbom","annotations":{"z":"1","a":"2"})") + "," +
                     descriptor(kB, 1, R"(,"artifactType":"application/sig")") + R"(],"annotations":{"k":"v"}})";
  const auto filtered = filter_referrers(index, "application/sbom");
  ASSERT_TRUE(filtered);
  EXPECT_NE(filtered->find(kA), std::string::npos);
  EXPECT_EQ(filtered->find(kB), std::string::npos);
  EXPECT_NE(filtered->find(R"("annotations":{"z":"1","a":"2"})"), std::string::npos);
  EXPECT_NE(filtered->find(R"("annotations":{"k":"v"})"), std::string::npos);
  EXPECT_NE(filter_referrers(index, "application/none")->find(R"("manifests":[])"), std::string::npos);
  EXPECT_FALSE(filter_referrers("<html>", "x"));
  EXPECT_FALSE(check_referrers(R"({"layers":[]})"));
  EXPECT_TRUE(check_referrers(empty_referrers()));
}

// The fallback tag's rule: cut to 32 and 64 characters, others replaced.
TEST(Referrers, FallbackTag) {
  EXPECT_EQ(referrers_tag(kA), "sha256-" + std::string(64, 'a'));
  EXPECT_EQ(referrers_tag(kC), "sha512-" + std::string(64, 'c'));
  EXPECT_EQ(referrers_tag("a+b:x=y"), "a-b-x-y");
}

}  // namespace
}  // namespace oxbow::registry_api
