#include "core/base/median.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Median, IsInTheMiddle) {
  EXPECT_EQ(Median({5}), 5);
  EXPECT_EQ(Median({9, 1, 2}), 2);
  EXPECT_EQ(Median({9, 1, 2, 4}), 3);
}

TEST(Median, IndexIsOfAValueThatIsThere) {
  EXPECT_EQ(MedianIndex({5}), 0u);
  EXPECT_EQ(MedianIndex({9, 1, 2}), 2u);
  EXPECT_EQ(MedianIndex({9, 1, 2, 4}), 2u);
  EXPECT_EQ(MedianIndex({3, 3, 3, 3}), 1u);
}

}  // namespace
}  // namespace sluice
