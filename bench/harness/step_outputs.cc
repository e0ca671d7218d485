#include "bench/harness/step_outputs.h"

#include <utility>

#include "bench/timeline/step_figure.h"
#include "bench/timeline/step_trace.h"
#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "parallel/exec/rank_memory.h"

namespace sluice {
namespace {

// [NumUnits], by UnitIndex.
std::vector<int64_t> ActivationBytesOfUnits(const JobPlan& plan) {
  const Schedule& schedule = plan.schedule;
  std::vector<int64_t> bytes(static_cast<size_t>(NumUnits(schedule)));
  for (int rank = 0; rank < schedule.num_ranks; ++rank) {
    const RankMemory memory(plan, {.pipeline = rank});
    for (const Op& op : schedule.ops_of_rank[static_cast<size_t>(rank)]) {
      if (op.kind != OpKind::kForward) continue;
      bytes[static_cast<size_t>(UnitIndex(schedule, op.unit))] =
          memory.UnitActivationBytes(op.unit);
    }
  }
  return bytes;
}

std::vector<int64_t> MessageBytesOfSlices(const JobPlan& plan) {
  const UnitLayout layout(plan, {});
  std::vector<int64_t> bytes;
  for (int slice = 0; slice < plan.schedule.num_slices; ++slice) {
    bytes.push_back(layout.message_bytes(slice));
  }
  return bytes;
}

}  // namespace

TimedStep TimedStepOf(const JobPlan& plan, std::string title, const StepRecord& record) {
  return {.title = std::move(title),
          .schedule = plan.schedule,
          .layers_of_stage = plan.layers_of_stage,
          .activation_bytes =
              [schedule = plan.schedule, bytes = ActivationBytesOfUnits(plan)](const Unit& unit) {
                return bytes[static_cast<size_t>(UnitIndex(schedule, unit))];
              },
          .message_bytes_of_slice = MessageBytesOfSlices(plan),
          .predicted = PredictedTimeline(record.predicted),
          .measured = MeasuredTimeline(plan.schedule, record.pass_s, record.segments)};
}

void WriteSteps(const StepOutputs& outputs, const std::vector<TimedStep>& steps) {
  if (steps.empty()) {
    throw Error("no step to show in --svg_out or --trace_out: the ops of no pass were recorded");
  }
  if (!outputs.svg_out.empty()) WriteFileAtomically(outputs.svg_out, StepFigureSvg(steps));
  if (!outputs.trace_out.empty()) WriteTrace(outputs.trace_out, steps);
}

}  // namespace sluice
