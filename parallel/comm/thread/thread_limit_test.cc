// Ranks for which the system has no threads.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/comm/thread/thread_communicator.h"

namespace sluice {
namespace {

// Room for the stacks of a few threads only.
void LimitMemory() {
  int64_t num_pages = 0;
  std::ifstream("/proc/self/statm") >> num_pages;
  const rlim_t bytes = static_cast<rlim_t>(num_pages * getpagesize()) + (rlim_t{64} << 20);
  const rlimit limit = {bytes, bytes};
  SLUICE_CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

TEST(RunThreadRanksDeathTest, NamesTheRankWithoutAThread) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    LimitMemory();
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
