#include "bench/grid/time_left.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(TimeLeft, IsWhatIsExpectedBeforeAnythingIsDone) {
  EXPECT_DOUBLE_EQ(TimeLeft(1e-9).Seconds(3, 2e9), 2);
}

// A small first point says what every point costs, and nothing about the rate.
TEST(TimeLeft, OneSmallPointIsNoRate) {
  TimeLeft left(1e-9);
  left.Add(1e6, 0.101);
  EXPECT_NEAR(left.Seconds(10, 1e10), 10 * 0.1 + 10, 1e-9);
}

TEST(TimeLeft, APointFasterThanExpectedIsARate) {
  TimeLeft left(1e-9);
  left.Add(1e9, 0.5);
  EXPECT_NEAR(left.Seconds(4, 8e9), 4, 1e-9);
}

TEST(TimeLeft, FindsCostAndRateOfPointsThatHaveThem) {
  TimeLeft left(1e-3);
  for (const double flops : {1e6, 5e8, 3e9}) left.Add(flops, 0.25 + 2e-9 * flops);
  EXPECT_NEAR(left.Seconds(7, 4e10), 7 * 0.25 + 80, 1e-6);
  EXPECT_NEAR(left.Seconds(0, 0), 0, 1e-9);
}

TEST(TimeLeft, NeverTakesSomethingBack) {
  TimeLeft faster_when_larger(1e-9);
  faster_when_larger.Add(1e6, 3);
  faster_when_larger.Add(1e9, 1);
  EXPECT_DOUBLE_EQ(faster_when_larger.Seconds(5, 1e12), 10);
  TimeLeft steep(1e-9);
  steep.Add(1e9, 0.1);
  steep.Add(2e9, 1);
  EXPECT_GT(steep.Seconds(1, 1e6), 0);
}

TEST(TimeLeft, EqualPointsTakeEquallyLong) {
  TimeLeft left(1e-12);
  for (const double seconds : {1.0, 2.0, 3.0}) left.Add(1e9, seconds);
  EXPECT_NEAR(left.Seconds(5, 5e9), 10, 1e-6);
}

}  // namespace
}  // namespace sluice
