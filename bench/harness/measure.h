// Times one job on all its ranks, and measures what a reader needs to interpret the time: ceilings
// of the same machine, op times, memory, contention and the conditions of a GPU.
//
//   const Measurement m = Measure(ranks, job, plan, memory, {.n_steps = 5});
//
// Throws Error if a result is not finite, and what RunRanks throws. docs/metrics.md has the formula
// and unit of each number, measurement_metrics.h their names.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/harness/cpu_contention.h"
#include "bench/harness/job_times.h"
#include "bench/harness/rank_cores.h"
#include "bench/harness/time_passes.h"
#include "core/device/device_monitor.h"
#include "parallel/exec/job_plan.h"
#include "parallel/exec/memory_plan.h"
#include "parallel/exec/rank_memory.h"
#include "parallel/exec/traffic.h"
#include "programs/job.h"
#include "programs/rank_starter.h"
#include "programs/run_ranks.h"

namespace sluice {

// The memory and the communication of one rank.
struct RankUse {
  int64_t simulated_activation_bytes = 0;  // by the order of its ops
  RankBytes bytes;                         // as laid out, without the kernels' workspace
  int64_t allocated_bytes = 0;             // on its device, during the timed passes
  PassTraffic traffic;
};

struct Measurement {
  // One element for each timed pass, as in TimedPasses.
  std::vector<double> step_s;
  std::vector<double> step_cpu_s;
  std::vector<double> calibration_cpu_s;

  double median_s = 0;
  double min_s = 0;
  double max_s = 0;

  int world_size = 1;
  double flops = 0;   // of one pass, all ranks
  double tokens = 0;  // of one pass
  double flops_per_s_per_rank() const { return flops / median_s / world_size; }

  // Null where the op times are absent or meaningless.
  const OpTimesSummary* usable_op_times() const {
    return op_times && !core_shortage ? &*op_times : nullptr;
  }

  // The peak ceiling: the rate of matrix products per rank while all ranks compute them. Absent if
  // MeasuresCeilings is false.
  std::optional<double> matmul_flops_per_s;

  double warmup_s = 0;  // of the warm-up passes, each the maximum over ranks

  // CUDA only. The sustained ceiling: the rate of the same products run back to back for about as
  // long as the passes took, mean over ranks, absent likewise; and what rank 0's GPU did during the
  // passes and during these products.
  std::optional<double> sustained_matmul_flops_per_s;
  std::optional<DeviceConditions> conditions;
  std::optional<DeviceConditions> sustained_matmul_conditions;

  // Measured in passes whose ops were recorded: on the CPU the timed ones, on CUDA others after
  // them, because timestamps between kernels slow a GPU down. Absent if a pass takes more
  // timestamps on a rank than max_timestamps. On rank 0 alone.
  std::optional<OpTimesSummary> op_times;
  std::optional<JobTimes> job_times;
  int64_t num_timestamps = 0;  // of a pass, on the rank with the most
  int64_t max_timestamps = 0;

  // CPU only. Set if the ranks have more threads than cores; op_times are then meaningless.
  std::optional<CoreShortage> core_shortage;

  // CPU only. The largest losses of any process during the timed passes.
  std::optional<CpuContention> contention;

  // CPU only. The median time of a pass whose kernels do nothing, maximum over ranks: the executor
  // and the communication alone.
  std::optional<double> empty_pass_s;

  std::vector<RankUse> of_rank;  // [world_size]
  // Over all ranks; `value` is a member of RankUse or a function of it.
  template <typename Value>
  int64_t SumOfRanks(const Value& value) const {
    int64_t sum = 0;
    for (const RankUse& rank : of_rank) sum += std::invoke(value, rank);
    return sum;
  }
  template <typename Value>
  int64_t MaxOfRanks(const Value& value) const {
    int64_t max = 0;
    for (const RankUse& rank : of_rank) max = std::max(max, int64_t{std::invoke(value, rank)});
    return max;
  }

  int64_t predicted_bytes = 0;       // by the memory plan, all ranks
  int64_t predicted_peak_bytes = 0;  // PredictedPeakBytes
  // CUDA only: rank 0's runtime_bytes before it allocates plus the memory plan's MaxDeviceBytes,
  // and the peak of the GPU that used the most.
  int64_t predicted_device_bytes = 0;
  int64_t peak_device_bytes = 0;

  int64_t program_bytes = 0;        // resident in all processes before any rank allocated
  int64_t peak_resident_bytes = 0;  // the sum of all processes' peaks

  int64_t num_allocations = 0;  // by the devices during the timed passes, all ranks
  double loss = 0;

  // Seconds that this rank spent on each part of the work, by the part's name.
  std::map<std::string, double> part_s;
};

// The most that all ranks of a job allocate at the same time: on the CPU the ceilings' products
// count, which are computed when the executors are gone.
int64_t PredictedPeakBytes(DeviceKind device, const MemoryPlan& memory);

// What Measure needs besides the job, for PlanMemory and CheckRanks.
RankNeeds NeedsOf(const Job& job, const MeasureOptions& options);

// The sum over the processes of a job, which all make the call.
int64_t SumOverProcesses(const RankStarter& ranks, int64_t bytes);

// Called in each process of a job, which runs its own rank or threads, after CheckRanks. `plan` is
// PlanJob's of job.config, `memory` PlanMemory's, `program_bytes` the resident memory of all
// processes before the call.
Measurement Measure(RankStarter& ranks, const Job& job, const JobPlan& plan,
                    const MemoryPlan& memory, const MeasureOptions& options,
                    int64_t program_bytes = 0);

}  // namespace sluice
