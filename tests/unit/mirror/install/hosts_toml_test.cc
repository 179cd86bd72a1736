#include "mirror/install/hosts_toml.h"

#include <gtest/gtest.h>

namespace oxbow::mirror::install {
namespace {

constexpr const char* kMirror = "http://127.0.0.1:5050";

/// The text with the mirror in it; and the way back gives the text again.
std::string added(std::string_view text) {
  const auto edit = add_mirror(text, kMirror);
  EXPECT_TRUE(edit) << edit.error().what();
  if (!edit || !edit->edited) return std::string(text);
  EXPECT_EQ(undo(edit->edited->text, edit->edited->hunks), text);
  return edit->edited->text;
}

TEST(HostsToml, AnEmptyFileGetsPullResolveAndAShortDialAndNothingElse) {
  EXPECT_EQ(added(""),
            "# Written by \"oxbow install containerd\"; \"oxbow uninstall containerd\" takes it out again.\n"
            "[host.\"http://127.0.0.1:5050\"]\n  capabilities = [\"pull\", \"resolve\"]\n  dial_timeout = \"2s\"\n");
}

TEST(HostsToml, TheMirrorComesBeforeOtherHostsAndBelowTheKeysOfTheRoot) {
  const auto text = added(
      "server = \"https://a.test\"\nca = [\n  \"x.crt\",\n]\n\n# the site's\n[host.\"https://b.test\"]\n  ca = "
      "\"b.crt\"\n");
  EXPECT_LT(text.find("]\n\n# Written by"), text.find("# the site's"));
  EXPECT_LT(text.find(kMirror), text.find("b.test"));
}

TEST(HostsToml, HostsThatHaveOnlyATableBelowThemAreSeen) {
  const auto text = added("[host.\"https://b.test\".header]\n  x = \"y\"\n[host.\"https://a.test\"]\n");
  EXPECT_EQ(text.find("# Written by"), 0U);
}

TEST(HostsToml, AFileWithoutAHostOrANewlineAtItsEndGetsItBelow) {
  EXPECT_TRUE(added("server = \"https://a.test\"").starts_with("server = \"https://a.test\"\n\n# Written by"));
}

TEST(HostsToml, WhatHasTheMirrorFirstStaysAsItIs) {
  const auto edit = add_mirror("[host.\"http://127.0.0.1:5050\"]\n", kMirror);
  ASSERT_TRUE(edit);
  EXPECT_FALSE(edit->edited);
  EXPECT_TRUE(edit->warnings.empty());
}

TEST(HostsToml, SaysWhatIsWrongWithAMirrorThatIsThereAlready) {
  const auto edit = add_mirror(
      "server = \"http://127.0.0.1:5050\"\n[host.\"https://b.test\"]\n[host.\"http://127.0.0.1:5050\"]\n"
      "  capabilities = [\"pull\"]\n  skip_verify = true\n",
      kMirror);
  ASSERT_TRUE(edit);
  EXPECT_FALSE(edit->edited);
  EXPECT_EQ(edit->warnings.size(), 4U);  // server, not first, no resolve, TLS key
}

TEST(HostsToml, AFormThatCannotBeAddedToIsLeftWithTheTextToPutIn) {
  for (const auto* text : {"host.\"https://b.test\".ca = \"b.crt\"\n", "host = { \"https://b.test\" = {} }\n"}) {
    const auto edit = add_mirror(text, kMirror);
    ASSERT_FALSE(edit) << text;
    EXPECT_EQ(edit.error().code(), Errc::kUnsupported);
    EXPECT_NE(edit.error().what().find("[host.\"http://127.0.0.1:5050\"]"), std::string::npos);
  }
  EXPECT_EQ(add_mirror("server = ", kMirror).error().code(), Errc::kInvalid);
}

TEST(HostsToml, CertificatesOfADirectoryAreNamed) {
  const auto lines = certificate_lines({"a.crt", "b.cert", "b.key", "c.cert", "hosts.txt"});
  EXPECT_NE(lines.find("ca = [\"a.crt\"]\nclient = [[\"b.cert\", \"b.key\"]]\n"), std::string::npos);
  EXPECT_EQ(certificate_lines({"hosts.txt", "c.cert"}), "");
}

TEST(HostsToml, RelativePathsAreFound) {
  EXPECT_TRUE(has_relative_paths("ca = \"x.crt\"\n"));
  EXPECT_TRUE(has_relative_paths("[host.\"https://a.test\"]\nclient = [[\"/a\", \"b\"]]\n"));
  EXPECT_FALSE(has_relative_paths("ca = [\"/x.crt\"]\n[host.\"https://a.test\"]\n"));
}

}  // namespace
}  // namespace oxbow::mirror::install
