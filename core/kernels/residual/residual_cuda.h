// The residual connection on NVIDIA GPUs: the contract of residual.h for float32, bf16 and fp16,
// added in float32.
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/residual/residual.h"

namespace sluice::cuda {

void AddBiasResidual(const AddBiasResidualArgs& args, cudaStream_t stream);

}  // namespace sluice::cuda
