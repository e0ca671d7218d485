// Causal attention by cuDNN, for bf16 and fp16, behind the contract of causal_attention.h.
//
// Two libraries implement it: cudnn_attention, where cuDNN's headers
// were found when the program was built, and no_cudnn_attention elsewhere.  cuDNN itself is opened
// when it is first asked for (cudnn_library.h).
//
// A plan is made on a thread's first call of a shape, which takes up to seconds and may not be
// captured; it is kept until the process ends.  Gradients differ in their last bits from run to run
// (measured; out and lse do not).  Of several slices each one's gradients of k and v are rounded to
// 16 bits before they are accumulated.
#pragma once

#include <cuda_runtime_api.h>

#include <optional>
#include <string>

#include "core/kernels/causal_attention/attention_params.h"
#include "core/tensor/dtype.h"

namespace sluice::cuda {

// As FindCausalAttentionError, but for the GPU's compute capability.
std::optional<std::string> FindCudnnAttentionError(DType dtype, int64_t head_dim);

// Bytes of scratch memory that the two calls below need for shapes up to `largest`.
int64_t CudnnAttentionWorkspaceBytes(const AttentionShape& largest);

// Throw Error, before anything is enqueued, where cuDNN has no kernel for the shape.
void LaunchCudnnForward(const AttentionForwardParams& params, DType dtype, void* workspace,
                        cudaStream_t stream);
void LaunchCudnnBackward(const AttentionBackwardParams& params, DType dtype, void* workspace,
                         cudaStream_t stream);

}  // namespace sluice::cuda
