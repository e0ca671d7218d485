// The first step of the attention backward: per-query statistics, by pair and padded, as the
// kernels read them (AttentionBackwardParams::lse2, delta).
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/causal_attention/attention_params.h"

namespace sluice::cuda {

// delta = row sum of dout * out; lse2 = lse * log2(e).  Padded queries get delta 0 and lse2
// infinity, so that exp2(score - lse2) is zero.  Zeroes turns.  T is float, __nv_bfloat16 or
// __half.
template <typename T>
void LaunchAttentionStatistics(const AttentionBackwardParams& params, cudaStream_t stream);

}  // namespace sluice::cuda
