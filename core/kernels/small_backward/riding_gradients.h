// Gradients of parameters that are made beside something else, in extra blocks of its kernel: of
// linear layers as tiles of products over tokens, of layer norms as sums of columns.
//
// T is __nv_bfloat16 or __half; products are accumulated in float32, each in one block and in a
// fixed order.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/cuda/launch.h"
#include "core/kernels/write_mode.h"

namespace sluice::cuda {

enum class GradientType : uint8_t { kFloat32, kElement };

struct ParameterGradient {
  void* data = nullptr;  // absent: not made
  GradientType type = GradientType::kFloat32;
  WriteMode write_mode = WriteMode::kOverwrite;
};

// dweight (+)= dout^T x, dbias (+)= the sum of dout over tokens.
template <typename T>
struct WeightGradient {
  const T* dout = nullptr;    // [M, N]
  const T* x = nullptr;       // [M, K]
  ParameterGradient dweight;  // [N, K]
  ParameterGradient dbias;    // [N]
  int num_tokens = 0;
  int out_features = 0;  // N, a multiple of 64
  int in_features = 0;   // K, a multiple of 64
};

// Of the parameters of a layer norm (layer_norm.h): dweight (+)= the sum over tokens of dout *
// normalised x, dbias (+)= the sum of dout.
template <typename T>
struct NormSums {
  const T* dout = nullptr;      // [M, H]
  const T* x = nullptr;         // [M, H]
  const float* mean = nullptr;  // [M]
  const float* rstd = nullptr;  // [M]
  float* dweight = nullptr;     // [H]
  float* dbias = nullptr;       // [H]
  WriteMode write_mode = WriteMode::kOverwrite;
  int num_tokens = 0;
  int hidden_size = 0;  // a multiple of 32
};

// Where a kernel stands in a chain of kernels on one stream.  The first is launched after all that
// was enqueued before; the others overlap the ends of those before them, and until then load what
// was there before the chain: weights, and what the forward has left.
struct ChainPlace {
  cudaStream_t stream;
  LaunchStart start = LaunchStart::kAfterPrevious;
};

// What is made beside the gradient of an input.  Read only operands of earlier kernels.
inline constexpr int kMaxRidingWeights = 4;
template <typename T>
struct RidingGradients {
  WeightGradient<T> weights[kMaxRidingWeights];
  int num_weights = 0;
  NormSums<T> norm;  // hidden_size 0: none
};

// Enqueues the riding gradients alone.
template <typename T>
void LaunchRidingGradients(const RidingGradients<T>& riding, const ChainPlace& place);

}  // namespace sluice::cuda
