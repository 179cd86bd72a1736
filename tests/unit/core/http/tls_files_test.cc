// Files that are looked at again, by a clock that the test moves and a load that fails when the test says so.
#include "core/http/tls_files.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <fstream>

#include "core/log.h"
#include "tls_support.h"

namespace oxbow::http::test {
namespace {

class ReloadedFiles : public testing::Test {
 protected:
  ReloadedFiles() {
    log::set_listener([this](log::Level, std::string_view, std::span<const log::Field> fields) {
      for (const auto& field : fields) warnings.push_back(field.value);
    });
  }
  ~ReloadedFiles() override { log::set_listener({}); }

  void SetUp() override {
    auto made = ReloadedContext::create({file}, [this] { return load(); }, std::chrono::milliseconds(0));
    ASSERT_TRUE(made) << made.error().what();
    reloaded = std::move(*made);
    first = look();
  }
  Result<std::shared_ptr<SSL_CTX>> load() {
    ++loads;
    if (!failure.empty()) return fail(Errc::kInvalid, failure);
    return new_tls_context(TLS_method());
  }
  /// A second after the last one.
  std::shared_ptr<SSL_CTX> look() { return reloaded->current(now += std::chrono::seconds(1)); }
  void change_file() { std::ofstream(file, std::ios::app) << "more"; }

  Certificates certificates;
  const std::string file = certificates.file("server.pem");
  std::string failure;
  int loads = 0;
  std::vector<std::string> warnings;
  std::chrono::steady_clock::time_point now{std::chrono::hours(1)};
  std::unique_ptr<ReloadedContext> reloaded;
  std::shared_ptr<SSL_CTX> first;
};

// chmod and a free descriptor change no stamp.
TEST_F(ReloadedFiles, AFailedLoadIsTriedAgain) {
  change_file();
  failure = "unreadable";
  EXPECT_EQ(look(), first);
  EXPECT_EQ(look(), first);
  failure.clear();
  const auto renewed = look();
  EXPECT_NE(renewed, first);
  EXPECT_EQ(loads, 4);
  EXPECT_EQ(look(), renewed);
  EXPECT_EQ(loads, 4);
}

// A client looks with every connection that it opens.
TEST_F(ReloadedFiles, AFailedLoadIsNotTriedAtEveryLook) {
  change_file();
  failure = "unreadable";
  look();
  reloaded->current(now);
  EXPECT_EQ(loads, 2);
  look();
  reloaded->current(now);
  EXPECT_EQ(loads, 3);
}

// Not with every try: once for each version of the files, and when it is something else that fails.
TEST_F(ReloadedFiles, WarnsOnceAVersionAndReason) {
  change_file();
  failure = "unreadable";
  look();
  look();
  EXPECT_EQ(warnings, std::vector<std::string>{"unreadable"});
  failure = "no pair";
  look();
  look();
  EXPECT_EQ(warnings, (std::vector<std::string>{"unreadable", "no pair"}));
  change_file();
  look();
  look();
  EXPECT_EQ(warnings, (std::vector<std::string>{"unreadable", "no pair", "no pair"}));
  EXPECT_EQ(loads, 7);
}

}  // namespace
}  // namespace oxbow::http::test
