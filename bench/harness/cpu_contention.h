// Measures what a process lost while something was timed: its cores to other processes, its CPUs to
// the hypervisor of a virtual machine, and its time to the quota of a control group.
//
//   ContentionMeter meter;
//   ... timed ...
//   const CpuContention contention = meter.Stop();
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/harness/metric.h"
#include "core/device/cpu/cpu_limits.h"
#include "parallel/comm/communicator.h"

namespace sluice {

// Shares are of the time between start and stop.
struct CpuContention {
  // Share of the time in which a thread was ready but did not run; the thread of this process with
  // the most. Absent if the system does not report it.
  std::optional<double> run_delay_share;

  double steal_share = 0;  // the hypervisor's share of the CPUs that the process may use

  // Lost to quotas (Throttling of core/device/cpu/cpu_limits.h).
  int64_t num_throttled_periods = 0;
  double throttled_s = 0;

  // The larger of the two shares.
  double lost_share() const;
};

// Whether more was lost than on a quiet machine: over 2 % of the time, or anything to a quota.
bool IsDisturbed(const CpuContention& contention);

// Describes the losses for a table: "a thread was ready and did not run for 48.1 %". Empty if the
// machine was quiet.
std::string Describe(const CpuContention& contention);

std::span<const Metric<CpuContention>> ContentionMetrics();

// The largest loss of any rank in each quantity. All ranks of `world` call it.
CpuContention MostContention(Communicator& world, const CpuContention& own);

class ContentionMeter {
 public:
  explicit ContentionMeter(SystemFiles files = {});  // starts the measurement

  CpuContention Stop() const;

 private:
  // The time that each thread has waited for a CPU since it began, by thread id.
  std::map<std::string, int64_t> RunDelaysNs() const;
  int64_t StealTicks() const;

  SystemFiles files_;
  std::vector<int> cpus_;
  int64_t begin_ns_;
  std::map<std::string, int64_t> begin_delays_ns_;
  int64_t begin_steal_ticks_;
  Throttling begin_throttling_;
};

}  // namespace sluice
