#include "bench/timeline/timed_step.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "parallel/schedule/activation_usage.h"

namespace sluice {

StepTimeline PredictedTimeline(const Simulation& simulation) {
  return {.duration_s = simulation.makespan_s, .op_times = simulation.op_times, .segments = {}};
}

StepTimeline MeasuredTimeline(const Schedule& schedule, double duration_s,
                              std::vector<std::vector<TimelineSegment>> segments) {
  SLUICE_CHECK_EQ(std::ssize(segments), schedule.num_ranks);
  StepTimeline timeline = {.duration_s = duration_s, .op_times = {}, .segments = {}};
  for (size_t rank = 0; rank < segments.size(); ++rank) {
    std::vector<OpTime> times(schedule.ops_of_rank[rank].size());
    // An op is one span from its first segment to its last, with its collectives.
    for (const TimelineSegment& segment : segments[rank]) {
      if (segment.op == TimelineSegment::kNoOp) continue;
      OpTime& time = times.at(static_cast<size_t>(segment.op));
      if (time.end_s == 0) time.start_s = segment.begin_s;
      time.end_s = segment.end_s;
    }
    timeline.op_times.push_back(std::move(times));
  }
  timeline.segments = std::move(segments);
  return timeline;
}

std::vector<ActivationPoint> ActivationCurve(const TimedStep& step, const StepTimeline& timeline,
                                             int rank) {
  const std::vector<Op>& ops = step.schedule.ops_of_rank[rank];
  std::vector<ActivationPoint> curve = {{0, 0}};
  int64_t bytes = 0;
  const auto add = [&](double time_s, int64_t change) {
    if (change == 0) return;
    bytes += change;
    curve.push_back({time_s, bytes});
  };
  for (size_t i = 0; i < ops.size(); ++i) {
    if (!IsCompute(ops[i].kind)) continue;
    const OpTime& time = timeline.op_times[rank][i];
    add(time.start_s, AllocatedActivationBytes(ops[i], step.activation_bytes));
    add(time.end_s, -FreedActivationBytes(step.schedule, ops[i], step.activation_bytes));
  }
  return curve;
}

}  // namespace sluice
