// Times the passes of one executor: warm-up passes, then the timed ones.
//
//   executor.RunStep();                                   // chooses algorithms
//   if (executor.can_capture()) executor.Capture();
//   const TimedPasses passes = TimePasses(executor, environment, comm, {.n_steps = 5});
//
// Nothing is allocated, compiled or checked between the first warm-up pass and the last timed one,
// so clocks and power are those of the job itself. Each pass begins at a barrier, and its time is
// the maximum over ranks.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "bench/harness/cpu_contention.h"
#include "core/device/device_monitor.h"
#include "parallel/exec/executor.h"
#include "programs/comm_kind.h"
#include "programs/run_ranks.h"

namespace sluice {

struct MeasureOptions {
  // Timed passes: at least n_steps, and at least timed_s seconds of them, estimated by the warm-up.
  int64_t n_steps = 10;
  double timed_s = 0;
  // Untimed passes directly before the timed ones, likewise.
  int64_t num_warmup_steps = 1;
  double warmup_s = 0;

  // Measure records no op times if a pass takes more timestamps on a rank than this, or than its
  // device holds.
  int64_t max_timestamps = std::numeric_limits<int64_t>::max();

  // Called by rank 0 with the name of each part of the work ("initial_values") as it begins; may be
  // null.
  std::function<void(std::string_view part)> on_part = nullptr;
};

struct TimedPasses {
  // One element for each timed pass.
  std::vector<double> step_s;             // maximum over ranks
  std::vector<double> step_cpu_s;         // CPU time of all ranks and threads of this process
  std::vector<double> calibration_cpu_s;  // Calibration::CpuSeconds directly before the pass, mean
                                          // over ranks; empty on CUDA

  double warmup_s = 0;  // the sum of the warm-up passes, each the maximum over ranks

  std::optional<DeviceConditions> conditions;  // CUDA only: of this rank's GPU, in timed passes
  std::optional<CpuContention> contention;     // CPU only: the largest losses of any process

  double median_s() const;
  double min_s() const;
  double max_s() const;
};

// Called on each rank; both may be null.
struct PassHooks {
  std::function<void(std::string_view part)> on_part = nullptr;  // "warm_up", "timed_passes"
  std::function<void()> on_pass = nullptr;                       // after each timed pass
};

// All ranks call it. `comm` says whether ranks are threads of one process, which share their CPU
// time and contention.
TimedPasses TimePasses(Executor& executor, const RankEnvironment& environment, CommKind comm,
                       const MeasureOptions& options, const PassHooks& hooks = {});

}  // namespace sluice
