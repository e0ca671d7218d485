#include "parallel/planner/plan_memory.h"

#include <algorithm>

#include "parallel/exec/memory_plan.h"
#include "parallel/exec/rank_memory.h"
#include "parallel/exec/unit_layout.h"
#include "parallel/schedule/layer_split.h"
#include "parallel/schemes/schemes.h"

namespace sluice {

int64_t ExactMemoryBytes(const PlanRequest& request, const JobPlan& plan) {
  return PlanMemory(plan, request.kernel_bytes(UnitLayout(plan, {}).limits())).MaxDeviceBytes();
}

const MemoryBound::StageBytes& MemoryBound::BytesOf(const Candidate& candidate,
                                                    const std::vector<Slice>& slices) {
  const int64_t micro_batch_size =
      request_.batch_size / candidate.sizes.data / candidate.num_micro_batches;
  std::vector<int64_t> lens;
  for (const Slice& slice : slices) lens.push_back(slice.len);
  const auto [known, is_new] =
      known_.try_emplace({candidate.sizes.tensor, candidate.num_stages(), micro_batch_size, lens});
  if (!is_new) return known->second;
  // One micro-batch on as many ranks as there are stages: stage 0 is the same.
  Candidate probe = {
      .scheme = &FindScheme("seqpipe"),
      .sizes = {.pipeline = candidate.num_stages(), .tensor = candidate.sizes.tensor}};
  JobConfig config = ConfigOf(request_, probe, slices);
  config.batch_size = micro_batch_size;
  const JobPlan plan = PlanJob(config);
  const RankMemory memory(plan, {});
  known->second.weights_and_gradients = memory.bytes().weights + memory.bytes().weight_gradients;
  for (int slice = 0; slice < static_cast<int>(slices.size()); ++slice) {
    known->second.activations.push_back(memory.UnitActivationBytes({.slice = slice}));
  }
  return known->second;
}

int64_t MemoryBound::Of(const Candidate& candidate, const std::vector<Slice>& slices,
                        const std::vector<Op>& ops) {
  const StageBytes& stage = BytesOf(candidate, slices);
  const std::vector<LayerRange> layers =
      SplitLayers(request_.model.num_layers, candidate.num_stages());
  // Layers of a stage of rank 0 relative to those of stage 0, which has the most.
  std::vector<double> share(layers.size());
  int64_t num_layers = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    share[i] =
        static_cast<double>(layers[i].num_layers) / static_cast<double>(layers[0].num_layers);
    if (RankOfStage(candidate, static_cast<int>(i)) == 0) num_layers += layers[i].num_layers;
  }
  double bytes = 0;
  double peak_bytes = 0;
  for (const Op& op : ops) {
    const double unit_bytes =
        share[op.unit.stage] * static_cast<double>(stage.activations[op.unit.slice]);
    if (op.kind == OpKind::kForward) bytes += unit_bytes;
    peak_bytes = std::max(peak_bytes, bytes);
    if (op.kind == OpKind::kBackward || op.kind == OpKind::kBackwardWeight) bytes -= unit_bytes;
  }
  return stage.weights_and_gradients / layers[0].num_layers * num_layers +
         static_cast<int64_t>(peak_bytes);
}

}  // namespace sluice
