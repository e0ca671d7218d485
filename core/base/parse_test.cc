#include "core/base/parse.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace sluice {
namespace {

TEST(ParseInteger, TakesTheWholeStringInRange) {
  EXPECT_EQ(ParseInteger("--n_steps", "10", {1, 100}), 10);
  EXPECT_EQ(ParseInteger("--offset", "-3", {-5, 5}), -3);
}

TEST(ParseInteger, RefusesEverythingElse) {
  for (const char* text : {"", " 8", "8 ", "0x10", "4.5", "1e9", "0", "101", "9223372036854775808",
                           "+8", "eight", "8,"}) {
    EXPECT_THROW(ParseInteger("--n_steps", text, {1, 100}), Error) << text;
  }
}

TEST(ParseInteger, NamesFlagValueAndRange) {
  try {
    ParseInteger("--n_steps", "0", {1, 100});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "--n_steps '0' is not allowed: it must be an integer from 1 to 100");
  }
}

TEST(ParseIntegerList, SplitsAtCommas) {
  EXPECT_EQ(ParseIntegerList("--slices", "776,640,632", {1, 2048}),
            (std::vector<int64_t>{776, 640, 632}));
  EXPECT_THROW(ParseIntegerList("--slices", "", {1, 2048}), Error);
  EXPECT_THROW(ParseIntegerList("--slices", "8,,8", {1, 2048}), Error);
  EXPECT_THROW(ParseIntegerList("--slices", "8,", {1, 2048}), Error);
}

TEST(ParseNumber, RefusesWhatIsNotFinite) {
  EXPECT_EQ(ParseNumber("--pct", "2.5"), 2.5);
  for (const char* text : {"", "nan", "inf", "1e999", "2.5%", " 1"}) {
    EXPECT_THROW(ParseNumber("--pct", text), Error) << text;
  }
}

}  // namespace
}  // namespace sluice
