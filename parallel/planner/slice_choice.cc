#include "parallel/planner/slice_choice.h"

#include <utility>

#include "parallel/planner/slice_rules.h"

namespace sluice {
namespace {

// Positions of a slice are multiples of this (TeraPipe).
constexpr int64_t kTerapipeCell = 8;

int64_t MicroBatchSize(const PlanRequest& request, const Candidate& candidate) {
  return request.batch_size / candidate.sizes.data / candidate.num_micro_batches;
}

}  // namespace

PlanSizes SizesOf(const PlanRequest& request, const Candidate& candidate,
                  std::vector<Slice> slices) {
  return {.model = request.model,
          .precision = request.precision,
          .grad_dtype = request.grad_dtype.value_or(AccumulatorDType(request.precision)),
          .plan = request.plan,
          .sizes = candidate.sizes,
          .micro_batch_size = MicroBatchSize(request, candidate),
          .slices = std::move(slices)};
}

std::vector<Slice> SliceChoice::Choose(const Candidate& candidate, bool splits_backward,
                                       const LinkCosts& link_costs) const {
  const int64_t seq_len = request_.model.seq_len;
  const auto layer_seconds = [&](int64_t micro_batch_size, const Slice& slice) {
    OpShape op = {OpKind::kForward, candidate.sizes.tensor, micro_batch_size, slice};
    const double forward_s = costs_.LayerSeconds(op);
    op.kind = splits_backward ? OpKind::kBackwardInput : OpKind::kBackward;
    return forward_s + costs_.LayerSeconds(op);
  };
  const int64_t size = MicroBatchSize(request_, candidate);
  if (request_.slice_rule == SliceRule::kBalanced) {
    return BalancedSlices(seq_len, candidate.num_slices, request_.slice_tile,
                          [&](const Slice& slice) { return layer_seconds(size, slice); });
  }
  const auto layers_of_stage =
      static_cast<double>(request_.model.num_layers) / static_cast<double>(candidate.num_stages());
  const LinkCost& link = link_costs.OfPipeline({0, candidate.sizes.pipeline > 1 ? 1 : 0});
  const auto stage_seconds = [&](int64_t micro_batch_size, const Slice& slice) {
    const PlanSizes one = SizesOf(request_, candidate, {slice});
    const double message_s =
        link.latency_s + static_cast<double>(MessageBytesOf(one, slice)) / link.bytes_per_s;
    return layers_of_stage * layer_seconds(micro_batch_size, slice) + 2 * message_s;
  };
  const TerapipePlan plan = PlanTerapipe({.seq_len = seq_len,
                                          .cell = kTerapipeCell,
                                          .num_stages = candidate.num_stages(),
                                          .batch_size = size * candidate.num_micro_batches,
                                          .micro_batch_sizes = {size},
                                          .seconds = stage_seconds});
  return plan.micro_batches.front().slices;
}

const std::vector<Slice>& SliceChoice::Of(const Candidate& candidate, bool splits_backward,
                                          const LinkCosts& link_costs) {
  const bool is_terapipe = request_.slice_rule == SliceRule::kTerapipe;
  const auto [known, is_new] = known_.try_emplace(
      {candidate.sizes.tensor, MicroBatchSize(request_, candidate), candidate.num_slices,
       splits_backward, is_terapipe ? candidate.num_stages() : 0,
       is_terapipe ? candidate.sizes.data : 0});
  if (!is_new) return known->second;
  if (candidate.num_slices == 1) {
    known->second = UniformSlices(request_.model.seq_len, 1);
  } else if (request_.slice_rule == SliceRule::kEqual) {
    known->second = UniformSlices(request_.model.seq_len, candidate.num_slices);
  } else {
    known->second = Choose(candidate, splits_backward, link_costs);
  }
  return known->second;
}

}  // namespace sluice
