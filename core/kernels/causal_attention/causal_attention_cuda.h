// Causal attention with a cached prefix on NVIDIA GPUs: the contract of causal_attention.h for
// bf16, fp16 and float32 (float32 in float32 arithmetic, never tf32), accumulated in float32.
//
// Four implementations stand behind these functions:
//   hopper  wgmma and TMA, warp-specialised (sm_90a); bf16 and fp16, head_dim 64, 80, 96, 128
//   tile    mma.sync for bf16 and fp16, FMA for float32 (sm_80 and later); head_dim any multiple
//           of 8 up to 128
//   small   mma.sync, for short sequences, where latency is all (sm_80 and later); bf16 and fp16,
//           head_dim 64, 128; forward alone, its backward is that of tile
//   cudnn   cuDNN's, for comparison (cudnn_attention.h): bf16 and fp16, head_dim any multiple of 8
//           up to 128; its backward may differ in its last bits from run to run
// Every element of our own is summed in a fixed order: results are the same bits on every run.  In
// 16 bits the backward is blocks that own tiles of queries (dq) and blocks that own tiles of keys
// (dk, dv): 7 matrix products, each element summed by one thread block.  In float32 it does the 5
// products needed, and blocks own tiles of keys and take turns to add to dq.
//
// Nothing is allocated or synchronised by a call, so calls may be captured in a CUDA graph; with
// cudnn all but the first call of a shape.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>
#include <string>

#include "core/kernels/causal_attention/attention_implementation.h"
#include "core/kernels/causal_attention/causal_attention.h"
#include "core/tensor/dtype.h"

namespace sluice::cuda {

// What calls without an explicit implementation use on the current device: hopper wherever it
// can run, tile where not.
CausalAttentionImplementation DefaultCausalAttention(DType dtype, int64_t head_dim);

// Why `implementation` cannot run with these on the current device, as a sentence for
// sluice::Error; nothing if it can.
std::optional<std::string> FindCausalAttentionError(CausalAttentionImplementation implementation,
                                                    DType dtype, int64_t head_dim);

// The largest sizes that calls with one workspace will have.
struct CausalAttentionLimits {
  int64_t max_slice_len = 0;
  int64_t max_seq_len = 0;  // prefix_len + slice_len
  int64_t max_batch_size = 0;
  int64_t num_heads = 0;
  int64_t head_dim = 0;
};

// Bytes of scratch memory that the calls below need.
int64_t CausalAttentionWorkspaceBytes(CausalAttentionImplementation implementation,
                                      const CausalAttentionLimits& limits);

// Enqueue the forward and the backward on `stream`.  `workspace`, of CausalAttentionWorkspaceBytes
// for at least these sizes and aligned to 256 bytes, is overwritten and may be used again by the
// next call on the stream.  Throw Error where cuDNN has no kernel for the shape.
void CausalAttentionForward(const CausalAttentionForwardArgs& args,
                            CausalAttentionImplementation implementation, void* workspace,
                            cudaStream_t stream);
void CausalAttentionBackward(const CausalAttentionBackwardArgs& args,
                             CausalAttentionImplementation implementation, void* workspace,
                             cudaStream_t stream);

}  // namespace sluice::cuda
