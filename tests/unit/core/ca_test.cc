// The cluster's CA on a real directory: what it makes is checked by OpenSSL's own verification.
#include "core/tls/ca.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "core/tls/node_name.h"

namespace oxbow::tls {
namespace {

namespace fs = std::filesystem;
using std::chrono::days;
using std::chrono::hours;

constexpr std::chrono::sys_seconds kNow{std::chrono::seconds(1'790'000'000)};

/// Whether a chain ends in `trusted` at a time and for a purpose, by the strict rules; else OpenSSL's reason.
std::string verify(X509& leaf, X509& trusted, std::chrono::sys_seconds at, int purpose, const char* host = nullptr) {
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(), X509_STORE_free);
  X509_STORE_add_cert(store.get(), &trusted);
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> context(X509_STORE_CTX_new(),
                                                                                X509_STORE_CTX_free);
  X509_STORE_CTX_init(context.get(), store.get(), &leaf, nullptr);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(parameters, at.time_since_epoch().count());
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
  if (host != nullptr) X509_VERIFY_PARAM_set1_host(parameters, host, 0);
  if (X509_verify_cert(context.get()) == 1) return {};
  return X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

mode_t mode_of(const fs::path& file) {
  struct stat info{};
  EXPECT_EQ(::stat(file.c_str(), &info), 0) << file;
  return info.st_mode & 0777;
}

class CaTest : public testing::Test {
 protected:
  CaTest() {
    // In memory where the machine has it: every file is synced, which waits for whatever else the disk does.
    const fs::path memory = "/dev/shm";
    const auto base = ::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
    std::string pattern = (base / "oxbow-ca-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    ca_.emplace(root_ / "ca");
  }
  ~CaTest() override { fs::remove_all(root_); }

  void create() {
    const auto made = ca_->create("test cluster", 3650, kNow);
    ASSERT_TRUE(made) << made.error().what();
  }
  WrittenCertificate issue(const std::string& name, int length = 365) {
    auto made = ca_->issue({{name, {}, {}}, length, {}}, kNow);
    EXPECT_TRUE(made) << made.error().what();
    return *made;
  }
  Certificate first_in(const fs::path& file) {
    auto all = parse_certificates(text_of(file));
    EXPECT_TRUE(all) << all.error().what();
    return std::move(all->front());
  }
  Certificate root_certificate() { return first_in(root_ / "ca" / "ca.crt"); }
  Key key_in(const fs::path& file) {
    auto key = parse_key(text_of(file));
    EXPECT_TRUE(key) << key.error().what();
    return std::move(*key);
  }

  fs::path root_;
  std::optional<ClusterCa> ca_;
};

// What is issued verifies for both ends of a connection, under its names and addresses and no others, by strict rules.
TEST_F(CaTest, IssuedCertificateVerifies) {
  create();
  const auto made = ca_->issue({{"node-1", {"node-1.example"}, {"10.0.0.1", "fd00::1"}}, 365, root_ / "out"}, kNow);
  ASSERT_TRUE(made) << made.error().what();
  const auto leaf = first_in(made->certificate_file);
  const auto root = root_certificate();
  EXPECT_EQ(verify(*leaf, *root, kNow, X509_PURPOSE_SSL_SERVER, "node-1"), "");
  EXPECT_EQ(verify(*leaf, *root, kNow, X509_PURPOSE_SSL_CLIENT, "node-1.example"), "");
  EXPECT_NE(verify(*leaf, *root, kNow, X509_PURPOSE_SSL_SERVER, "node-2"), "");
  EXPECT_NE(verify(*leaf, *root, kNow, X509_PURPOSE_SMIME_SIGN), "");
  EXPECT_EQ(X509_check_ip_asc(leaf.get(), "10.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(leaf.get(), "fd00::1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(leaf.get(), "10.0.0.2", 0), 0);
  EXPECT_EQ(X509_get_extended_key_usage(leaf.get()), static_cast<std::uint32_t>(XKU_SSL_SERVER | XKU_SSL_CLIENT));
  EXPECT_EQ(X509_get_key_usage(leaf.get()), static_cast<std::uint32_t>(KU_DIGITAL_SIGNATURE));
  EXPECT_EQ(common_name_of(*leaf), "node-1");
  EXPECT_TRUE(belongs_to(*key_in(made->key_file), *leaf));
  EXPECT_EQ(EVP_PKEY_get_bits(key_in(made->key_file).get()), 256);
}

// The name is the first alternative name; the file holds the chain: the node's certificate, then the CA's.
TEST_F(CaTest, NameComesFirstAndTheChainIsWhole) {
  create();
  const auto made = ca_->issue({{"zeta", {"alpha"}, {}}, 365, {}}, kNow);
  ASSERT_TRUE(made);
  const auto chain = parse_certificates(text_of(made->certificate_file));
  ASSERT_TRUE(chain);
  ASSERT_EQ(chain->size(), 2U);
  EXPECT_EQ(X509_cmp(chain->back().get(), root_certificate().get()), 0);
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(chain->front().get(), NID_subject_alt_name, nullptr, nullptr));
  ASSERT_NE(names, nullptr);
  const ASN1_STRING* first = sk_GENERAL_NAME_value(names, 0)->d.dNSName;
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(first)),
                        static_cast<std::size_t>(ASN1_STRING_length(first))),
            "zeta");
  GENERAL_NAMES_free(names);
}

// The CA may sign certificates and no further CAs, and does not serve as a node itself.
TEST_F(CaTest, CaIsACaOfPathLengthZero) {
  create();
  const auto root = root_certificate();
  EXPECT_NE(X509_check_ca(root.get()), 0);
  EXPECT_EQ(X509_get_pathlen(root.get()), 0);
  EXPECT_EQ(X509_get_key_usage(root.get()), static_cast<std::uint32_t>(KU_KEY_CERT_SIGN | KU_CRL_SIGN));
  EXPECT_EQ(common_name_of(*root), "test cluster");
  EXPECT_EQ(X509_verify(root.get(), key_in(root_ / "ca" / "ca.key").get()), 1);
}

// Valid from a day before to the end asked for; an hour of skew either way is harmless, the second after the end is
// not.
TEST_F(CaTest, TimesAreKept) {
  create();
  const auto leaf = first_in(issue("node-1", 10).certificate_file);
  const auto root = root_certificate();
  const auto at = [&](std::chrono::sys_seconds time) { return verify(*leaf, *root, time, X509_PURPOSE_SSL_CLIENT); };
  EXPECT_EQ(at(kNow - hours(1)), "");
  EXPECT_EQ(at(kNow - kBackdate + std::chrono::seconds(1)), "");
  EXPECT_NE(at(kNow - kBackdate - std::chrono::seconds(1)), "");
  EXPECT_EQ(at(kNow + days(10) - hours(1)), "");
  EXPECT_EQ(at(kNow + days(10) + std::chrono::seconds(1)), "certificate has expired");
}

// Nothing outlives its CA, and the caller is told; an expired CA signs nothing.
TEST_F(CaTest, NothingOutlivesTheCa) {
  ASSERT_TRUE(ca_->create("short", 10, kNow));
  const auto made = issue("node-1", 365);
  EXPECT_TRUE(made.shortened);
  EXPECT_EQ(made.certificate.validity.not_after, kNow + days(10));
  EXPECT_EQ(ca_->issue({{"node-2", {}, {}}, 1, {}}, kNow + days(11)).error().code(), Errc::kDenied);
}

// Another CA's certificate does not verify, even if the two CAs have the same name.
TEST_F(CaTest, AnotherCaFails) {
  create();
  ClusterCa other(root_ / "other");
  ASSERT_TRUE(other.create("test cluster", 3650, kNow));
  const auto foreign = other.issue({{"node-1", {}, {}}, 365, {}}, kNow);
  ASSERT_TRUE(foreign);
  const auto leaf = first_in(foreign->certificate_file);
  EXPECT_NE(verify(*leaf, *root_certificate(), kNow, X509_PURPOSE_SSL_CLIENT), "");
  EXPECT_EQ(verify(*leaf, *first_in(foreign->ca_file), kNow, X509_PURPOSE_SSL_CLIENT), "");
}

// A name of more than 64 characters does not fit the subject: the alternative names carry it alone.
TEST_F(CaTest, LongNamesStandInTheAlternativeNamesOnly) {
  create();
  const std::string name = std::string(60, 'a') + "." + std::string(60, 'b');
  const auto leaf = first_in(issue(name).certificate_file);
  EXPECT_EQ(common_name_of(*leaf), "");
  EXPECT_EQ(verify(*leaf, *root_certificate(), kNow, X509_PURPOSE_SSL_SERVER, name.c_str()), "");
}

// Keys and the index are the owner's alone; certificates and the list of revoked ones are everybody's to read.
TEST_F(CaTest, FileModes) {
  const auto old = ::umask(0);
  create();
  const auto made = issue("node-1");
  ::umask(old);
  EXPECT_EQ(mode_of(root_ / "ca"), 0700U);
  EXPECT_EQ(mode_of(root_ / "ca" / "ca.key"), 0600U);
  EXPECT_EQ(mode_of(root_ / "ca" / "index.json"), 0600U);
  EXPECT_EQ(mode_of(made.key_file), 0600U);
  EXPECT_EQ(mode_of(made.certificate_file), 0644U);
  EXPECT_EQ(mode_of(root_ / "ca" / "revoked.json"), 0644U);
  for (const auto& entry : fs::directory_iterator(root_ / "ca")) EXPECT_NE(entry.path().filename().string()[0], '.');
}

// A renewal keeps the group's right to read a key that the operator gave, and never more than that.
TEST_F(CaTest, RenewalKeepsTheGroupsRightToReadTheKey) {
  create();
  const auto made = issue("node-1");
  fs::permissions(made.key_file, static_cast<fs::perms>(0666));
  ASSERT_TRUE(ca_->renew({"node-1", {}, {}, false}, kNow));
  EXPECT_EQ(mode_of(made.key_file), 0640U);
}

// Nothing is overwritten: a CA, a node that has a certificate, files that are already there.
TEST_F(CaTest, RefusesToOverwrite) {
  create();
  const auto key = text_of(root_ / "ca" / "ca.key");
  EXPECT_EQ(ca_->create("again", 10, kNow).error().code(), Errc::kDenied);
  EXPECT_EQ(text_of(root_ / "ca" / "ca.key"), key);

  issue("node-1");
  EXPECT_EQ(ca_->issue({{"node-1", {}, {}}, 365, root_ / "elsewhere"}, kNow).error().code(), Errc::kDenied);

  fs::create_directory(root_ / "out");
  std::ofstream(root_ / "out" / "node-2.key") << "precious";
  EXPECT_EQ(ca_->issue({{"node-2", {}, {}}, 365, root_ / "out"}, kNow).error().code(), Errc::kDenied);
  EXPECT_EQ(text_of(root_ / "out" / "node-2.key"), "precious");
}

// A ca.crt of two CAs, as it is while a cluster changes its CA, stays as it is; one of another CA alone is an error,
// and then nothing else is written and the index does not speak of it.
TEST_F(CaTest, KeepsABundleOfTwoCas) {
  create();
  ClusterCa next(root_ / "next");
  ASSERT_TRUE(next.create("next", 3650, kNow));
  fs::create_directory(root_ / "out");
  const auto bundle = text_of(root_ / "ca" / "ca.crt") + text_of(root_ / "next" / "ca.crt");
  std::ofstream(root_ / "out" / "ca.crt") << bundle;
  ASSERT_TRUE(next.issue({{"node-1", {}, {}}, 365, root_ / "out"}, kNow));
  EXPECT_EQ(text_of(root_ / "out" / "ca.crt"), bundle);

  fs::create_directory(root_ / "old");
  fs::copy_file(root_ / "ca" / "ca.crt", root_ / "old" / "ca.crt");
  EXPECT_EQ(next.issue({{"node-2", {}, {}}, 365, root_ / "old"}, kNow).error().code(), Errc::kDenied);
  EXPECT_FALSE(fs::exists(root_ / "old" / "node-2.key"));
  EXPECT_EQ(next.list()->index.latest("node-2"), nullptr);
}

// Renewal: a new key and serial, the same names, written where the last ones went, as long as before.
TEST_F(CaTest, RenewReplacesKeyAndCertificate) {
  create();
  const auto before = ca_->issue({{"node-1", {"one"}, {"10.0.0.1"}}, 30, root_ / "out"}, kNow);
  ASSERT_TRUE(before);
  const auto old_key = key_in(before->key_file);
  const auto later = kNow + days(20);
  const auto after = ca_->renew({"node-1", {}, {}, false}, later);
  ASSERT_TRUE(after) << after.error().what();
  EXPECT_EQ(after->certificate_file, before->certificate_file);
  EXPECT_NE(after->certificate.serial, before->certificate.serial);
  EXPECT_EQ(after->certificate.validity.not_after, later + days(30));
  const auto leaf = first_in(after->certificate_file);
  EXPECT_EQ(verify(*leaf, *root_certificate(), later, X509_PURPOSE_SSL_CLIENT, "one"), "");
  EXPECT_TRUE(belongs_to(*key_in(after->key_file), *leaf));
  EXPECT_NE(EVP_PKEY_eq(old_key.get(), key_in(after->key_file).get()), 1);
}

// --keep-key certifies the same key again, without needing the private half; not a key whose certificate is revoked,
// and not a pair that does not match.
TEST_F(CaTest, RenewCanKeepTheKey) {
  create();
  const auto before = issue("node-1");
  const auto key_text = text_of(before.key_file);
  ASSERT_TRUE(ca_->renew({"node-1", 10, {}, true}, kNow));
  EXPECT_EQ(text_of(before.key_file), key_text);
  EXPECT_TRUE(belongs_to(*key_in(before.key_file), *first_in(before.certificate_file)));

  fs::remove(before.key_file);
  const auto kept = ca_->renew({"node-1", 10, {}, true}, kNow);
  ASSERT_TRUE(kept) << kept.error().what();
  EXPECT_FALSE(kept->key_written);
  EXPECT_FALSE(fs::exists(before.key_file));

  std::ofstream(before.key_file) << *to_pem(**generate_key());
  EXPECT_EQ(ca_->renew({"node-1", 10, {}, true}, kNow).error().code(), Errc::kCorrupt);
  ASSERT_TRUE(ca_->revoke(kept->certificate.serial, kNow));
  EXPECT_EQ(ca_->renew({"node-1", 10, {}, true}, kNow).error().code(), Errc::kDenied);
  EXPECT_TRUE(ca_->renew({"node-1", 10, {}, false}, kNow));
}

// Revoking a name lists the name and every serial that it could come back with; the name is then refused until
// readmitted, and its old certificates stay revoked after that.
TEST_F(CaTest, RevokeANameAndReadmitIt) {
  create();
  issue("node-1");
  const auto first = issue("node-7");
  const auto second = ca_->renew({"node-7", {}, {}, false}, kNow);
  ASSERT_TRUE(second);
  const std::string serials =
      "\"serial:" + first.certificate.serial + "\",\"serial:" + second->certificate.serial + "\"]\n";
  ASSERT_TRUE(ca_->revoke("node-7", kNow));
  EXPECT_EQ(text_of(ca_->revoked_file()), "[\"node-7\"," + serials);
  EXPECT_EQ(ca_->renew({"node-7", {}, {}, false}, kNow).error().code(), Errc::kDenied);
  EXPECT_EQ(ca_->issue({{"node-8", {"node-7"}, {}}, 365, {}}, kNow).error().code(), Errc::kDenied);

  ASSERT_TRUE(ca_->readmit("node-7", kNow));
  EXPECT_EQ(text_of(ca_->revoked_file()), "[" + serials);
  EXPECT_TRUE(ca_->renew({"node-7", {}, {}, false}, kNow));
  EXPECT_EQ(ca_->readmit("node-7", kNow).error().code(), Errc::kNotFound);
}

// A serial is taken as every tool writes it; it revokes that certificate alone. Unknown ones are an error, not a shrug.
TEST_F(CaTest, RevokeASerialAsPeopleWriteIt) {
  create();
  const auto serial = issue("node-1").certificate.serial;
  EXPECT_EQ(serial.size(), 32U);
  std::string colons;
  for (std::size_t at = 0; at < serial.size(); at += 2) colons += (at == 0 ? "" : ":") + serial.substr(at, 2);
  std::ranges::transform(colons, colons.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const auto& spelling : {serial, colons, "serial=" + serial, "serial:" + serial}) {
    const auto revoked = ca_->revoke(spelling, kNow);
    ASSERT_TRUE(revoked) << spelling;
    EXPECT_EQ(*revoked, std::vector<std::string>{"serial:" + serial});
  }
  EXPECT_EQ(text_of(ca_->revoked_file()), "[\"serial:" + serial + "\"]\n");
  EXPECT_EQ(ca_->revoke("node-9", kNow).error().code(), Errc::kNotFound);
}

// A revoked certificate leaves the list only a week after its end; old entries leave the index, but the last of a name
// stays, so that a node can be renewed after any time.
TEST_F(CaTest, OldEntriesAreForgotten) {
  create();
  const auto first = issue("node-1", 10);
  ASSERT_TRUE(ca_->renew({"node-1", 10, {}, false}, kNow));
  ASSERT_TRUE(ca_->revoke(first.certificate.serial, kNow));
  issue("node-2", 10);
  ASSERT_TRUE(ca_->renew({"node-2", {}, {}, false}, kNow + days(16)));
  EXPECT_NE(text_of(ca_->revoked_file()), "[]\n");
  ASSERT_TRUE(ca_->renew({"node-2", {}, {}, false}, kNow + days(18)));
  EXPECT_EQ(text_of(ca_->revoked_file()), "[]\n");
  ASSERT_TRUE(ca_->renew({"node-2", {}, {}, false}, kNow + days(200)));
  EXPECT_EQ(ca_->list()->index.certificates.size(), 2U);
  EXPECT_TRUE(ca_->renew({"node-1", {}, {}, false}, kNow + days(200)));
}

// A list that nodes would refuse whole is never written: the one that works stays, and the error says what to do.
TEST_F(CaTest, AListThatNobodyTakesIsNotWritten) {
  create();
  issue("node-1");
  auto index = ca_->list()->index;
  for (std::size_t i = 0; i < kRevokedLimit; ++i) index.revoked_names[fmt::format("gone-{}", i)] = kNow;
  std::ofstream(root_ / "ca" / "index.json") << to_json(index);
  EXPECT_EQ(ca_->revoke("node-1", kNow).error().code(), Errc::kLimit);
  EXPECT_EQ(text_of(ca_->revoked_file()), "[]\n");
  EXPECT_FALSE(ca_->list()->index.revoked_names.contains("node-1"));
}

// Two nodes never share a name, in either order of asking; the name is free again once its holder is revoked.
TEST_F(CaTest, NoNameStandsInTwoNodesCertificates) {
  create();
  ASSERT_TRUE(ca_->issue({{"node-1", {"alias"}, {}}, 365, {}}, kNow));
  EXPECT_EQ(ca_->issue({{"node-2", {"node-1"}, {}}, 365, {}}, kNow).error().code(), Errc::kDenied);
  EXPECT_EQ(ca_->issue({{"alias", {}, {}}, 365, {}}, kNow).error().code(), Errc::kDenied);
  ASSERT_TRUE(ca_->revoke("node-1", kNow));
  EXPECT_TRUE(ca_->issue({{"alias", {}, {}}, 365, {}}, kNow));
}

// Bad arguments are told apart from failures: kInvalid, before anything is written.
TEST_F(CaTest, BadArguments) {
  EXPECT_EQ(ca_->issue({{"node-1", {}, {}}, 365, {}}, kNow).error().code(), Errc::kNotFound);
  EXPECT_EQ(ca_->create("x", 0, kNow).error().code(), Errc::kInvalid);
  EXPECT_EQ(ca_->create(std::string(65, 'x'), 10, kNow).error().code(), Errc::kInvalid);
  EXPECT_FALSE(fs::exists(root_ / "ca" / "ca.key"));
  create();
  for (const char* const name :
       {"", "Node", "a b", "-a", "a-", "a..b", "*.example", "../x", "a/b", "a,DNS:b", "10.0.0.1", "ca"}) {
    EXPECT_EQ(ca_->issue({{name, {}, {}}, 365, {}}, kNow).error().code(), Errc::kInvalid) << name;
  }
  for (const char* const ip : {"", "10.0.0", "10.0.0.1:80", "node", "10.0.0.1,DNS:b"})
    EXPECT_EQ(ca_->issue({{"node", {}, {ip}}, 365, {}}, kNow).error().code(), Errc::kInvalid) << ip;
  EXPECT_EQ(ca_->issue({{"node", {}, {}}, 0, {}}, kNow).error().code(), Errc::kInvalid);
  EXPECT_EQ(ca_->renew({"node", {}, {}, false}, kNow).error().code(), Errc::kNotFound);
  EXPECT_TRUE(ca_->list()->index.certificates.empty());
}

TEST(NodeName, LimitsOfDns) {
  EXPECT_EQ(check_node_name("node-7.rack-2.example"), "");
  EXPECT_EQ(check_node_name(std::string(63, 'a')), "");
  EXPECT_NE(check_node_name(std::string(64, 'a')), "");
  std::string longest = std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') + ".";
  EXPECT_EQ(check_node_name(longest + std::string(61, 'd')), "");
  EXPECT_NE(check_node_name(longest + std::string(62, 'd')), "");
}

// Damage is named and nothing is signed: a key that others can read, that is another CA's, an index that is gone or
// broken.
TEST_F(CaTest, DamageIsSeen) {
  create();
  const auto key = root_ / "ca" / "ca.key";
  fs::permissions(key, static_cast<fs::perms>(0640));
  EXPECT_EQ(ca_->issue({{"node-1", {}, {}}, 365, {}}, kNow).error().code(), Errc::kDenied);
  fs::permissions(key, static_cast<fs::perms>(0600));
  const auto index = root_ / "ca" / "index.json";
  const auto good = text_of(index);
  for (const char* const bad :
       {"", "{", "[]", R"({"format":2})", R"({"format":1,"certificates":[{}],"revoked_names":{}})",
        R"({"format":1,"certificates":[],"revoked_names":{"a":"soon"}})"}) {
    std::ofstream(index) << bad;
    EXPECT_EQ(ca_->issue({{"node-1", {}, {}}, 365, {}}, kNow).error().code(), Errc::kCorrupt) << bad;
  }
  fs::remove(index);
  EXPECT_EQ(ca_->list().error().code(), Errc::kCorrupt);
  std::ofstream(index) << good;
  std::ofstream(key) << *to_pem(**generate_key());
  EXPECT_EQ(ca_->issue({{"node-1", {}, {}}, 365, {}}, kNow).error().code(), Errc::kCorrupt);
  std::ofstream(key) << "no key";
  EXPECT_EQ(ca_->issue({{"node-1", {}, {}}, 365, {}}, kNow).error().code(), Errc::kCorrupt);
}

// Runs at the same time do not lose one another's entries.
TEST_F(CaTest, RunsAtTheSameTimeDoNotMix) {
  create();
  std::vector<std::thread> runs;
  for (int run = 0; run < 4; ++run) {
    runs.emplace_back([this, run] {
      for (int i = 0; i < 5; ++i) {
        const auto made = ClusterCa(root_ / "ca").issue({{fmt::format("node-{}-{}", run, i), {}, {}}, 365, {}}, kNow);
        EXPECT_TRUE(made) << made.error().what();
      }
    });
  }
  for (auto& run : runs) run.join();
  EXPECT_EQ(ca_->list()->index.certificates.size(), 20U);
}

// A reader that takes a pair only when it matches always has one, and never sees half a file, while renewals go on.
TEST_F(CaTest, AReaderNeverSeesHalfAFile) {
  create();
  const auto made = issue("node-1");
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < 30; ++i) EXPECT_TRUE(ClusterCa(root_ / "ca").renew({"node-1", {}, {}, false}, kNow));
    done = true;
  });
  int matching = 0;
  do {
    const auto chain = parse_certificates(text_of(made.certificate_file));
    const auto key = parse_key(text_of(made.key_file));
    EXPECT_TRUE(chain && chain->size() == 2 && key);
    if (chain && key && belongs_to(**key, *chain->front())) ++matching;
  } while (!done);
  writer.join();
  EXPECT_GT(matching, 0);
  EXPECT_TRUE(belongs_to(*key_in(made.key_file), *first_in(made.certificate_file)));
}

}  // namespace
}  // namespace oxbow::tls
