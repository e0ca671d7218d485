// Times one job: all ranks, a fixed number of passes, and beside the time everything that a reader
// needs to trust it.
//
//   Measurement m = Measure(ranks, job, plan, {.n_steps = 5});
//
// Nothing is allocated, compiled or validated inside the timed region, and nothing comes between
// the passes that warm up and those that are timed: what the machine's clocks and power are by then
// is the job's own doing.  Each pass begins at a barrier; its time is the maximum over ranks.
// Refused, with Error: a result that is not finite, and what RunRanks refuses.  Every number's
// formula and unit stand in docs/metrics.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/harness/cpu_contention.h"
#include "bench/harness/op_times.h"
#include "bench/harness/rank_cores.h"
#include "core/device/device_monitor.h"
#include "parallel/exec/job.h"
#include "programs/job.h"
#include "programs/rank_starter.h"
#include "programs/run_ranks.h"

namespace sluice {

struct MeasureOptions {
  // Timed passes, and those just before them: at least so many, and so many seconds of them.
  int64_t n_steps = 10;
  double timed_s = 0;
  int64_t num_warmup_steps = 1;
  double warmup_s = 0;

  // Op times are left out where a pass takes more timestamps on a rank than this, or than its
  // device holds.
  int64_t max_timestamps = std::numeric_limits<int64_t>::max();

  // Whether Measurement::step_record is filled.
  bool records_step = false;

  // Called by rank 0 with its name ("initial_values") as each part of the work begins; may be null.
  std::function<void(std::string_view part)> on_part = nullptr;
};

struct Measurement {
  // Of each timed pass.
  std::vector<double> step_s;      // maximum over ranks
  std::vector<double> step_cpu_s;  // of this process: its ranks and threads

  // Of each timed pass, Calibration::CpuSeconds before each, the mean over ranks; empty on cuda.
  std::vector<double> calibration_cpu_s;

  double median_s = 0;
  double min_s = 0;
  double max_s = 0;

  double flops = 0;   // of one pass, all ranks
  double tokens = 0;  // of one pass

  // A rank's rate of matrix products while all ranks make them: on the cpu of the whole round in
  // which each makes one, on cuda the mean over ranks of their own.  Absent where MeasuresCeilings
  // is false.
  std::optional<double> matmul_flops_per_s;

  double warmup_s = 0;  // of the passes just before the timed ones, each by its slowest rank

  // Of cuda: the rate of the same products run back to back after the passes for about as
  // long as those took, the mean over ranks, absent likewise; and what rank 0's GPU did during the
  // passes and during these.
  std::optional<double> sustained_matmul_flops_per_s;
  std::optional<DeviceConditions> conditions;
  std::optional<DeviceConditions> sustained_matmul_conditions;

  // From passes whose ops were recorded: on the cpu the timed ones, on cuda others after them,
  // since timestamps between kernels slow a GPU down.  Absent where a pass of some rank takes more
  // timestamps than there may be.
  std::optional<OpTimesSummary> op_times;
  std::optional<StepRecord> step_record;  // where asked for, on rank 0
  int64_t num_timestamps = 0;             // of the rank with the most
  int64_t max_timestamps = 0;

  // Of the cpu, where ranks have no core for each thread: op_times then mean nothing.
  std::optional<CoreShortage> core_shortage;

  // During the timed passes, of the process that lost the most; absent on cuda.
  std::optional<CpuContention> contention;

  // Of a pass whose kernels do nothing, the median, maximum over ranks: the executor's own time and
  // the communication's.  Absent on cuda.
  std::optional<double> empty_pass_s;

  // Of the rank with the most: by the schedule, and by what was allocated.
  int64_t simulated_activation_bytes = 0;
  int64_t activation_bytes = 0;

  int64_t predicted_bytes = 0;       // PredictMemory, of the job itself
  int64_t predicted_peak_bytes = 0;  // and of the ceilings, whichever is more
  int64_t allocated_bytes = 0;       // held during the timed passes, all ranks
  int64_t rank_bytes = 0;            // the same of the rank with the most
  // Of cuda, the rank with the most: PredictDeviceMemory, and the most that was in use of its GPU.
  int64_t predicted_device_bytes = 0;
  int64_t peak_device_bytes = 0;

  int64_t peak_resident_bytes = 0;  // of the host, the sum over the processes of the job

  int64_t sent_bytes = 0;       // between stages, all ranks, one pass
  int64_t num_allocations = 0;  // of the device during the timed passes, all ranks
  double loss = 0;

  // What this rank spent on each part of the work, by its name.
  std::map<std::string, double> part_s;
};

// Bytes that all ranks of a job allocate.
struct MemoryPrediction {
  int64_t weights = 0;
  int64_t gradients = 0;    // of weights, and of activations between ops
  int64_t activations = 0;  // the model's input among them
  int64_t workspaces = 0;   // of layers and kernels
  int64_t ceilings = 0;     // of products measured when all else is gone; on the cpu

  // Of the job itself.
  int64_t total() const { return weights + gradients + activations + workspaces; }
  int64_t peak() const { return std::max(total(), ceilings); }
};

// Throws Error when a sum does not fit 64 bits.
MemoryPrediction PredictMemory(const Job& job, const JobPlan& plan);

// Bytes of one GPU that the rank with the most will have in use at once.
struct DeviceMemoryPrediction {
  int64_t runtime = 0;   // the driver's context and kernels: measured now, on this process's GPU
  int64_t executor = 0;  // its share of MemoryPrediction
  int64_t ceiling = 0;   // of the products measured when the executor is gone

  int64_t peak() const { return runtime + std::max(executor, ceiling); }
};

// Of a job on cuda, before it runs.
DeviceMemoryPrediction PredictDeviceMemory(const Job& job, const JobPlan& plan);

// What Measure needs besides the job: for CheckRanks.
RankNeeds NeedsOf(const Job& job, const MeasureOptions& options);

// In each process of a job, of its own rank or threads.  `plan` is that of job.config.
Measurement Measure(RankStarter& ranks, const Job& job, const JobPlan& plan,
                    const MeasureOptions& options);

}  // namespace sluice
