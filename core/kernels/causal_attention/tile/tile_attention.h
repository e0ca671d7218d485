// Attention kernels for any GPU from sm_80 on, bf16 and fp16: tiles of 64 queries and 64 keys
// through shared memory, products by mma.sync.  T is __nv_bfloat16 or __half; head_dim is any
// multiple of 8 up to 128.
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/causal_attention/attention_params.h"

namespace sluice::cuda {

// Bytes of shared memory that a block of the largest of these kernels needs.
template <typename T>
int TileSharedBytes(int head_dim);

template <typename T>
void LaunchTileForward(const AttentionForwardParams& params, cudaStream_t stream);

// After LaunchAttentionStatistics on the same stream.
template <typename T>
void LaunchTileBackward(const AttentionBackwardParams& params, cudaStream_t stream);

}  // namespace sluice::cuda
