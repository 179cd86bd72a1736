#include "core/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace oxbow {
namespace {

// Each caller adds its context in front; the code that others branch on stays.
TEST(Error, ContextIsAddedInFront) {
  const auto error = Error(Errc::kNotFound, "no such stripe").in("blob").in("pull");
  EXPECT_EQ(error.what(), "pull: blob: no such stripe");
  EXPECT_EQ(error.code(), Errc::kNotFound);
  const Error kept(Errc::kIo, "x");
  EXPECT_EQ(kept.in("y").what(), "y: x");
  EXPECT_EQ(kept.what(), "x");
}

// What the kernel says becomes what callers act on: nothing can be written, nothing is there, or it is forbidden.
TEST(Error, FromErrno) {
  for (const int number : {ENOSPC, EDQUOT, EROFS}) EXPECT_EQ(errno_error(number, "write").code(), Errc::kNoSpace);
  EXPECT_EQ(errno_error(ENOENT, "open").code(), Errc::kNotFound);
  EXPECT_EQ(errno_error(EACCES, "open").code(), Errc::kDenied);
  EXPECT_EQ(errno_error(EPERM, "open").code(), Errc::kDenied);
  EXPECT_EQ(errno_error(EIO, "read").code(), Errc::kIo);
  EXPECT_EQ(errno_error(ENOENT, "open /x").what(), "open /x: No such file or directory");
}

// Every code has a name.
TEST(Error, NamesOfCodes) {
  for (int code = 0; code <= static_cast<int>(Errc::kCancelled); ++code) {
    EXPECT_FALSE(to_string(static_cast<Errc>(code)).empty());
  }
}

Result<int> half(int number) {
  if (number % 2 != 0) return fail(Errc::kInvalid, "odd");
  return number / 2;
}

TEST(Error, ResultsCarryValuesOrErrors) {
  EXPECT_EQ(half(4).value(), 2);
  EXPECT_EQ(half(3).error().code(), Errc::kInvalid);
}

// A broken invariant ends the process in every build type, with its place.
TEST(Error, InvariantsAbort) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  OXBOW_INVARIANT(1 + 1 == 2);
  EXPECT_DEATH(OXBOW_INVARIANT(1 + 1 == 3), "broken invariant: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace oxbow
