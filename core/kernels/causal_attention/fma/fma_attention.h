// Attention kernels in float32 arithmetic (FMA) for any GPU from sm_80 on: tiles of 64 queries and
// 64 keys in shared memory; head_dim is any multiple of 8 up to 128.
//
// The backward is one kernel that does the 5 matrix products once.  A block owns a tile of keys
// and keeps its dk and dv; the parts of dq that blocks contribute to a tile of queries are added
// in the order of the keys, each block waiting for its turn, so results are the same bits on every
// run.
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/causal_attention/attention_params.h"

namespace sluice::cuda {

// Bytes of shared memory that a block of the largest of these kernels needs.
int FmaSharedBytes(int head_dim);

void LaunchFmaForward(const AttentionForwardParams& params, cudaStream_t stream);

// After LaunchAttentionStatistics on the same stream.
void LaunchFmaBackward(const AttentionBackwardParams& params, cudaStream_t stream);

}  // namespace sluice::cuda
