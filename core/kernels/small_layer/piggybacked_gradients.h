// Gradients of parameters that a kernel computes in extra blocks, beside what it is launched for:
// of linear layers as tiles of products over tokens, of layer norms as sums of columns.
//
// T is __nv_bfloat16 or __half; products are accumulated in float32, each in one block and in a
// fixed order.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/kernels/cuda/launch.h"
#include "core/kernels/small_layer/small_layer_kernels.h"
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

// Gradients of the parameters of a layer norm (layer_norm.h): dweight (+)= the sum over tokens of
// dout * normalised x, dbias (+)= the sum of dout.
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

// How a kernel of a chain is launched (ChainPlace in small_layer_kernels.h).
struct ChainLaunch {
  cudaStream_t stream;
  LaunchStart start = LaunchStart::kAfterPrevious;
};

// Their operands come from earlier kernels.
template <typename T>
struct PiggybackedGradients {
  WeightGradient<T> weights[kMaxPiggybackedWeights];
  int num_weights = 0;
  NormSums<T> norm;  // hidden_size 0: none
};

// Enqueues the gradients in a kernel of their own.
template <typename T>
void LaunchGradientsAlone(const PiggybackedGradients<T>& extra, const ChainLaunch& launch);

}  // namespace sluice::cuda
