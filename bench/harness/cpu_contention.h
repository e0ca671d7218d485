// What others took from this process while something was timed: other processes its cores, the
// machine under a virtual one its CPUs, and a control group's quota its time.
//
//   ContentionMeter meter;
//   ... timed ...
//   const CpuContention contention = meter.Stop();
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "core/device/cpu/cpu_limits.h"

namespace sluice {

// Shares are of the time between start and stop.
struct CpuContention {
  // Of the thread of this process that waited the longest: how long it could run and did not.
  // Absent where the system does not say.
  std::optional<double> run_delay_share;

  double steal_share = 0;  // of the CPUs that the process may use, what the machine below took

  // Of the control groups' quotas (Throttling of core/device/cpu/cpu_limits.h).
  int64_t num_throttled_periods = 0;
  double throttled_s = 0;

  // The share that was lost, as far as it is known.
  double lost_share() const;
};

// Whether more was lost than on a quiet machine: over 2 % of the time, or anything to a quota.
bool IsDisturbed(const CpuContention& contention);

// For a table, what was lost, "a thread was ready and did not run for 48.1 %"; empty where the
// machine was quiet.
std::string Describe(const CpuContention& contention);

// run_delay_share, steal_share, num_throttled_periods, throttled_ms, is_disturbed.
void AddCounters(const CpuContention& contention, std::map<std::string, double>* counters);

class ContentionMeter {
 public:
  explicit ContentionMeter(SystemFiles files = {});  // starts

  CpuContention Stop() const;

 private:
  // Time that each thread has waited for a CPU since it began, by its id.
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
