// How blocks of one kernel add to dq in a fixed order: one after the other, by counters that say
// whose turn it is.  sm_80 and later.
//
// A block must wait only for blocks that have started, so blocks take their work in the order of a
// ticket, not of blockIdx.
#pragma once

#include <cstdint>

#include "core/kernels/causal_attention/attention_params.h"

namespace sluice::cuda {

// How many blocks have asked before.
__device__ inline unsigned TakeTicket(const AttentionBackwardParams& params) {
  return atomicAdd(params.turns, 1u);
}

// The counter of a tile of queries.
__device__ inline unsigned* TurnOf(const AttentionBackwardParams& params, int pair,
                                   int query_tile) {
  return params.turns + 1 + int64_t{pair} * (params.padded_slice_len / kAttentionTile) + query_tile;
}

// Called by one thread: returns when the counter is `own`; what earlier blocks wrote in their turns
// is then visible to the threads that this one synchronises with.
__device__ inline void WaitForTurn(const unsigned* counter, unsigned own) {
  unsigned turn;
  do {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(turn) : "l"(counter) : "memory");
  } while (turn != own);
}

// Called by one thread, after a barrier that follows all writes of the block's turn.
__device__ inline void EndTurn(unsigned* counter, unsigned own) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(counter), "r"(own + 1) : "memory");
}

// *to = x for the first in turn, *to += x for the others, without waiting for memory.
__device__ inline void StoreOrAdd(float4* to, const float4& x, bool is_first) {
  if (is_first) {
    __stcg(to, x);
    return;
  }
#if __CUDA_ARCH__ >= 900
  atomicAdd(to, x);
#else
  const float4 old = __ldcg(to);
  __stcg(to, make_float4(old.x + x.x, old.y + x.y, old.z + x.z, old.w + x.w));
#endif
}

}  // namespace sluice::cuda
