// How much of the machine's CPUs this process may use: affinity says which, and the quota of a
// control group (a container's, a batch system's) how much of them; and what it lost to that quota.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/device/cpu/control_groups.h"

namespace sluice {

struct CpuLimits {
  std::vector<int> cpus;             // that the affinity allows, ascending
  std::optional<double> quota_cpus;  // CPU seconds that a second gives: 0.5 is half a CPU

  // As many threads as may run at once all the time: the quota's whole CPUs, and 1 at least.
  int num_cores() const;
};

// The quota is the least of the process's own group and all above it; absent where none has one.
CpuLimits FindCpuLimits(const SystemFiles& files = {});

// "0-3,8": the affinity as the system writes it.
std::string InRanges(const std::vector<int>& cpus);

// The least quota and its group on this host; two processes of one group share it.  0 where there
// is none.
uint64_t QuotaGroupId(const SystemFiles& files = {});

// What the process's groups lost to their quotas since they were made, summed over the groups.
struct Throttling {
  int64_t num_periods = 0;   // in which a group had to wait
  int64_t throttled_ns = 0;  // for how long, summed over CPUs
};
Throttling ReadThrottling(const SystemFiles& files = {});

}  // namespace sluice
