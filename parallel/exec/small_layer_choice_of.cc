#include "parallel/exec/small_layer_choice_of.h"

namespace sluice {

SmallLayerChoice SmallLayerChoiceOf(const JobPlan& plan, const SmallLayerKernels* kernels) {
  if (kernels == nullptr) return {};
  const ModelConfig& model = plan.config.model;
  UnitSizes sizes = {.slices = {},
                     .batch_size = plan.micro_batch_size,
                     .hidden_size = model.hidden_size,
                     .num_heads = model.num_heads,
                     .head_dim = model.head_dim(),
                     .ffn_hidden_size = model.ffn_hidden_size(),
                     .tensor_parallel_size = plan.config.sizes.tensor};
  for (const Slice& slice : plan.config.slices) {
    sizes.slices.push_back({.len = slice.len, .prefix_len = plan.config.prefix_len + slice.begin});
  }
  return ChooseSmallLayer(sizes, kernels->device());
}

}  // namespace sluice
