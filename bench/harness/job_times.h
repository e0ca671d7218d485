// The recorded passes of all ranks of a job, and what they say together: the time of the simulated
// schedule, bubbles, and exposed communication. docs/metrics.md has the formulas.
//
//   const std::optional<JobTimes> times = GatherTimes(plan, world, op_times, pass_s);  // all ranks
//   if (times) { const OpTimesSummary summary = Summarize(plan, *times); }             // rank 0
#pragma once

#include <optional>
#include <vector>

#include "bench/harness/op_times.h"
#include "parallel/comm/communicator.h"
#include "parallel/exec/job_plan.h"
#include "parallel/exec/op_timeline.h"
#include "parallel/schedule/simulate.h"
#include "parallel/schemes/formulas.h"

namespace sluice {

struct JobTimes {
  std::vector<double> pass_s;    // of each recorded pass, the maximum over ranks
  std::vector<OpTimes> of_rank;  // [world_size]

  // The schedule with the median duration of each op and free transfers (SimulateMeasured).
  Simulation simulation;
};

// A time that each rank has: the maximum and the mean over ranks.
struct RankTime {
  double max_s = 0;
  double mean_s = 0;
};

struct OpTimesSummary {
  // Simulated (SimulateMeasured).
  double simulated_s = 0;
  double simulated_bubble_fraction = 0;
  // The means over ranks of what a micro-batch takes on one, with whole backwards counted as input
  // gradients.
  MicroBatchTimes micro_batch_s;
  RankTime simulated_wait;  // of a pipeline rank before its last compute op

  // Measured in one pass: the recorded one whose time is the median.
  double measured_bubble_fraction = 0;
  RankTime exposed_communication;  // between stages
  RankTime tensor_collectives;
  RankTime data_collectives;
  double exposed_fraction =
      0;  // share of the pass in the three together, on the rank with the most

  double recorded_pass_s = 0;  // the median time of the recorded passes
};

// One recorded pass op by op, and the simulation with the medians over passes.
struct StepRecord {
  Simulation predicted;
  double pass_s = 0;                                   // of the recorded pass
  std::vector<std::vector<TimelineSegment>> segments;  // [pipeline ranks]
};

// All ranks of `world` call it; only rank 0 gets the result, because of many ranks it would be much
// memory on each. `pass_s` is the time of each recorded pass, the maximum over ranks.
std::optional<JobTimes> GatherTimes(const JobPlan& plan, Communicator& world, const OpTimes& own,
                                    std::vector<double> pass_s);

// The schedule simulated with the median duration of each op on the ranks with tensor and data
// coordinate 0, and free transfers.
Simulation SimulateMeasured(const JobPlan& plan, const std::vector<OpTimes>& of_rank);

OpTimesSummary Summarize(const JobPlan& plan, const JobTimes& times);

// The kept pass whose time is nearest to the median, of the ranks with tensor and data coordinate
// 0.
StepRecord RecordStep(const JobPlan& plan, const JobTimes& times);

}  // namespace sluice
