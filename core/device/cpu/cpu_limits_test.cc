#include "core/device/cpu/cpu_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>
#include <fstream>

#include "core/base/check.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::Optional;

class CpuLimitsTest : public testing::Test {
 protected:
  CpuLimitsTest() : root_(fs::path(testing::TempDir()) / "cpu_limits") {
    fs::remove_all(root_);
    files_ = {.proc = root_ / "proc", .cgroup = root_ / "cgroup"};
  }

  void Write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }

  std::optional<double> Quota() const { return FindCpuLimits(files_).quota_cpus; }

  fs::path root_;
  SystemFiles files_;
};

TEST_F(CpuLimitsTest, HaveNoQuotaWhereNoneIsSet) {
  EXPECT_EQ(Quota(), std::nullopt);
  Write("proc/self/cgroup", "4:cpu,cpuacct:/\n0::/a\n");
  Write("cgroup/a/cpu.max", "max 100000\n");
  Write("cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Quota(), std::nullopt);
  EXPECT_EQ(QuotaGroupId(files_), 0u);
}

TEST_F(CpuLimitsTest, HaveTheLeastQuotaOfAllGroupsAbove) {
  Write("proc/self/cgroup", "0::/a/b\n");
  Write("cgroup/a/b/cpu.max", "300000 100000\n");
  EXPECT_THAT(Quota(), Optional(3));
  Write("cgroup/a/cpu.max", "25000 50000\n");
  EXPECT_THAT(Quota(), Optional(0.5));
  EXPECT_NE(QuotaGroupId(files_), 0u);
  Write("cgroup/cpu.max", "10000 100000\n");
  EXPECT_THAT(Quota(), Optional(0.1));
}

TEST_F(CpuLimitsTest, ReadVersion1UnderEitherName) {
  Write("proc/self/cgroup", "7:cpu,cpuacct:/docker/0123\n1:cpuset:/\n");
  Write("cgroup/cpu,cpuacct/docker/0123/cpu.cfs_quota_us", "150000\n");
  Write("cgroup/cpu,cpuacct/docker/0123/cpu.cfs_period_us", "100000\n");
  EXPECT_THAT(Quota(), Optional(1.5));
  // A container's own group at the top, under the controller's own name.
  Write("cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  Write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_THAT(Quota(), Optional(0.5));
}

TEST_F(CpuLimitsTest, SumThrottlingInOneUnit) {
  Write("proc/self/cgroup", "7:cpu:/\n0::/a\n");
  Write("cgroup/a/cpu.stat", "usage_usec 9\nnr_periods 8\nnr_throttled 3\nthrottled_usec 20\n");
  Write("cgroup/cpu.stat", "usage_usec 90\n");
  Write("cgroup/cpu/cpu.stat", "nr_periods 8\nnr_throttled 2\nthrottled_time 5000\n");
  const Throttling throttling = ReadThrottling(files_);
  EXPECT_EQ(throttling.num_periods, 5);
  EXPECT_EQ(throttling.throttled_ns, 25'000);
}

TEST(CpuLimits, CoresAreThoseThatMayRunAllTheTime) {
  const auto cores = [](std::optional<double> quota) {
    return CpuLimits{.cpus = {0, 1, 2, 3}, .quota_cpus = quota}.num_cores();
  };
  EXPECT_EQ(cores(std::nullopt), 4);
  EXPECT_EQ(cores(0.5), 1);
  EXPECT_EQ(cores(1), 1);
  EXPECT_EQ(cores(2.9), 2);
  EXPECT_EQ(cores(64), 4);
}

TEST(CpuLimits, FollowTheAffinity) {
  const CpuLimits before = FindCpuLimits();
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(before.cpus.back(), &set);
  SLUICE_CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
  EXPECT_THAT(FindCpuLimits().cpus, testing::ElementsAre(before.cpus.back()));
  EXPECT_EQ(FindCpuLimits().num_cores(), 1);
}

TEST(InRanges, WritesAListAsTheSystemDoes) {
  EXPECT_EQ(InRanges({0, 1, 2, 3, 8}), "0-3,8");
  EXPECT_EQ(InRanges({5}), "5");
  EXPECT_EQ(InRanges({}), "");
}

}  // namespace
}  // namespace sluice
