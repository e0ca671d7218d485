#include "parallel/planner/plan_costs.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

constexpr std::array kComputeKinds = {OpKind::kForward, OpKind::kBackward, OpKind::kBackwardInput,
                                      OpKind::kBackwardWeight};
// Of a layer, in its forward and in its input gradient (parallel/plan/layer_plan.h): partial sums
// that are all-reduced or, with the sequence split, reduce-scattered and gathered again.
constexpr int kAllReducesOfLayer = 2;

double GradientBytesOfLayer(const PlanSizes& sizes) {
  const double norm_bytes = static_cast<double>(SizeOf(AccumulatorDType(sizes.precision)));
  const double linear_bytes = static_cast<double>(SizeOf(sizes.grad_dtype));
  double bytes = 0;
  for (const ParameterSpec& parameter : LayerParameters(sizes.model)) {
    const int shards = parameter.shard_axis == ShardAxis::kReplicated ? 1 : sizes.sizes.tensor;
    bytes += static_cast<double>(parameter.shape.num_elements()) / shards *
             (parameter.is_layer_norm() ? norm_bytes : linear_bytes);
  }
  return bytes;
}

int64_t HiddenBytes(const PlanSizes& sizes, const Slice& slice) {
  return slice.len * sizes.micro_batch_size * sizes.model.hidden_size *
         SizeOf(StorageDType(sizes.precision));
}

}  // namespace

int64_t MessageBytesOf(const PlanSizes& sizes, const Slice& slice) {
  const bool splits_sequence = sizes.plan == PlanKind::kMegatronSequenceParallel;
  return HiddenBytes(sizes, slice) / (splits_sequence ? sizes.sizes.tensor : 1);
}

PlanSizes SizesOf(const JobPlan& plan) {
  return {.model = plan.config.model,
          .precision = plan.config.precision,
          .grad_dtype = GradDType(plan.config),
          .plan = plan.config.plan,
          .sizes = plan.config.sizes,
          .micro_batch_size = plan.micro_batch_size,
          .slices = plan.config.slices};
}

PlanCosts::PlanCosts(const OpCosts& op_costs, const LinkCosts& link_costs, PlanSizes sizes)
    : sizes_(std::move(sizes)), link_costs_(link_costs) {
  const int tensor = sizes_.sizes.tensor;
  for (const Slice& slice : sizes_.slices) {
    const int64_t hidden_bytes = HiddenBytes(sizes_, slice);
    message_bytes_.push_back(MessageBytesOf(sizes_, slice));
    for (const OpKind kind : kComputeKinds) {
      if (!op_costs.Has(kind, tensor)) continue;
      KindCosts& costs = kinds_[static_cast<size_t>(kind)];
      const OpShape op = {kind, tensor, sizes_.micro_batch_size, slice};
      costs.launch_s = op_costs.LaunchSeconds(kind);
      const double collective_s = kind == OpKind::kBackwardWeight
                                      ? 0
                                      : kAllReducesOfLayer * link_costs_.TensorAllReduceSeconds(
                                                                 static_cast<double>(hidden_bytes));
      costs.collective_s.push_back(collective_s);
      costs.layer_s.push_back(op_costs.LayerSeconds(op) + collective_s);
      costs.first_s.push_back(op_costs.EndSeconds(op, StageEnd::kFirst));
      costs.last_s.push_back(op_costs.EndSeconds(op, StageEnd::kLast));
    }
  }
  gradient_bytes_of_layer_ = GradientBytesOfLayer(sizes_);
}

double PlanCosts::OpSeconds(OpKind kind, int slice, const StagePart& stage) const {
  const KindCosts& costs = Of(kind);
  double seconds = costs.launch_s + static_cast<double>(stage.num_layers) * costs.layer_s.at(slice);
  if (stage.is_first) seconds += costs.first_s[slice];
  if (stage.is_last) seconds += costs.last_s[slice];
  return seconds;
}

double PlanCosts::CollectiveSeconds(OpKind kind, int slice, int64_t num_layers) const {
  return static_cast<double>(num_layers) * Of(kind).collective_s.at(slice);
}

int64_t PlanCosts::MessageBytes(int slice) const { return message_bytes_[slice]; }

double PlanCosts::MessageSeconds(const Edge& edge, int slice) const {
  const LinkCost& link = link_costs_.OfPipeline(edge);
  return link.latency_s + static_cast<double>(MessageBytes(slice)) / link.bytes_per_s;
}

double PlanCosts::GradientSumSeconds(int64_t num_layers) const {
  if (sizes_.sizes.data == 1) return 0;
  return link_costs_.DataAllReduceSeconds(static_cast<double>(num_layers) *
                                          gradient_bytes_of_layer_);
}

SimulationCosts PlanCosts::ForSimulation(const Schedule& schedule,
                                         const std::vector<LayerRange>& layers_of_stage) const {
  return {.compute_s =
              [this, &schedule, &layers_of_stage](const Op& op) {
                const int stage = op.unit.stage;
                return OpSeconds(op.kind, op.unit.slice,
                                 {.num_layers = layers_of_stage[stage].num_layers,
                                  .is_first = stage == 0,
                                  .is_last = stage == schedule.num_stages - 1});
              },
          .transfer_bytes = [this](const Op& send) { return MessageBytes(send.unit.slice); },
          .link = [this](const Edge& edge) { return link_costs_.OfPipeline(edge); }};
}

double PlanCosts::StepSeconds(const Schedule& schedule,
                              const std::vector<LayerRange>& layers_of_stage,
                              const Simulation& simulation) const {
  std::vector<int64_t> num_layers(schedule.num_ranks);
  for (int stage = 0; stage < schedule.num_stages; ++stage) {
    num_layers[schedule.rank_of_stage[stage]] += layers_of_stage[stage].num_layers;
  }
  double step_s = simulation.makespan_s;
  for (int rank = 0; rank < schedule.num_ranks; ++rank) {
    step_s = std::max(step_s, simulation.ranks[rank].end_s + GradientSumSeconds(num_layers[rank]));
  }
  return step_s;
}

}  // namespace sluice
