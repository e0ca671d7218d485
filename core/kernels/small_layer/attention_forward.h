// Attention forward for sizes at which latency dominates (bf16 and fp16, head_dim 64 or 128): a
// block owns 16 queries of one head and 16 columns of its output; its 8 warps share the keys, 16 at
// a time, and merge their parts once at the end.  Operands go from global memory straight into the
// registers of the tensor cores.  The scores are computed anew for each 16 columns, so for long
// sequences the other kernels are faster.
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/causal_attention/attention_params.h"

namespace sluice::cuda {

// T is __nv_bfloat16 or __half.
template <typename T>
void LaunchSmallAttentionForward(const AttentionForwardParams& params, cudaStream_t stream);

}  // namespace sluice::cuda
