#include "bench/harness/calibration.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

// Version 2 is five runs of 32768 rounds of eight multiply-adds of eight floats. All sums stay
// below 2^24, so that the count is exact.
TEST(Calibration, DoesTheWorkOfItsVersion) {
  ASSERT_EQ(kCalibrationVersion, 2);
  Calibration calibration;
  EXPECT_EQ(calibration.checksum(), 0);
  calibration.CpuSeconds();
  EXPECT_EQ(calibration.checksum(), 5 * 32768 * 8 * 8);
  calibration.CpuSeconds();
  EXPECT_EQ(calibration.checksum(), 2 * 5 * 32768 * 8 * 8);
}

// 32768 rounds cannot take less than one cycle each, on any clock up to 10 GHz.
TEST(Calibration, TakesTimeThatTheWorkNeeds) { EXPECT_GT(Calibration().CpuSeconds(), 3e-6); }

}  // namespace
}  // namespace sluice
