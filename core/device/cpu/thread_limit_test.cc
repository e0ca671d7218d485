// A pool for which the system has no threads.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/base/error.h"
#include "core/base/memory_limit.h"
#include "core/device/cpu/thread_pool.h"

namespace sluice {
namespace {

TEST(ThreadPoolDeathTest, SaysHowManyThreadsThereAre) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    LimitMemory(int64_t{64} << 20);
    try {
      const ThreadPool pool(200);
    } catch (const Error& error) {
      fmt::print(stderr, "{}\n", error.what());
      std::exit(kBadInputExitCode);
    }
    std::exit(0);
  };
  EXPECT_EXIT(run(), ::testing::ExitedWithCode(kBadInputExitCode),
              "200 threads are wanted, and the system has no more than [0-9]+: ");
}

}  // namespace
}  // namespace sluice
