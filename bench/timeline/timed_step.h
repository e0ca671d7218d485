// One pass of a job over time, rank by rank: as the schedule's simulation predicts it and as it was
// measured. Traces (step_trace.h) and pictures (step_figure.h) show both on one time axis.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "parallel/exec/op_timeline.h"
#include "parallel/schedule/layer_split.h"
#include "parallel/schedule/replay.h"
#include "parallel/schedule/schedule.h"
#include "parallel/schedule/simulate.h"

namespace sluice {

// Times in seconds; 0 is the start of the pass on every rank.
struct StepTimeline {
  double duration_s = 0;

  // [pipeline ranks][ops of the rank]. Sends and receives have the times of their transfers in a
  // prediction, and none (both 0) in a measurement.
  std::vector<std::vector<OpTime>> op_times;

  // [pipeline ranks]: what each rank did from one timestamp to the next. Empty in a prediction.
  std::vector<std::vector<TimelineSegment>> segments;
};

struct TimedStep {
  std::string title;  // "gpipe b=4 m=4 on 2 ranks, model test"
  Schedule schedule;
  std::vector<LayerRange> layers_of_stage;
  std::function<int64_t(const Unit&)> activation_bytes;  // kept by the unit's Forward
  std::vector<int64_t> message_bytes_of_slice;           // of an activation or a gradient
  StepTimeline predicted;
  std::optional<StepTimeline> measured;
};

StepTimeline PredictedTimeline(const Simulation& simulation);

// `segments` are those of one recorded pass, [pipeline ranks].
StepTimeline MeasuredTimeline(const Schedule& schedule, double duration_s,
                              std::vector<std::vector<TimelineSegment>> segments);

// Kept activations of one rank from `time_s` on.
struct ActivationPoint {
  double time_s = 0;
  int64_t bytes = 0;
};

// Returns one point for each change, by time. Activations are allocated when a unit's Forward
// starts and freed when an op ends (activation_usage.h).
std::vector<ActivationPoint> ActivationCurve(const TimedStep& step, const StepTimeline& timeline,
                                             int rank);

}  // namespace sluice
