#include "bench/timeline/example_step.h"

#include <string>
#include <utility>
#include <vector>

#include "parallel/schedule/communication.h"
#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

constexpr double kSlowdown = 1.1;

double Seconds(const Op& compute) {
  switch (compute.kind) {
    case OpKind::kForward:
      return 1e-3;
    case OpKind::kBackwardInput:
      return 1.2e-3;
    case OpKind::kBackwardWeight:
      return 0.8e-3;
    default:
      return 2e-3;
  }
}

std::vector<TimelineSegment> SlowerSegments(const Schedule& schedule, int rank,
                                            const std::vector<OpTime>& predicted) {
  std::vector<TimelineSegment> segments;
  double now_s = 0;
  for (size_t i = 0; i < predicted.size(); ++i) {
    if (!IsCompute(schedule.ops_of_rank[rank][i].kind)) continue;
    const double start_s = kSlowdown * predicted[i].start_s;
    const double end_s = kSlowdown * predicted[i].end_s;
    if (start_s > now_s) {
      segments.push_back({.activity = Activity::kMessages, .begin_s = now_s, .end_s = start_s});
    }
    segments.push_back({Activity::kCompute, static_cast<int>(i), start_s, end_s});
    now_s = end_s;
  }
  return segments;
}

}  // namespace

TimedStep ExampleStep(std::string_view scheme, const ScheduleShape& shape) {
  TimedStep step = {.title = std::string(scheme),
                    .schedule = AddCommunication(BuildSchedule(FindScheme(scheme), shape)),
                    .layers_of_stage = {},
                    .activation_bytes = [](const Unit&) { return int64_t{3} << 20; },
                    .message_bytes_of_slice = std::vector<int64_t>(shape.num_slices, 4096),
                    .predicted = {},
                    .measured = {}};
  for (int stage = 0; stage < step.schedule.num_stages; ++stage) {
    step.layers_of_stage.push_back({.begin = 2 * stage, .num_layers = 2});
  }
  const Simulation simulation = Simulate(
      step.schedule,
      {.compute_s = Seconds, .link = [](const Edge&) { return LinkCost{.latency_s = 1e-4}; }});
  step.predicted = PredictedTimeline(simulation);
  std::vector<std::vector<TimelineSegment>> segments;
  for (int rank = 0; rank < step.schedule.num_ranks; ++rank) {
    segments.push_back(SlowerSegments(step.schedule, rank, simulation.op_times[rank]));
  }
  step.measured = MeasuredTimeline(step.schedule, kSlowdown * simulation.makespan_s, segments);
  return step;
}

}  // namespace sluice
