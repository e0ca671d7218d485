// Which parts of a job run on the kernels of small layers (core/kernels/small_layer): a pure
// function of the job's sizes and the device, so that all units of a job, on all its stages, run
// the same kernels.
#pragma once

#include <string>
#include <vector>

#include "core/kernels/small_layer/small_layer_kernels.h"

namespace sluice {

// The units of a job: its slices, and what all of them have in common.
struct UnitSizes {
  struct Slice {
    int64_t len = 0;
    int64_t prefix_len = 0;  // positions before the slice
  };
  std::vector<Slice> slices;
  int64_t batch_size = 0;  // sequences of a micro-batch
  int64_t hidden_size = 0;
  int64_t num_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_hidden_size = 0;
  int tensor_parallel_size = 1;
};

// A part is chosen when every slice can run it and prefers it.  Linear layers stand for the layer
// norms in front of them; attention is chosen only together with the linear layers of its pass.
struct SmallLayerChoice {
  bool forward = false;  // the four linear layers
  bool forward_attention = false;
  bool backward = false;
  bool backward_attention = false;

  bool any() const { return forward || backward; }
};

SmallLayerChoice ChooseSmallLayer(const UnitSizes& sizes, const SmallLayerDevice& device);

// The operations that run on kernels of small layers, in their order and joined by "+":
// "norm_in_proj+attention+out_proj+norm_fc1+fc2+fc2_dx+norm_fc1_dx+out_proj_dx+attention_dx+
// norm_in_proj_dx", or "none".
std::string Name(const SmallLayerChoice& choice);

}  // namespace sluice
