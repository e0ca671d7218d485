// What the kernels of linear_forward.h receive: raw pointers and sizes, already checked.
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/matmul/matmul.h"
#include "core/kernels/small_layer/small_layer_sizes.h"

namespace sluice::cuda {

// The norm's pointers are null where there is none.
struct SmallLinearParams {
  const void* x = nullptr;             // [num_tokens, num_inputs]; of a norm, its input
  const void* weight = nullptr;        // [num_outputs, num_inputs]
  const void* bias = nullptr;          // [num_outputs] or null
  const void* residual = nullptr;      // [num_tokens, num_outputs] or null
  void* out = nullptr;                 // [num_tokens, num_outputs]
  const float* norm_weight = nullptr;  // [num_inputs]
  const float* norm_bias = nullptr;    // [num_inputs]
  void* norm_out = nullptr;            // [num_tokens, num_inputs]
  float* mean = nullptr;               // [num_tokens]
  float* rstd = nullptr;               // [num_tokens]
  float norm_scale = 0;                // 1 / num_inputs
  int num_tokens = 0;
  int num_inputs = 0;
  int num_outputs = 0;
  Activation activation = Activation::kNone;
};

// One for each element type; with a norm where params.norm_weight is not null.
template <typename T>
void LaunchSmallLinear(const SmallLinearParams& params, SmallLinearTile tile, cudaStream_t stream);

}  // namespace sluice::cuda
