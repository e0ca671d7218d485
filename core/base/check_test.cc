#include "core/base/check.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Check, PassesWithoutEvaluatingTwice) {
  int calls = 0;
  SLUICE_CHECK_EQ(++calls, 1);
  SLUICE_CHECK(calls == 1);
}

TEST(CheckDeathTest, PrintsBothValuesRankAndPlace) {
  EXPECT_DEATH(
      {
        SetCurrentRank(3);
        const int rows = 2;
        SLUICE_CHECK_EQ(rows, 5);
      },
      "check_test.cc:[0-9]+: \\[rank 3\\] check failed: rows == 5 \\(2 vs. 5\\)");
}

TEST(CheckDeathTest, IsOnInEveryBuild) { EXPECT_DEATH(SLUICE_CHECK(1 > 2), "no rank.*1 > 2"); }

}  // namespace
}  // namespace sluice
