#include "core/base/checked_math.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace sluice {
namespace {

TEST(CheckedProduct, MultipliesOrNamesWhatOverflows) {
  EXPECT_EQ(CheckedProduct("weights", {3, 5, 7}), 105);
  EXPECT_EQ(CheckedProduct("weights", {0, INT64_MAX, INT64_MAX}), 0);
  try {
    CheckedProduct("weights", {1'000'000'000, 1'000'000'000, 1'000'000'000});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "weights is too large: 1000000000 x 1000000000 x 1000000000 overflows 64 bits");
  }
}

TEST(CheckedSum, ThrowsOnOverflow) {
  EXPECT_EQ(CheckedSum("bytes", 2, 3), 5);
  EXPECT_THROW(CheckedSum("bytes", INT64_MAX, 1), Error);
}

TEST(Rounding, GoesUp) {
  EXPECT_EQ(CeilDiv(0, 8), 0);
  EXPECT_EQ(CeilDiv(8, 8), 1);
  EXPECT_EQ(CeilDiv(9, 8), 2);
  EXPECT_EQ(RoundUp(0, 8), 0);
  EXPECT_EQ(RoundUp(8, 8), 8);
  EXPECT_EQ(RoundUp(9, 8), 16);
}

TEST(FormatBytes, PicksTheUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(int64_t{412} << 30), "412.0 GiB");
}

}  // namespace
}  // namespace sluice
