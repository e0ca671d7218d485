// Attention kernels for Hopper GPUs (sm_90a), bf16 and fp16, head_dim 64, 80, 96 and 128: wgmma on
// tiles that the copy engine (TMA) brings, one producer warp and several consumer warpgroups a
// block.  T is __nv_bfloat16 or __half.
//
// Source: Shah et al., FlashAttention-3, 2407.08608 (warp specialisation, ping-pong, overlap of
// products and softmax within a warpgroup).
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/causal_attention/attention_params.h"

namespace sluice::cuda {

template <typename T>
void LaunchHopperForward(const AttentionForwardParams& params, cudaStream_t stream);

// After LaunchAttentionStatistics on the same stream.
template <typename T>
void LaunchHopperBackward(const AttentionBackwardParams& params, cudaStream_t stream);

}  // namespace sluice::cuda
