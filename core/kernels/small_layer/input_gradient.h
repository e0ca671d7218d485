// The gradient of the input of linear layers of small models, where the latency of dependent
// kernels dominates.  One kernel makes it, first the backward of the layer norm that produces its
// operand where there is one, and in extra blocks gradients of parameters whose operands are ready.
//
//   dx = dout weight                                       [M, K] = [M, N] [N, K]
//   dx = (dout weight), 0 where relu_out <= 0
//   dout = backward of a layer norm                        computed on the way, and written
//
// A block makes 16 rows and 16 to 64 columns (core/kernels/small_layer/small_product.cuh).  The
// kernel is launched before the one in front of it has ended (programmatic dependent launch) and
// loads its weights then, into registers.  A layer norm's backward is made again by each block for
// its rows, on their way into the product; one block of each row writes it.
//
// T is __nv_bfloat16 or __half; products are accumulated, and layer norms computed, in float32.
// Results are the same bits on every run.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/small_layer/piggybacked_gradients.h"

namespace sluice::cuda {

// The backward of a layer norm (layer_norm.h) that is dout of the linear layer.
template <typename T>
struct NormBackward {
  const T* dout = nullptr;               // [M, N]; absent: no norm
  const T* x = nullptr;                  // [M, N]
  const float* weight = nullptr;         // [N]
  const float* mean = nullptr;           // [M]
  const float* rstd = nullptr;           // [M]
  const T* residual_gradient = nullptr;  // [M, N], absent: nothing is added
  T* dx = nullptr;                       // [M, N] overwritten; none of the operands
};

template <typename T>
struct InputGradient {
  const T* dout = nullptr;  // [M, N]; not read where there is a norm
  NormBackward<T> norm;
  const T* weight = nullptr;    // [N, K]
  const T* relu_out = nullptr;  // [M, K], absent: no mask
  T* dx = nullptr;              // [M, K] overwritten; must not overlap dout
  int num_tokens = 0;
  int out_features = 0;  // N, a multiple of 64, at most 1024, or 256 with a norm
  int in_features = 0;   // K, a multiple of 64
};

// Enqueues the gradient of the input, with `extra` in blocks of its own.  All pointers are aligned
// to 16 bytes.
template <typename T>
void LaunchInputGradient(const InputGradient<T>& input, const PiggybackedGradients<T>& extra,
                         const ChainLaunch& launch);

}  // namespace sluice::cuda
