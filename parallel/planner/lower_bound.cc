#include "parallel/planner/lower_bound.h"

#include <algorithm>
#include <limits>

namespace sluice {
namespace {

// Seconds of one unit's backward: until its input gradient, and in total.
struct BackwardSeconds {
  double input_s = std::numeric_limits<double>::infinity();
  double total_s = std::numeric_limits<double>::infinity();
};

BackwardSeconds LeastBackward(const PlanCosts& costs, const BackwardKinds& kinds, int slice,
                              const PlanCosts::StagePart& stage) {
  BackwardSeconds least;
  if (kinds.has_whole) {
    least.total_s = costs.OpSeconds(OpKind::kBackward, slice, stage);
    least.input_s = least.total_s;
  }
  if (kinds.has_split) {
    const double input_s = costs.OpSeconds(OpKind::kBackwardInput, slice, stage);
    least.input_s = std::min(least.input_s, input_s);
    least.total_s =
        std::min(least.total_s, input_s + costs.OpSeconds(OpKind::kBackwardWeight, slice, stage));
  }
  return least;
}

// Of all ops of one rank.
struct RankWork {
  int first_stage = -1;
  int64_t num_layers = 0;
  double until_last_input_s = 0;  // forwards and backwards until input gradients
  double total_s = 0;
};

}  // namespace

BackwardKinds BackwardKindsOf(const Scheme& scheme) {
  const auto uses = [&](ShapeField field) { return (scheme.shape_fields & field) != 0; };
  const ScheduleShape shape = {.num_ranks = uses(kUsesRanks) ? 2 : 1,
                               .num_micro_batches = uses(kUsesMicroBatches) ? 8 : 1,
                               .num_slices = uses(kUsesSlices) ? 2 : 1,
                               .num_chunks = uses(kUsesChunks) ? 2 : 1};
  BackwardKinds kinds;
  for (const Op& op : scheme.build(shape, 0)) {
    kinds.has_whole |= op.kind == OpKind::kBackward;
    kinds.has_split |= op.kind == OpKind::kBackwardInput;
  }
  return kinds;
}

double LowerBoundSeconds(const PlanCosts& costs, const Candidate& candidate,
                         const BackwardKinds& kinds,
                         const std::vector<LayerRange>& layers_of_stage) {
  const int num_stages = candidate.num_stages();
  const int num_slices = static_cast<int>(costs.sizes().slices.size());
  std::vector<double> head_s(num_stages + 1), tail_s(num_stages + 1);  // of the stages before
  std::vector<RankWork> ranks(candidate.sizes.pipeline);
  for (int stage = 0; stage < num_stages; ++stage) {
    const PlanCosts::StagePart part = {.num_layers = layers_of_stage[stage].num_layers,
                                       .is_first = stage == 0,
                                       .is_last = stage == num_stages - 1};
    RankWork& work = ranks[RankOfStage(candidate, stage)];
    if (work.first_stage < 0) work.first_stage = stage;
    work.num_layers += part.num_layers;
    for (int slice = 0; slice < num_slices; ++slice) {
      const double forward_s = costs.OpSeconds(OpKind::kForward, slice, part);
      const BackwardSeconds backward = LeastBackward(costs, kinds, slice, part);
      work.until_last_input_s += candidate.num_micro_batches * (forward_s + backward.input_s);
      work.total_s += candidate.num_micro_batches * (forward_s + backward.total_s);
      // The first forward and the last backward are of a first slice.
      if (slice > 0) continue;
      head_s[stage + 1] = head_s[stage] + forward_s;
      tail_s[stage + 1] = tail_s[stage] + backward.input_s;
    }
    if (part.is_last) break;
    const Edge edge = {RankOfStage(candidate, stage), RankOfStage(candidate, stage + 1)};
    if (edge.from_rank == edge.to_rank) continue;
    head_s[stage + 1] += costs.MessageSeconds(edge, 0);
    tail_s[stage + 1] += costs.MessageSeconds({edge.to_rank, edge.from_rank}, 0);
  }
  const double last_sum_s = costs.GradientSumSeconds(ranks[0].num_layers);
  double bound_s = 0;
  for (const RankWork& work : ranks) {
    const double start_s = head_s[work.first_stage];
    bound_s = std::max({bound_s,
                        start_s + work.until_last_input_s + tail_s[work.first_stage] + last_sum_s,
                        start_s + work.total_s + costs.GradientSumSeconds(work.num_layers)});
  }
  return bound_s;
}

}  // namespace sluice
