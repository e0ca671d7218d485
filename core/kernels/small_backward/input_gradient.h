// The backward of linear layers of small models on Hopper, where the latency of dependent kernels
// is what costs: one kernel makes the gradient of the input, of the layer norm in front where there
// is one, and beside them gradients of parameters whose operands are ready.
//
//   dx = dout weight                                       [M, K] = [M, N] [N, K]
//   dx = (dout weight), 0 where relu_out <= 0
//   dx = backward of the layer norm in front, of (dout weight), + residual_gradient
//
// A block makes 16 rows and 32 or 64 columns.  All of its operands lie in shared memory, each warp
// loads and multiplies its own part of the inner dimension, and the partial sums of the warps meet
// there.  The kernel is launched before the one in front of it has ended (programmatic dependent
// launch) and loads its weights then.  Of a layer norm, a cluster of blocks holds whole rows and
// exchanges the sums of each row through distributed shared memory.
//
// T is __nv_bfloat16 or __half; products are accumulated, and layer norms computed, in float32.
// Results are the same bits on every run.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/small_backward/riding_gradients.h"

namespace sluice::cuda {

// The layer norm in front of a linear layer: (layer_norm.h) with the linear layer's dx as dout.
template <typename T>
struct NormBackward {
  const T* x = nullptr;                  // [M, K]
  const float* weight = nullptr;         // [K]
  const float* mean = nullptr;           // [M]
  const float* rstd = nullptr;           // [M]
  const T* residual_gradient = nullptr;  // [M, K], absent: nothing is added
  float* partials = nullptr;  // [ceil(M / 16), 2, K] overwritten: to be summed by NormSums
};

enum class InputGradientKind : uint8_t { kPlain, kRelu, kNorm };

template <typename T>
struct InputGradient {
  InputGradientKind kind = InputGradientKind::kPlain;
  const T* dout = nullptr;      // [M, N]
  const T* weight = nullptr;    // [N, K]
  const T* relu_out = nullptr;  // [M, K] for kRelu
  NormBackward<T> norm;         // for kNorm
  T* dx = nullptr;              // [M, K] overwritten; must not overlap dout
  int num_tokens = 0;
  int out_features = 0;  // N, a multiple of 64
  int in_features = 0;   // K, a multiple of 64; at most 256 for kNorm
};

// Rows of the tiles of InputGradient, and so of the partial sums of a norm.
inline constexpr int kInputGradientRows = 16;

// Bytes of shared memory that a block needs.
int InputGradientSharedBytes(InputGradientKind kind, int out_features);

// Enqueues the gradient of the input and the riding ones.  All pointers are aligned to 16 bytes.
template <typename T>
void LaunchInputGradient(const InputGradient<T>& input, const RidingGradients<T>& riding,
                         const ChainPlace& place);

}  // namespace sluice::cuda
