// Causal attention as graphs of cuDNN: the chains of operations that it recognises and fuses into
// its flash-attention kernels (cuDNN documentation, "Fused Flash Attention fprop / bprop"; Dao,
// 2307.08691).
//
// A plan needs at most kCudnnPlanWorkspaceBytes.
//
// A pair is a head here: tensors are [1, num_pairs, length, head_dim] with the strides of
// causal_attention.h, so that q, k, v and their gradients stay where in_proj leaves them.
#pragma once

#include <optional>
#include <string>

#include "core/kernels/causal_attention/attention_params.h"
#include "core/kernels/causal_attention/cudnn/cudnn_graph.h"

namespace sluice::cuda {

inline constexpr int64_t kCudnnPlanWorkspaceBytes = 1 << 20;

struct CudnnForwardGraph {
  CudnnTensor q, k, v;
  CudnnTensor out;
  CudnnTensor lse;  // [num_pairs, slice_len]
  CudnnPlan plan;
};

// Where the backward leaves the gradients of k and v, in the type of q.  (cuDNN takes a graph that
// wants them in float32, and writes 16 bits all the same.)
enum class CudnnKeyGradients : uint8_t {
  kInDqkv,      // of a whole sequence: [slice_len, num_pairs, 3, head_dim], beside q's
  kInWorkspace  // [num_keys, num_pairs, 2, head_dim]
};

struct CudnnBackwardGraph {
  CudnnTensor q, k, v;
  CudnnTensor out, dout;
  CudnnTensor lse;     // [num_pairs, slice_len]
  CudnnTensor delta;   // [num_pairs, slice_len], scratch: row sums of dout * out
  CudnnTensor dq_sum;  // [num_pairs, slice_len, head_dim], float32 scratch
  CudnnTensor dq, dk, dv;
  CudnnPlan plan;
};

// `dtype` is CUDNN_DATA_BFLOAT16 or CUDNN_DATA_HALF.  Nothing, with cuDNN's reason in `error`,
// where cuDNN has no kernel for it.  Takes up to seconds.
std::optional<CudnnForwardGraph> MakeCudnnForward(const AttentionShape& shape,
                                                  cudnnDataType_t dtype, cudnnHandle_t handle,
                                                  std::string* error);
std::optional<CudnnBackwardGraph> MakeCudnnBackward(const AttentionShape& shape,
                                                    cudnnDataType_t dtype,
                                                    CudnnKeyGradients key_gradients,
                                                    cudnnHandle_t handle, std::string* error);

}  // namespace sluice::cuda
