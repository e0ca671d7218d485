// Summarises the times of all ops on all ranks (parallel/exec/op_timeline.h): the time of the
// simulated schedule, bubbles, and exposed communication. docs/metrics.md has the formulas.
//
//   OpTimes op_times(executor.ops().size());
//   for each recorded pass: op_times.Add(executor.timeline().Read());
//   const OpTimesSummary summary = Summarize(plan, world, op_times, pass_s);
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/exec/job_plan.h"
#include "parallel/exec/op_timeline.h"
#include "parallel/schedule/simulate.h"
#include "parallel/schemes/formulas.h"

namespace sluice {

// The recorded passes of one rank. It keeps sums of every pass, and the times of single ops and
// segments of the first passes: as many as fit into 32 MiB, and at least one.
class OpTimes {
 public:
  explicit OpTimes(size_t num_ops);

  void Add(const PassTimes& times);

  size_t num_passes() const { return sums_.size(); }
  size_t num_kept_passes() const { return op_s_.size(); }

  // [ops]: the median time of each op over the kept passes.
  std::vector<double> Medians() const;

  // The segments of a kept pass.
  std::vector<TimelineSegment> Segments(size_t kept_pass) const;

  // Sums of one pass.
  double BusySeconds(size_t pass) const { return sums_[pass].busy_s; }
  double ActivitySeconds(size_t pass, Activity activity) const {
    return sums_[pass].activity_s[static_cast<size_t>(activity)];
  }

 private:
  struct Sums {
    double busy_s = 0;  // in compute ops, their collectives included
    std::array<double, kNumActivities> activity_s = {};
  };

  size_t num_ops_;
  std::vector<TimelineSegment> segments_;      // without times: they are the same in every pass
  std::vector<std::vector<float>> op_s_;       // [passes kept][ops]
  std::vector<std::vector<float>> segment_s_;  // [passes kept][segments], durations
  std::vector<Sums> sums_;                     // [passes]
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
  RankTime exposed_communication;
  RankTime tensor_collectives;
  RankTime data_collectives;

  double recorded_pass_s = 0;  // the median time of the recorded passes
};

// One recorded pass op by op, and the simulation with the medians over passes.
struct StepRecord {
  Simulation predicted;
  double pass_s = 0;                                   // of the recorded pass
  std::vector<std::vector<TimelineSegment>> segments;  // [pipeline ranks]
};

// The schedule simulated with each op's median duration and free transfers. All ranks of `world`
// call it; only rank 0 gets the result, the others an empty one.
Simulation SimulateMeasured(const JobPlan& plan, Communicator& world, const OpTimes& own);

// The kept pass whose time is nearest to the median, next to `simulation` (SimulateMeasured). All
// ranks of `world` call it; only rank 0 gets the result, which is that of the ranks with tensor and
// data coordinate 0.
std::optional<StepRecord> RecordStep(const JobPlan& plan, Communicator& world, const OpTimes& own,
                                     const std::vector<double>& pass_s, Simulation simulation);

// All ranks of `world` call it. `pass_s` is the time of each recorded pass, the maximum over ranks;
// `simulation` is that of SimulateMeasured.
OpTimesSummary Summarize(const JobPlan& plan, Communicator& world, const OpTimes& own,
                         const std::vector<double>& pass_s, const Simulation& simulation);

}  // namespace sluice
