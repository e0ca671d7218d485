// The backward of attention in one kernel, for short sequences without a prefix: shared memory
// holds all rows of a head, and head_dim is a multiple of 16 up to 128.
//
// A block makes dq of 16 queries, or dk or dv of 16 keys, of one pair: its 8 warps take 16 of the
// other positions each, and add their partial sums in shared memory.  Nothing is prepared by
// another kernel: a block makes the row sums of dout * out that it needs itself.  Results are the
// same bits on every run.
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/causal_attention/attention_params.h"
#include "core/kernels/small_layer/piggybacked_gradients.h"
#include "core/kernels/small_layer/small_layer_sizes.h"

namespace sluice::cuda {

// Enqueues the backward, with `extra` in blocks of its own, for sizes that
// CanRunSmallAttentionBackward.  Overwrites dqkv; params.lse2 and params.delta are not used.
template <typename T>
void LaunchAttentionGradient(const AttentionBackwardParams& params,
                             const PiggybackedGradients<T>& extra, const ChainLaunch& launch);

}  // namespace sluice::cuda
