#include "core/device/cpu/cpu_limits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "core/base/check.h"

namespace sluice {
namespace {

// CPU time of one period over its length, in CPUs; absent where the group has no quota.
std::optional<double> QuotaOf(const ControlGroup& group) {
  int64_t quota_us = 0, period_us = 0;
  if (group.version == ControlGroupVersion::k2) {
    // "50000 100000", or "max 100000".
    std::ifstream in(group.folder + "/cpu.max");
    if (!(in >> quota_us >> period_us)) return std::nullopt;
  } else {
    quota_us = NumberIn(group.folder + "/cpu.cfs_quota_us", -1);  // -1: none
    period_us = NumberIn(group.folder + "/cpu.cfs_period_us", 0);
  }
  if (quota_us <= 0 || period_us <= 0) return std::nullopt;
  return static_cast<double>(quota_us) / static_cast<double>(period_us);
}

struct QuotaGroup {
  double quota_cpus;
  std::string folder;
};

std::optional<QuotaGroup> LeastQuota(const SystemFiles& files) {
  std::optional<QuotaGroup> least;
  for (const ControlGroup& group : ControlGroupsOf("cpu", files)) {
    const std::optional<double> quota = QuotaOf(group);
    if (quota && (!least || *quota < least->quota_cpus)) least = {*quota, group.folder};
  }
  return least;
}

}  // namespace

int CpuLimits::num_cores() const {
  const int num_cpus = std::max(1, static_cast<int>(cpus.size()));
  if (!quota_cpus) return num_cpus;
  return static_cast<int>(std::clamp(std::floor(*quota_cpus), 1.0, double(num_cpus)));
}

CpuLimits FindCpuLimits(const SystemFiles& files) {
  CpuLimits limits;
  cpu_set_t set;
  SLUICE_CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) limits.cpus.push_back(cpu);
  }
  if (const std::optional<QuotaGroup> least = LeastQuota(files)) {
    limits.quota_cpus = least->quota_cpus;
  }
  return limits;
}

std::string InRanges(const std::vector<int>& cpus) {
  std::vector<std::string> ranges;
  for (size_t begin = 0, end = 0; begin < cpus.size(); begin = end) {
    end = begin + 1;
    while (end < cpus.size() && cpus[end] == cpus[end - 1] + 1) ++end;
    ranges.push_back(end == begin + 1 ? fmt::format("{}", cpus[begin])
                                      : fmt::format("{}-{}", cpus[begin], cpus[end - 1]));
  }
  return fmt::format("{}", fmt::join(ranges, ","));
}

uint64_t QuotaGroupId(const SystemFiles& files) {
  const std::optional<QuotaGroup> least = LeastQuota(files);
  struct stat status = {};
  if (!least || stat(least->folder.c_str(), &status) != 0) return 0;
  return status.st_ino;
}

Throttling ReadThrottling(const SystemFiles& files) {
  Throttling sum;
  for (const ControlGroup& group : ControlGroupsOf("cpu", files)) {
    const std::string path = group.folder + "/cpu.stat";
    sum.num_periods += NumberOf(path, "nr_throttled", 0);
    sum.throttled_ns += group.version == ControlGroupVersion::k2
                            ? NumberOf(path, "throttled_usec", 0) * 1000
                            : NumberOf(path, "throttled_time", 0);
  }
  return sum;
}

}  // namespace sluice
