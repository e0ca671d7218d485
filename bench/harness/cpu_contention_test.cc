#include "bench/harness/cpu_contention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "core/base/check.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Ge;
using testing::Lt;
using testing::Optional;

class ContentionMeterTest : public testing::Test {
 protected:
  ContentionMeterTest() : root_(fs::path(testing::TempDir()) / "cpu_contention") {
    fs::remove_all(root_);
    files_ = {.proc = root_ / "proc", .cgroup = root_ / "cgroup"};
    cpu_ = FindCpuLimits().cpus.front();
  }

  void Write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }

  // The kernel's counters of one CPU that the process may use, and of one that does not exist.
  void WriteStat(int64_t steal_ticks) const {
    Write("proc/stat", "cpu  9 9 9 9 9 9 9 9000 9 9\ncpu" + std::to_string(cpu_) +
                           " 1 2 3 4 5 6 7 " + std::to_string(steal_ticks) +
                           " 0 0\ncpu4095 1 2 3 4 5 6 7 8000 0 0\n");
  }

  fs::path root_;
  SystemFiles files_;
  int cpu_ = 0;
};

TEST_F(ContentionMeterTest, TakesTheThreadThatWaitedTheLongest) {
  Write("proc/self/task/1/schedstat", "5000 1000 3\n");
  Write("proc/self/task/2/schedstat", "5000 70000 3\n");
  const auto begin = std::chrono::steady_clock::now();
  const ContentionMeter meter(files_);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  Write("proc/self/task/1/schedstat", "5000 20001000 3\n");
  Write("proc/self/task/2/schedstat", "5000 70000 3\n");
  Write("proc/self/task/3/schedstat", "5000 900000000 3\n");  // a new one
  const CpuContention contention = meter.Stop();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  EXPECT_THAT(contention.run_delay_share, Optional(AllOf(Ge(0.02 / elapsed.count()), Lt(0.4))));
  EXPECT_EQ(contention.lost_share(), contention.run_delay_share);
}

TEST_F(ContentionMeterTest, SaysNothingOfWhatTheSystemDoesNotSay) {
  const CpuContention contention = ContentionMeter(files_).Stop();
  EXPECT_EQ(contention.run_delay_share, std::nullopt);
  EXPECT_EQ(contention.steal_share, 0);
  EXPECT_EQ(contention.lost_share(), 0);
}

TEST_F(ContentionMeterTest, CountsWhatWasStolenOfItsOwnCpus) {
  WriteStat(100);
  const ContentionMeter meter(files_);
  WriteStat(101);
  EXPECT_EQ(meter.Stop().steal_share, 0);  // of before, perhaps
  WriteStat(103);
  const CpuContention contention = meter.Stop();
  EXPECT_GT(contention.steal_share, 0);
  EXPECT_EQ(contention.lost_share(), contention.steal_share);
}

TEST_F(ContentionMeterTest, DescribesWhatIsMoreThanAQuietMachineLoses) {
  EXPECT_EQ(Describe({.run_delay_share = 0.02, .steal_share = 0.02}), "");
  EXPECT_EQ(Describe({.run_delay_share = 0.481, .steal_share = 0.02}),
            "a thread was ready and did not run for 48.1 %");
  EXPECT_EQ(Describe({.steal_share = 0.25, .num_throttled_periods = 3, .throttled_s = 0.5}),
            "the hypervisor took 25.0 % of the CPUs; the quota stopped the process in 3 periods, "
            "for 0.500 s");
}

TEST_F(ContentionMeterTest, CountsThrottling) {
  Write("proc/self/cgroup", "0::/a\n");
  Write("cgroup/a/cpu.stat", "nr_throttled 3\nthrottled_usec 1000\n");
  const ContentionMeter meter(files_);
  Write("cgroup/a/cpu.stat", "nr_throttled 5\nthrottled_usec 61000\n");
  EXPECT_EQ(meter.Stop().num_throttled_periods, 2);
  EXPECT_NEAR(meter.Stop().throttled_s, 0.06, 1e-9);
}

// Two threads on one core: each waits for half of the time.
TEST(ContentionMeter, SeesThreadsThatShareACore) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(FindCpuLimits().cpus.front(), &set);
  SLUICE_CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
  std::atomic<bool> stops = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!stops) continue;
    });
  }
  const ContentionMeter meter;
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const CpuContention contention = meter.Stop();
  stops = true;
  for (std::thread& thread : threads) thread.join();
  if (!contention.run_delay_share) GTEST_SKIP() << "this system has no schedstat";
  EXPECT_GT(*contention.run_delay_share, 0.3);
}

}  // namespace
}  // namespace sluice
