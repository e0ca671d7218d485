#include "parallel/comm/thread/rank_thread.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace sluice::internal {
namespace {

// Hints bind nothing: a rank may run where it could before, and policy and priority stay.
TEST(ScheduleRankThreadTest, LeavesCoresAndPolicyAsTheyWere) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  const int num_cores = CPU_COUNT(&before);
  for (const int world_size : {1, num_cores, num_cores + 1, 8 * num_cores}) {
    for (const int rank : {0, world_size - 1}) {
      std::thread([&] {
        const int policy = sched_getscheduler(0);
        ScheduleRankThread(rank, world_size);
        cpu_set_t after;
        ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
        EXPECT_TRUE(CPU_EQUAL(&before, &after)) << rank << " of " << world_size;
        EXPECT_EQ(sched_getscheduler(0), policy);
      }).join();
    }
  }
}

}  // namespace
}  // namespace sluice::internal
