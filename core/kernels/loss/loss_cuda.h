// The losses on NVIDIA GPUs: the contract of loss.h for float32, bf16 and fp16.  Sums are float64
// inside and rounded to float32 once.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/loss/loss.h"

namespace sluice::cuda {

// Bytes of scratch memory that LossForward needs.
int64_t LossScratchBytes();

// `scratch`, aligned to 8 bytes, is overwritten.
void LossForward(const LossForwardArgs& args, void* scratch, cudaStream_t stream);

void LossBackward(const LossBackwardArgs& args, cudaStream_t stream);

}  // namespace sluice::cuda
