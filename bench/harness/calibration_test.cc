#include "bench/harness/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice {
namespace {

TEST(Calibration, DoesTheSameWorkInEveryRun) {
  Calibration first, second;
  first.Run();
  const double checksum = first.checksum();
  EXPECT_NE(checksum, 0);
  first.Run();
  EXPECT_EQ(first.checksum(), checksum);
  second.Run();
  EXPECT_EQ(second.checksum(), checksum);
}

// The work of version 1, summed exactly by hand: fused or not, the rounding of 28 products of 192
// terms stays far below this bound, and one product or triad more or less is far above it.
TEST(Calibration, DoesTheWorkOfItsVersion) {
  ASSERT_EQ(kCalibrationVersion, 1);
  Calibration calibration;
  calibration.Run();
  constexpr int kSize = 192, kLength = 1 << 20;
  double product_sum = 0;
  for (int k = 0; k < kSize; ++k) {
    double a_column = 0, b_row = 0;
    for (int i = 0; i < kSize; ++i) {
      a_column += (i * kSize + k) % 61 / 61.0 - 0.5;
      b_row += (k * kSize + i) % 67 / 67.0 - 0.5;
    }
    product_sum += a_column * b_row;
  }
  double triad_sum = 0;
  for (int i = 0; i < kLength; ++i) triad_sum += i % 71 / 71.0 - 0.5 + 0.5 * (i % 73 / 73.0 - 0.5);
  EXPECT_NEAR(calibration.checksum(), 28 * product_sum + 6 * triad_sum, 1.0);
  EXPECT_GT(std::abs(product_sum), 4);
  EXPECT_GT(std::abs(triad_sum), 4);
}

TEST(Calibration, KeepsTheSmallestTime) {
  Calibration calibration;
  EXPECT_EQ(calibration.min_cpu_ns(), std::numeric_limits<int64_t>::max());
  int64_t smallest = calibration.Run();
  for (int i = 0; i < 2; ++i) smallest = std::min(smallest, calibration.Run());
  EXPECT_GT(smallest, 100'000);
  EXPECT_EQ(calibration.min_cpu_ns(), smallest);
}

}  // namespace
}  // namespace sluice
