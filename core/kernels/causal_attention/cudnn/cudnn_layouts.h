// What moves data between the layouts of causal_attention.h and those of cuDNN's attention.
#pragma once

#include <cuda_runtime_api.h>

#include "core/kernels/causal_attention/attention_params.h"

namespace sluice::cuda {

struct MatrixSize {
  int64_t num_rows = 0;
  int64_t num_columns = 0;
};

//   x  [num_rows, num_columns]  read
//   y  [num_columns, num_rows]  overwritten
void LaunchTranspose(const float* x, float* y, MatrixSize size, cudaStream_t stream);

// Brings the gradients of k and v of one backward where causal_attention.h wants them: those of the
// prefix into (or onto) the accumulator, those of the slice, with what later slices left, into
// dqkv.
//
//   dkv  [num_keys, num_pairs, 2, head_dim], of T  read
//
// and params.dqkv, params.dkv_accumulator, params.write_mode.  T is __nv_bfloat16 or __half.
template <typename T>
void LaunchScatterKeyGradients(const AttentionBackwardParams& params, const void* dkv,
                               cudaStream_t stream);

}  // namespace sluice::cuda
