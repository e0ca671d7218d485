#include "programs/rank_starter.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "parallel/comm/comm_error.h"

namespace sluice {
namespace {

// Rank 0 stays away for `seconds`, the other waits.
int RunWithAbsentRank(std::chrono::seconds seconds) {
  return RunWithRanks(CommKind::kThread, {.timeout_s = 0.2}, [&](RankStarter& ranks) {
    ranks.Run(2, [&](Communicator& world) {
      if (world.rank() == 0) std::this_thread::sleep_for(seconds);
      world.Barrier();
    });
    return 0;
  });
}

TEST(RankStarterTest, RunsRanksAsOftenAsAsked) {
  const int exit_code = RunWithRanks(CommKind::kThread, {}, [](RankStarter& ranks) {
    EXPECT_EQ(ranks.rank(), 0);
    EXPECT_EQ(ranks.world(), nullptr);
    int64_t sum = 0;
    for (const int world_size : {3, 1, 4}) {
      ranks.Run(world_size, [&](Communicator& world) {
        int64_t one = 1;
        world.AllReduce({&one, 1, ControlType::kInt64}, ReduceOp::kSum);
        if (world.rank() == 0) sum += one;
      });
    }
    return static_cast<int>(sum);
  });
  EXPECT_EQ(exit_code, 3 + 1 + 4);
}

TEST(RankStarterTest, ADeadlineIsAnExitCode) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunWithAbsentRank(std::chrono::seconds(1)), kDeadlineExitCode);
  EXPECT_EQ(testing::internal::GetCapturedStderr().find(
                "error: deadline passed: rank 0 does not respond: rank 1 waited"),
            0U);
}

TEST(RankStarterTest, ARankThatHangsEndsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(std::exit(RunWithAbsentRank(std::chrono::seconds(3600))),
              testing::ExitedWithCode(kDeadlineExitCode),
              "^error: deadline passed: rank 0 does not respond: rank 1 waited");
}

}  // namespace
}  // namespace sluice
