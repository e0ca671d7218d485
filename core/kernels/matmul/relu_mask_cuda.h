// The backward of a ReLU on its own: a gradient becomes 0 where the forward's output was not
// positive.
#pragma once

#include <cuda_runtime_api.h>

#include "core/tensor/tensor.h"

namespace sluice::cuda {

// gradient = relu_out > 0 ? gradient : 0
//
//   relu_out  [M, K]  read
//   gradient  [M, K]  overwritten; the same element type
void ApplyReluMask(const Tensor& relu_out, const Tensor& gradient, cudaStream_t stream);

}  // namespace sluice::cuda
