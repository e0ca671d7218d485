#include "core/device/cpu/host_memory.h"

#include <gtest/gtest.h>

#include <barrier>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "core/base/memory_limit.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

class HostMemoryTest : public testing::Test {
 protected:
  HostMemoryTest() : root_(fs::path(testing::TempDir()) / "host_memory") {
    fs::remove_all(root_);
    files_ = {.proc = root_ / "proc", .cgroup = root_ / "cgroup"};
    Write("proc/meminfo", "MemTotal:  4000 kB\nMemAvailable:    2000 kB\n");
  }

  void Write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }

  int64_t Available() const { return AvailableHostBytes(files_); }

  fs::path root_;
  SystemFiles files_;
};

TEST_F(HostMemoryTest, IsWhatTheMachineHasWhereNothingLimits) {
  EXPECT_EQ(Available(), 2000 * 1024);
  Write("proc/self/cgroup", "4:memory:/\n0::/\nnonsense\n7:memory\n");
  Write("cgroup/memory.max", "max\n");
  EXPECT_EQ(Available(), 2000 * 1024);
}

TEST_F(HostMemoryTest, IsWhatTheNarrowestGroupLeaves) {
  Write("proc/self/cgroup", "1:name=systemd:/a/b\n0::/a/b\n");
  Write("cgroup/a/b/memory.max", "1000000\n");
  Write("cgroup/a/b/memory.current", "400000\n");
  EXPECT_EQ(Available(), 600000);
  Write("cgroup/a/b/memory.stat", "anon 7\ninactive_file 100000\n");
  EXPECT_EQ(Available(), 700000);
  Write("cgroup/a/memory.max", "300000\n");
  Write("cgroup/a/memory.current", "250000\n");
  EXPECT_EQ(Available(), 50000);
  Write("cgroup/a/memory.current", "350000\n");
  EXPECT_EQ(Available(), 0);
}

TEST_F(HostMemoryTest, SeesAContainersOwnGroupAtTheTop) {
  Write("proc/self/cgroup", "3:cpu,memory:/docker/0123\n");
  Write("cgroup/memory/memory.limit_in_bytes", "1000000\n");
  Write("cgroup/memory/memory.usage_in_bytes", "900000\n");
  Write("cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 50000\n");
  EXPECT_EQ(Available(), 150000);
}

TEST(ThreadAddressBytesDeathTest, IsWhatThreadsTakeWhereTheAddressSpaceIsLimited) {
  EXPECT_EQ(ThreadAddressBytes(100), 0);
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    LimitMemory(int64_t{1} << 30);
    SaveAddressSpace();
    constexpr int kNumThreads = 8;
    const int64_t before = AvailableHostBytes();
    std::barrier barrier(kNumThreads + 1);
    std::vector<std::thread> threads;
    for (int i = 0; i < kNumThreads; ++i) {
      threads.emplace_back([&] {
        const std::vector<char> allocated(1000);
        barrier.arrive_and_wait();
        barrier.arrive_and_wait();
      });
    }
    barrier.arrive_and_wait();
    const int64_t taken = before - AvailableHostBytes();
    barrier.arrive_and_wait();
    for (std::thread& thread : threads) thread.join();
    const int64_t predicted = ThreadAddressBytes(kNumThreads);
    const bool is_right = predicted > 0 && taken <= predicted + (1 << 20);
    std::exit(is_right ? 0 : 1);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(0), "");
}

TEST(AvailableHostBytes, IsLessWhereTheAddressSpaceIsLimited) {
  const int64_t before = AvailableHostBytes();
  EXPECT_GT(before, 256 << 20);
  LimitMemory(128 << 20);
  EXPECT_LE(AvailableHostBytes(), 128 << 20);
}

}  // namespace
}  // namespace sluice
