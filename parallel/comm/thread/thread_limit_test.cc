// Ranks for which the system has no threads.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/base/error.h"
#include "core/base/memory_limit.h"
#include "parallel/comm/thread/thread_communicator.h"

namespace sluice {
namespace {

TEST(RunThreadRanksDeathTest, NamesTheRankWithoutAThread) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    LimitMemory(int64_t{64} << 20);
    try {
      RunThreadRanks({.world_size = 200, .comm = {.timeout_s = 60}},
                     [](Communicator& comm) { comm.Barrier(); });
    } catch (const Error& error) {
      fmt::print(stderr, "{}\n", error.what());
      std::exit(kBadInputExitCode);
    }
    std::exit(0);
  };
  EXPECT_EXIT(run(), ::testing::ExitedWithCode(kBadInputExitCode),
              "the system has no thread for rank [0-9]+ of world_size 200");
}

}  // namespace
}  // namespace sluice
