// causal_attention.h on the CPU: blocks of queries against blocks of keys, the products by
// core/kernels/cpu/gemm.h.
#pragma once

#include "core/device/cpu/thread_pool.h"
#include "core/kernels/causal_attention/causal_attention.h"

namespace sluice::cpu {

// Elements of scratch that one thread needs, for either pass.  Independent of the sequence length.
template <typename T>
int64_t CausalAttentionScratchSize(int64_t head_dim);

// `scratch` has CausalAttentionScratchSize<T>(D) elements for each thread of the pool.
template <typename T>
void CausalAttentionForward(ThreadPool& pool, const CausalAttentionForwardArgs& args, T* scratch);

// One thread per (sequence, head), so the result does not depend on the number of threads.
template <typename T>
void CausalAttentionBackward(ThreadPool& pool, const CausalAttentionBackwardArgs& args, T* scratch);

}  // namespace sluice::cpu
