#include "correctness/tolerance/number_format.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice {
namespace {

TEST(NumberFormat, HasTheSpacingOfItsNumbers) {
  EXPECT_EQ(SpacingAt(kBFloat16Format, 1.0), 0x1p-7);
  EXPECT_EQ(SpacingAt(kBFloat16Format, -1.99), 0x1p-7);
  EXPECT_EQ(SpacingAt(kFloat16Format, 1024.0), 1.0);
  EXPECT_EQ(SpacingAt(kTf32Format, 1.5), 0x1p-10);
  EXPECT_EQ(SpacingAt(kFloat32Format, 1.0), 0x1p-23);
  EXPECT_EQ(SpacingAt(kFloat64Format, 1.0), 0x1p-52);
  // Subnormal numbers of fp16.
  EXPECT_EQ(SpacingAt(kFloat16Format, 0x1p-20), 0x1p-24);
  EXPECT_EQ(SpacingAt(kFloat16Format, 0.0), 0x1p-24);
}

TEST(NumberFormat, RoundsToNearestEvenAndTowardsZero) {
  EXPECT_EQ(RoundToNearest(kBFloat16Format, 1 + 0x1p-8), 1.0);
  EXPECT_EQ(RoundToNearest(kBFloat16Format, 1 + 3 * 0x1p-8), 1 + 0x1p-6);
  EXPECT_EQ(RoundToNearest(kBFloat16Format, -1.999), -2.0);
  EXPECT_EQ(RoundToNearest(kFloat16Format, 0x1.8p-25), 0x1p-24);
  EXPECT_EQ(RoundToNearest(kFloat16Format, 0x1p-26), 0.0);
  EXPECT_EQ(RoundToNearest(kFloat32Format, 0.1), static_cast<double>(0.1f));
  EXPECT_EQ(Truncate(kTf32Format, 1 + 0x1.fp-10), 1 + 0x1p-10);
  EXPECT_EQ(Truncate(kTf32Format, -1.9999), -(2 - 0x1p-10));
}

TEST(RoundingSquares, AreThoseOfHalfASpacingOrOfWhatIsLost) {
  const std::vector<double> values = {1.0, -3.0, 0x1p-27, 0.0};
  const RoundingSquares squares = RoundingSquaresOf(kFloat16Format, values);
  EXPECT_DOUBLE_EQ(squares.all, 0x1p-22 + 0x1p-20 + 0x1p-54);
  EXPECT_EQ(squares.lost, 0x1p-54);
  EXPECT_EQ(RoundingSquare(kFloat16Format, -3.0), 0x1p-20);
}

}  // namespace
}  // namespace sluice
